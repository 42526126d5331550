"""Microscopes' files through the command line: series, positions, planes, metadata, masks.

Outputs are opened by tifffile and zarr, not by our own readers.
"""

import numpy as np
import pytest
import tifffile
import zarr

import isoslice
from field_inputs import STACK, imagej, planes, positions, tile, two_series
from isoslice.errors import DoubtWarning

pytest.importorskip("torch")


@pytest.fixture
def restore(tmp_path, cli, model_folder):
    """Restore by the expected volume, 4 times unless told otherwise; returns what was said."""

    def run(source, output, *options):
        given = ("predict", source, "-m", model_folder, "-o", tmp_path / output, "--mode", "mean")
        ran = cli(*given, *options)
        assert ran.code == 0, ran.err
        return ran

    return run


def measured(path):
    """Return the planes of a restored TIFF that were measured."""
    return tifffile.imread(path)[..., ::4, :, :]


def test_each_position_under_its_own_name(tmp_path, restore):
    for number, (path, stack) in enumerate(
        zip(positions(tmp_path), (STACK, 255 - STACK), strict=True)
    ):
        restore(path, f"{number}.ome.tif")
        assert np.array_equal(measured(tmp_path / f"{number}.ome.tif"), stack)


def test_a_position_without_its_files_is_not_another_one(tmp_path, cli):
    first, second = positions(tmp_path)
    second.unlink()
    assert cli("info", first, "--series", "0").code == 0
    ran = cli("info", first, "--series", "1")
    assert ran.code == 1
    assert "expected a number or name of 0 'position 0'" in ran.err[-1]


def test_a_renamed_file_opens(tmp_path, restore):
    path, other = positions(tmp_path)
    other.unlink()
    path.rename(tmp_path / "renamed.tif")
    restore(tmp_path / "renamed.tif", "o.tif")
    assert np.array_equal(measured(tmp_path / "o.tif"), STACK)


def test_planes_in_a_folder_are_one_stack(tmp_path, restore):
    folder = planes(tmp_path / "stack")
    restore(folder, "o.tif", "--voxel-size", "4,1,1")
    assert np.array_equal(measured(tmp_path / "o.tif"), STACK)
    pattern = folder / "plane_*.tif"
    restore(pattern, "p.tif", "--voxel-size", "4,1,1")
    assert np.array_equal(measured(tmp_path / "p.tif"), STACK)


def test_planes_as_png(tmp_path, restore):
    restore(planes(tmp_path / "stack", ".png"), "o.tif", "--voxel-size", "4,1,1")
    assert np.array_equal(measured(tmp_path / "o.tif"), STACK)


def test_a_missing_number_is_told(tmp_path, restore):
    folder = planes(tmp_path / "stack")
    (folder / "plane_7.tif").unlink()
    with pytest.warns(UserWarning, match="7"):
        volume = isoslice.read_volume(folder)
    assert volume.data.shape == (8, 64, 64)


def test_time_that_is_depth(tmp_path, cli, restore):
    source = tmp_path / "t.tif"
    metadata = {"axes": "TYX", "unit": "um"}
    tifffile.imwrite(source, STACK, imagej=True, resolution=(4, 4), metadata=metadata)
    ran = cli("predict", source, "-o", tmp_path / "x.tif")
    assert ran.code == 1
    assert "--axes ZYX" in ran.err[-1]
    assert "T" in ran.err[-1]
    assert "9" in ran.err[-1]
    restore(source, "o.tif", "--axes", "ZYX", "--voxel-size", "1,0.25,0.25")
    assert np.array_equal(measured(tmp_path / "o.tif"), STACK)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "deflate", "packbits", "jpeg2000", "webp"])
