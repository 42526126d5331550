"""SliceFID: how volumes become images, scores of volumes, the command."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from conftest import texture as smooth
from conftest import write_stack
from isoslice.cli.slicefid import slicefid as command
from isoslice.data.display import histogram_equalize
from isoslice.data.normalization import Normalization
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.slicefid.distances import fid, kid
from isoslice.evaluation.slicefid.features import Features, extract, texture
from isoslice.evaluation.slicefid.score import ScoreOptions, slicefid, slicefid_rows
from isoslice.evaluation.slicefid.slices import (
    SliceSet,
    auto_tile,
    clipped_share,
    intensity_mapping,
    joined,
    plane_images,
    slice_images,
    views,
)
from isoslice.evaluation.slicefid.volumes import score_volumes

PLAIN = Normalization((0.0,), (255.0,))
FEW = ScoreOptions(samples=3)


def volume(*shape: int, seed: int = 0, dtype: str = "uint8", **rest) -> Volume:
    axes = "ZYX" if len(shape) == 3 else "CZYX"
    return Volume(smooth(*shape, seed=seed, dtype=dtype), axes, **rest)


# --- slices as images -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "side"),
    [((48, 48, 48), 48), ((96, 200, 512), 46), ((30, 96, 96), 30), ((71, 71, 71), 71)],
)
def test_auto_tile(lengths: tuple[int, ...], side: int) -> None:
    assert auto_tile(lengths) == min(n // max(1, round(n / 48)) for n in lengths)
    assert auto_tile(lengths) == side


@given(st.lists(st.integers(16, 600), min_size=3, max_size=3))
def test_auto_tile_fits_and_is_near_48(lengths: list[int]) -> None:
    side = auto_tile(lengths)
    assert 16 <= side <= min(min(lengths), 72)


def test_tiles_are_the_slices() -> None:
    data = np.random.default_rng(0).integers(0, 256, (1, 20, 24, 28)).astype(np.uint8)
    cut = slice_images(data, "default", PLAIN, tile=20)
    for name, axis in {"XY": 0, "XZ": 1, "YZ": 2}.items():
        assert cut[name].images.shape[1:] == (3, 20, 20)
        np.testing.assert_array_equal(cut[name].groups, np.arange(data.shape[axis + 1]))
    np.testing.assert_array_equal(cut["XY"].images[3, 1], data[0, 3, 2:22, 4:24])
    np.testing.assert_array_equal(cut["XZ"].images[5, 0], data[0, :, 5, 4:24])
    np.testing.assert_array_equal(cut["YZ"].images[7, 2], data[0, :, 2:22, 7])


@given(st.integers(16, 130), st.integers(16, 40))
def test_tiles_lie_evenly_from_end_to_end(length: int, side: int) -> None:
    length = max(length, side)
    planes = np.broadcast_to(np.arange(length, dtype=np.uint8), (2, 1, side, length))
    cut = plane_images(planes, "default", PLAIN, side)
    starts = cut.images[cut.groups == 1, 0, 0, 0].astype(int)
    assert len(starts) == max(1, int(length / side + 0.5))
    if len(starts) == 1:
        assert starts[0] == (length - side) // 2
    else:
        assert (starts[0], starts[-1]) == (0, length - side)
        assert np.ptp(np.diff(starts)) <= 1


def test_rgb_stays_and_grey_is_repeated() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 17, 18, 19)).astype(np.uint8)
    mapping = Normalization((0.0,) * 3, (255.0,) * 3)
    cut = slice_images(rgb, "default", mapping, tile=16)
    np.testing.assert_array_equal(cut["XY"].images[2], rgb[:, 2, 1:17, 1:17])
    grey = slice_images(rgb[:1], "default", PLAIN, tile=16)["XZ"].images
    np.testing.assert_array_equal(grey[:, 0], grey[:, 2])


def test_measured_planes_are_left_out_of_xy_alone_and_before_the_stride() -> None:
    data = smooth(1, 19, 20, 20)
    cut = slice_images(data, "default", PLAIN, known=range(0, 19, 3), stride=3, tile=19)
    left = [i for i in range(19) if i % 3]
    np.testing.assert_array_equal(cut["XY"].groups, left[::3])
    np.testing.assert_array_equal(cut["XZ"].groups, np.arange(0, 20, 3))


def test_mapping_is_the_real_images_percentiles_and_clips() -> None:
    planes = np.linspace(0, 1000, 2 * 50 * 60).reshape(2, 1, 50, 60)
    mapping = intensity_mapping([planes[:1], planes[1:]])
    assert mapping.low == pytest.approx([1.0])
    assert mapping.high == pytest.approx([999.0])
    data = np.full((1, 16, 16, 16), 500.0)
    data[0, 0], data[0, 1] = -50, 2000
    cut = slice_images(data, "default", mapping)
    assert [int(image[0, 0, 0]) for image in cut["XY"].images[:3]] == [0, 255, 128]
    assert clipped_share(data, mapping) == pytest.approx(2 / 16)


def test_blocks_of_the_released_code() -> None:
    data = smooth(1, 30, 50, 100, dtype="float32")
    cut = slice_images(data, "msdsr")
    # One block of all 30 planes, one of 48 rows (1 to 48) and two of columns (2 to 97).
    assert cut["XY"].images.shape == (2 * 22, 3, 40, 40)
    assert cut["XZ"].images.shape == (2 * 40, 3, 22, 40)
    assert cut["YZ"].images.shape == (80, 3, 22, 40)
    np.testing.assert_array_equal(np.unique(cut["XY"].groups), np.arange(4, 26))
    expected = histogram_equalize(data[:, 4, 5:45, 6:46])[..., 0]
    np.testing.assert_array_equal(cut["XY"].images[0, 0], expected)
    second = cut["YZ"].groups[40]
    assert second == 2 + 48 + 4
    expected = histogram_equalize(data[:, 4:26, 5:45, second])[..., 0]
    np.testing.assert_array_equal(cut["YZ"].images[40, 1], expected)


def test_real_images_of_the_released_code() -> None:
    planes = smooth(2, 3, 50, 97)
    found = plane_images(planes, "msdsr")
    assert found.images.shape == (4, 3, 48, 48)
    np.testing.assert_array_equal(found.groups, [0, 0, 1, 1])
    part = planes[1, :, 1:49, 48:96]
    np.testing.assert_array_equal(found.images[3], np.moveaxis(histogram_equalize(part), -1, 0))


def test_groups_of_joined_sets_stay_apart() -> None:
    first = SliceSet(np.zeros((3, 3, 16, 16), np.uint8), np.array([0, 0, 4]))
    found = joined([first, first])
    np.testing.assert_array_equal(found.groups, [0, 0, 4, 5, 5, 9])
    other = SliceSet(np.zeros((3, 3, 17, 16), np.uint8), np.arange(3))
    with pytest.raises(DataError, match="expected one size"):
        joined([first, other])


def test_views() -> None:
    assert views(1) == [(0,)]
    assert views(2) == [(0,), (1,)]
    assert views(3) == [(0, 1, 2)]


@pytest.mark.parametrize("protocol", ["default", "msdsr"])
def test_bad_volumes_are_refused(protocol) -> None:
    good = smooth(1, 30, 30, 30, dtype="float32")
    holed = good.copy()
    holed[0, 1, 2, 3] = np.nan
    for bad, message in [
        (good[0], "expected .C, Z, Y, X. with one channel or three"),
        (np.concatenate([good, good]), "pass other channels one by one"),
        (holed, "1 voxels that are NaN"),
        (good[:, :12], "expected"),
    ]:
        with pytest.raises(DataError, match=message):
            slice_images(bad, protocol, PLAIN, tile=None)
    with pytest.raises(DataError, match=r"1 X. slice.s. to score, expected at least 2"):
        slice_images(good, protocol, PLAIN, stride=40)
    with pytest.raises(SettingsError, match="stride of 0"):
        slice_images(good, protocol, PLAIN, stride=0)
    with pytest.raises(SettingsError, match="tiles of 8"):
        slice_images(good, protocol, PLAIN, tile=8)


def test_tiles_larger_than_slices_are_refused() -> None:
    with pytest.raises(DataError, match=r"tiles of 40.*other tiles, for example --tile"):
        slice_images(smooth(1, 30, 64, 64), "default", PLAIN, tile=40)
    with pytest.raises(SettingsError, match="default or msdsr"):
        plane_images(smooth(2, 1, 30, 30), "other")  # type: ignore[arg-type]


# --- scores -----------------------------------------------------------------------------------


def test_slicefid_is_fid_and_kid_of_its_sets() -> None:
    sets = slice_images(smooth(1, 20, 24, 40), "default", PLAIN, tile=20)
    real = plane_images(smooth(9, 1, 40, 40, seed=1), "default", PLAIN, 20)
    found = slicefid(sets, real, texture(), ScoreOptions(samples=10))
    theirs = texture()(real.images)
    for name, score in found.axes.items():
        ours = texture()(sets[name].images)
        assert score.fid == pytest.approx(fid(theirs, ours))
        assert score.kid == pytest.approx(kid(theirs, ours))
        assert score.images == len(sets[name].images)
        assert score.fid_low is not None
        assert score.kid_high is not None
        assert 0 <= score.fid_low <= score.fid
        assert score.kid < score.kid_high
    assert found.mean.fid == pytest.approx(np.mean([s.fid for s in found.axes.values()]))
    assert found.mean.kid == pytest.approx(np.mean([s.kid for s in found.axes.values()]))
    assert (found.extractor, found.real_images) == ("texture", len(real.images))
    assert any("biased" in note for note in found.notes)
    extracted = extract(real.images, real.groups, texture())
    assert slicefid(sets, extracted, texture(), ScoreOptions(samples=10)) == found
    with pytest.raises(SettingsError, match="expected one extractor"):
        slicefid(sets, Features(theirs, "other", real.groups), texture())


@pytest.mark.parametrize("protocol", ["default", "msdsr"])
def test_blur_along_z_shows_in_xz_and_yz(protocol) -> None:
    true = volume(32, 48, 48, dtype="float32")
    blurred = Volume(gaussian_filter1d(true.data, 4.0, axis=0), "ZYX", source="blurred")
    real = [volume(32, 48, 48, seed=1, dtype="float32")]
    sharp, soft = score_volumes([true, blurred], real, texture(), ScoreOptions(protocol, samples=5))
    for name in ("XZ", "YZ"):
        assert soft.axes[name].fid > 2 * sharp.axes[name].fid
        assert soft.axes[name].kid > sharp.axes[name].kid
    assert soft.mean.fid > sharp.mean.fid
    assert (soft.volume, soft.protocol) == ("blurred", protocol)


def test_scores_do_not_depend_on_the_unit_of_intensity() -> None:
    true, real = volume(24, 24, 24, dtype="float64"), volume(9, 24, 24, seed=1, dtype="float64")
    (plain,) = score_volumes([true], [real], texture(), FEW)
    scaled = [Volume(v.data * 16 + 5, v.axes) for v in (true, real)]
    (found,) = score_volumes(scaled[:1], scaled[1:], texture(), FEW)
    assert found.mean.fid == pytest.approx(plain.mean.fid, rel=1e-2)
    assert found.notes == plain.notes
    (off,) = score_volumes(scaled[:1], [real], texture(), FEW)
    assert any("check that both have the same units" in note for note in off.notes)


def test_factor_comes_from_provenance_and_planes_are_left_out() -> None:
    recorded = volume(25, 24, 24, provenance={"factor": 4})
    plain = Volume(recorded.data, "ZYX")
    real = [volume(9, 24, 24, seed=1)]
    first, second = score_volumes([recorded, plain], real, texture(), FEW)
    assert (first.axes["XY"].images, second.axes["XY"].images) == (18, 25)
    assert first.axes["XZ"].images == 24
    assert any("(0, 4, 8, ...) are left out of XY" in note for note in first.notes)
    (asked,) = score_volumes([plain], real, texture(), FEW, factor=4)
    assert asked.axes == first.axes


def test_two_channels_are_scored_one_by_one_and_three_as_rgb() -> None:
    both, real = volume(2, 20, 20, 20), volume(2, 9, 20, 20, seed=1)
    (found,) = score_volumes([both], [real], texture(), FEW)
    single = [
        score_volumes(
            [Volume(both.data[c], "ZYX")],
            [Volume(real.data[c], "ZYX")],
            texture(),
            FEW,
        )[0]
        for c in (0, 1)
    ]
    for name in ("XY", "XZ", "YZ"):
        expected = np.mean([s.axes[name].fid for s in single])
        assert found.axes[name].fid == pytest.approx(expected)
    assert found.axes["XY"].images == 40
    (rgb,) = score_volumes([volume(3, 20, 20, 20)], [volume(3, 9, 20, 20, seed=1)], texture(), FEW)
    assert rgb.axes["XY"].images == 20


def test_real_images_of_several_sizes_and_single_images_count() -> None:
    images = [Volume(smooth(3, 40, 40 + s, seed=s)[0], "YX") for s in (0, 0, 10, 10)]
    (found,) = score_volumes([volume(20, 20, 20)], images, texture(), FEW)
    assert found.tile["XZ"] == (20, 20)
    assert found.real_images == 2 * 4 + 2 * 2 * 3


def test_stride_takes_every_nth_slice_and_says_so() -> None:
    (found,) = score_volumes(
        [volume(20, 24, 24)],
        [volume(9, 24, 24, seed=1)],
        texture(),
        ScoreOptions(stride=4, samples=3),
    )
    assert [score.images for score in found.axes.values()] == [5, 6, 6]
    assert (found.stride, found.real_images) == (4, 3)
    assert any("1 slice in 4 only" in note for note in found.notes)


def test_scale_is_compared() -> None:
    ours = volume(20, 20, 20, spacing={"Z": 3.0, "Y": 1.0, "X": 1.0})
    real = volume(9, 20, 20, seed=1, spacing={"Y": 2.0, "X": 2.0})
    (found,) = score_volumes([ours], [real], texture(), FEW)
    assert any("no cubes" in note for note in found.notes)
    assert any("different magnifications" in note for note in found.notes)


def test_unfit_data_are_refused() -> None:
    real = [volume(9, 20, 20, seed=1)]
    with pytest.raises(DataError, match=r"got 2 channel.s., expected 1"):
        score_volumes([volume(2, 20, 20, 20)], real, texture())
    with pytest.raises(DataError, match="side of only 12 pixels"):
        score_volumes([volume(12, 20, 20)], real, texture())
    with pytest.raises(DataError, match="at least one image"):
        score_volumes([volume(20, 20, 20)], [], texture())
    with pytest.raises(DataError, match="constant"):
        score_volumes([volume(20, 20, 20)], [Volume(np.ones((3, 20, 20)), "ZYX")], texture())
    with pytest.raises(DataError, match="at least 2 images"):
        score_volumes([volume(20, 20, 20)], [Volume(smooth(3, 20, 20)[0], "YX")], texture())


def test_one_real_plane_has_no_interval() -> None:
    (found,) = score_volumes(
        [volume(20, 20, 20)],
        [Volume(smooth(3, 40, 40)[0], "YX")],
        texture(),
        FEW,
    )
    assert (found.mean.fid_low, found.mean.kid_high) == (None, None)


def test_rows_hold_every_score() -> None:
    (found,) = score_volumes([volume(20, 20, 20)], [volume(9, 20, 20)], texture(), FEW)
    rows = slicefid_rows([found, found])
    assert [row[0] for row in rows[:4]] == ["FID, XY", "FID, XZ", "FID, YZ", "FID, mean of three"]
    assert all(len(row) == 3 for row in rows)
    assert rows[3][1].split()[0] == f"{found.mean.fid:.1f}"
    assert json.loads(json.dumps(asdict(found)))["mean"]["fid"] == found.mean.fid


# --- the command ------------------------------------------------------------------------------


def run(*arguments: object) -> None:
    app = typer.Typer()
    app.command()(command)
    typer.main.get_command(app).main(
        [str(argument) for argument in arguments], "slicefid", standalone_mode=False
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    size = (1.0, 1.0, 1.0)
    ours = write_stack(tmp_path / "ours.ome.tif", smooth(20, 24, 24), voxel_size=size)
    (tmp_path / "real").mkdir()
    for index, plane in enumerate(smooth(5, 24, 24, seed=1)):
        tifffile.imwrite(tmp_path / "real" / f"{index}.tif", plane)
    return ours, tmp_path / "real"


def test_command_prints_a_table_and_writes_json(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, real = files
    scores = tmp_path / "scores.json"
    run(ours, ours, "--real", real, "--light", "-q", "--factor", 2, "--json", scores)
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("FID, mean of three")]
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert row.count("(") == 2
    assert [entry["axes"]["XY"]["images"] for entry in found] == [10, 10]
    assert "texture features: a quick look, not comparable with any FID" in out
    assert "ours.ome.tif: measured planes (0, 2, 4, ...) are left out of XY" in out
    run(ours, "--real", real, "--light", "-q", "--json", "-")
    assert json.loads(capsys.readouterr().out)[0]["extractor"] == "texture"


def test_command_shows_progress(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, real = files
    run(ours, "--real", real, "--light", "--protocol", "default")
    err = capsys.readouterr().err
    assert "features of real images: 100%" in err
    assert "YZ slices: 100%" in err


@pytest.mark.parametrize(
    "extra", [("--light", "--features", "x.pt"), ("--tile", 32, "--protocol", "msdsr")]
)
def test_command_refuses_contradictions(
    files: tuple[Path, Path], extra: tuple[object, ...]
) -> None:
    with pytest.raises(SettingsError, match="leave out --"):
        run(files[0], "--real", files[1], *extra)