def test_compressions_open_as_in_fiji(tmp_path, restore, compression):
    if compression == "webp":
        pytest.skip("WebP holds colours alone")
    options = {"compressionargs": {"reversible": True}} if compression == "jpeg2000" else {}
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeZ": 4}
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        STACK,
        ome=True,
        compression=compression,
        metadata=metadata,
        **options,
    )
    restore(tmp_path / "a.ome.tif", "o.tif")
    assert np.array_equal(measured(tmp_path / "o.tif"), STACK)


def test_one_of_several_series(tmp_path, cli, restore):
    source = two_series(tmp_path / "two.ome.tif")
    ran = cli("info", source)
    assert "overview" in ran.out
    assert "stack" in ran.out
    for number, asked in enumerate(("1", "stack")):
        restore(source, f"{number}.ome.tif", "--series", asked)
        assert np.array_equal(measured(tmp_path / f"{number}.ome.tif"), STACK)
    with pytest.warns(UserWarning, match="holds 2 images, took 0 'overview'"):
        first = isoslice.read_volume(source)
    assert first.data.shape == (2, 16, 16)


def test_a_lost_plane_is_named_and_restored(tmp_path, restore):
    damaged = STACK.copy()
    damaged[4] = 0
    restore(imagej(tmp_path / "whole.tif"), "whole.ome.tif")
    restore(imagej(tmp_path / "lost.tif", damaged), "lost.ome.tif")
    ours = tifffile.imread(tmp_path / "lost.ome.tif").astype(float)
    whole = tifffile.imread(tmp_path / "whole.ome.tif").astype(float)
    # Its neighbours are no worse than a line over the gap.
    truth = whole[12:21]
    share = np.linspace(0, 1, 9)[:, None, None]
    line = (1 - share) * STACK[3] + share * STACK[5]
    error = np.square(ours[12:21] - truth).mean()
    assert error < 1.1 * np.square(line - truth).mean()
    assert ours[16].mean() > 50
    # Far away little changes: percentiles are those of the planes that are there.
    assert np.abs(ours[:9] - whole[:9]).max() <= 3
    rest = [z for z in range(9) if z != 4]
    assert np.array_equal(ours[[4 * z for z in rest]], STACK[rest])


def test_a_lost_plane_is_told(tmp_path, tiny_model):
    damaged = STACK.copy()
    damaged[4] = 0
    volume = isoslice.read_volume(imagej(tmp_path / "lost.tif", damaged))
    with pytest.warns(DoubtWarning, match=r"plane 4 \(counted from 0\) is 0 everywhere"):
        result = tiny_model.predict(volume, mode="mean", device="cpu")
    assert result.provenance["lost_planes"] == {"0/0": [4]}
    assert any("plane 4" in doubt for doubt in result.doubts)


def test_c_major_becomes_a_hyperstack(tmp_path, restore):
    both = np.stack([STACK, 255 - STACK])
    sizes = {"PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeZ": 4}
    tifffile.imwrite(tmp_path / "c.ome.tif", both, ome=True, metadata={"axes": "CZYX", **sizes})
    restore(tmp_path / "c.ome.tif", "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        assert tif.is_imagej
        assert tif.imagej_metadata["channels"] == 2
        assert tif.imagej_metadata["slices"] == 33
        assert np.array_equal(tif.asarray()[::4], both.swapaxes(0, 1))


def test_each_channel_by_a_model_of_one(tmp_path, restore):
    both = np.stack([STACK, 255 - STACK], axis=1)
    source = imagej(tmp_path / "a.tif", both, "ZCYX")
    restore(source, "o.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "o.tif")[::4], both)
    restore(source, "one.tif", "--channel", "1")
    alone = tifffile.imread(tmp_path / "one.tif")
    assert np.array_equal(alone, tifffile.imread(tmp_path / "o.tif")[:, 1])


def test_times_and_luts_survive(tmp_path, restore):
    ramp = np.arange(256, dtype=np.uint8)
    luts = [np.stack([ramp * 0, ramp, ramp * 0]), np.stack([ramp, ramp * 0, ramp])]
    stack = np.stack([np.stack([STACK, 255 - STACK], axis=1)] * 2)
    source = imagej(
        tmp_path / "a.tif",
        stack,
        "TZCYX",
        finterval=30.0,
        mode="composite",
        LUTs=luts,
        Ranges=(10.0, 200.0, 5.0, 240.0),
    )
    restore(source, "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        told = tif.imagej_metadata
    assert told["finterval"] == 30
    assert tuple(told["Ranges"]) == (10.0, 200.0, 5.0, 240.0)
    assert np.array_equal(told["LUTs"][1], luts[1])


@pytest.mark.parametrize("options", [(), ("--slab", "16")])
def test_a_tile_stays_where_it_is(tmp_path, restore, options):
    restore(tile(tmp_path / "tile.ome.zarr"), "o.ome.zarr", *options)
    attributes = dict(zarr.open_group(tmp_path / "o.ome.zarr", mode="r").attrs)["ome"]
    scale = attributes["multiscales"][0]
    transforms = scale["datasets"][0]["coordinateTransformations"]
    assert transforms[0]["scale"] == [30, 1, 1, 1, 1]
    assert transforms[1]["translation"] == [0, 0, 400, 1000, 2000]
    assert scale["axes"][0] == {"name": "t", "type": "time", "unit": "second"}
    channel = attributes["omero"]["channels"][0]
    assert (channel["label"], channel["color"]) == ("GFP", "00FF00")
    assert (channel["window"]["start"], channel["window"]["end"]) == (10, 240)


@pytest.mark.parametrize("output", ["o.ome.tif", "o.ome.zarr"])
def test_an_empty_time_point_stays_empty(tmp_path, restore, output):
    source = imagej(tmp_path / "a.tif", np.stack([STACK, STACK * 0]), "TZYX")
    alone = imagej(tmp_path / "b.tif", STACK)
    restore(source, output)
    restore(alone, "alone.ome.tif")
    if output.endswith(".tif"):
        found = tifffile.imread(tmp_path / output)
    else:
        found = np.asarray(zarr.open_group(tmp_path / output, mode="r")["0"])
    assert not found[1].any()
    assert np.array_equal(found[0], tifffile.imread(tmp_path / "alone.ome.tif"))


def test_masked_background_stays_zero(tmp_path, restore):
    masked = STACK.copy()
    x = np.broadcast_to(np.arange(64), (64, 64))
    for z in range(9):  # a mask that moves, as deskewing leaves it
        masked[z][(x < 10 + z) | (x > 40 + z)] = 0
    restore(imagej(tmp_path / "a.tif", masked), "o.ome.tif", "--mode", "sample", "--seed", "3")
    found = tifffile.imread(tmp_path / "o.ome.tif")
    for z in range(8):
        outside = (masked[z] == 0) & (masked[z + 1] == 0)
        assert not found[4 * z : 4 * z + 5, outside].any()


def test_saturated_detectors_are_not_exceeded(tmp_path, restore):
    camera = (STACK.astype(np.uint16) * 30).clip(0, 4095)
    assert (camera == 4095).sum() > 100
    restore(imagej(tmp_path / "a.tif", camera), "o.ome.tif", "--mode", "sample")
    assert tifffile.imread(tmp_path / "o.ome.tif").max() == 4095


def test_labels_are_told(tmp_path, cli, model_folder):
    from scipy.ndimage import gaussian_filter, label

    noise = np.random.default_rng(1).normal(size=(9, 64, 64))
    cells = label(gaussian_filter(noise, (1, 5, 5)) > 0.02)[0].astype(np.uint16)
    source = imagej(tmp_path / "labels.tif", cells)
    ran = cli("predict", source, "-m", model_folder, "-o", tmp_path / "o.tif", "--mode", "mean")
    assert ran.code == 0
    assert any("looks like an image of labels" in line for line in ran.err)
