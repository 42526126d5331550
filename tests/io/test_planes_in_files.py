"""A folder or a pattern of planes is one stack, in the order of the numbers in the names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import texture, write_stack
from isoslice.errors import DataError, IsosliceWarning
from isoslice.inference.engine.job_plan import files_digest, files_glance
from isoslice.io import read_volume
from isoslice.io.formats.planes.names import arrange
from isoslice.io.reading import open_volume

STACK = texture(12, 20, 24)
FORMATS = Path(__file__).parents[3] / "shared" / "formats"


def write_planes(folder, stack=STACK, name="plane_{}.tif", first=1, **options):
    folder.mkdir(exist_ok=True)
    for number, plane in enumerate(stack, first):
        path = folder / name.format(number)
        if path.suffix == ".tif":
            tifffile.imwrite(path, plane, **options)
        else:
            Image.fromarray(plane).save(path)
    return folder


@pytest.mark.parametrize("name", ["plane_{}.tif", "{}.png", "s{:03}.bmp", "z{}_t1.TIF"])
def test_planes_lie_in_natural_order(tmp_path, name):
    folder = write_planes(tmp_path / "planes", name=name.replace(".TIF", ".tif"))
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    volume = open_volume(folder)
    assert volume.axes == "ZYX"
    assert np.array_equal(volume.data[3:11, 2], STACK[3:11, 2])
    pattern = folder / ("*" + name[-4:].lower())
    assert np.array_equal(read_volume(str(pattern)).data, STACK)


def test_jpeg_planes_are_those_that_pillow_decodes(tmp_path):
    folder = write_planes(tmp_path / "planes", name="p{}.jpg")
    expected = [np.asarray(Image.open(folder / f"p{i + 1}.jpg")) for i in range(12)]
    assert np.array_equal(read_volume(folder).data, expected)


def test_sixteen_bit_png_is_kept(tmp_path):
    stack = STACK.astype(np.uint16) * 250
    found = read_volume(write_planes(tmp_path / "planes", stack, "p{}.png"))
    assert found.data.dtype == np.uint16
    assert np.array_equal(found.data, stack)


def test_the_spacing_in_planes_is_kept_and_that_along_z_asked_for(tmp_path):
    options = {"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "um"}}
    folder = write_planes(tmp_path / "planes", **options)
    volume = open_volume(folder)
    assert volume.spacing == {"Y": 0.25, "X": 0.25}
    assert volume.unit == "micrometer"


def test_a_missing_number_is_told(tmp_path):
    folder = write_planes(tmp_path / "planes")
    (folder / "plane_7.tif").unlink()
    with pytest.warns(IsosliceWarning, match="plane 7 is missing"):
        volume = open_volume(folder)
    assert np.array_equal(volume.data[...], np.delete(STACK, 6, 0))
    (folder / "plane_4.tif").unlink()
    with pytest.warns(IsosliceWarning, match="planes 4, 7 are missing"):
        open_volume(folder)


def test_even_steps_miss_nothing(tmp_path):
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, plane in enumerate(STACK):
        tifffile.imwrite(folder / f"z{number * 10}.tif", plane)
    assert np.array_equal(read_volume(folder).data, STACK)


def test_numbers_named_t_c_and_z_become_axes(tmp_path):
    data = texture(2, 3, 4, 20, 24)
    for t, c, z in np.ndindex(2, 3, 4):
        tifffile.imwrite(tmp_path / f"T{t:02}_Z_{z + 8}exp5-ch{c}.tif", data[t, c, z])
    volume = open_volume(tmp_path)
    assert volume.axes == "TCZYX"
    assert np.array_equal(volume.data[...], data)
    assert np.array_equal(volume.data[1, 1:, 2:4, 5:9, 3], data[1, 1:, 2:4, 5:9, 3])
    assert volume.data[:0].shape == (0, 3, 4, 20, 24)
    assert np.array_equal(open_volume(tmp_path, channel="2", time="1").data[...], data[1, 2])
    (tmp_path / "T01_Z_9exp5-ch2.tif").unlink()
    with pytest.raises(DataError, match=r"got 23 files, expected 2 T x 3 C x 4 Z.*T 1, C 2, Z 9"):
        open_volume(tmp_path)


def test_time_alone_is_time(tmp_path):
    folder = write_planes(tmp_path / "planes", name="movie_t{:03}.tif")
    assert open_volume(folder).axes == "TYX"
    assert open_volume(folder, "ZYX").axes == "ZYX"


def test_colour_planes_have_channels(tmp_path):
    colour = texture(3, 4, 20, 24)
    folder = write_planes(tmp_path / "planes", np.moveaxis(colour, 0, -1), "p{}.png")
    volume = open_volume(folder)
    assert volume.axes == "CZYX"
    assert np.array_equal(volume.data[...], colour)


def refusal(folder, pattern=None):
    with pytest.raises(DataError) as caught:
        open_volume(folder / pattern if pattern else folder)
    return str(caught.value)


def test_the_odd_plane_is_named(tmp_path):
    folder = write_planes(tmp_path / "planes")
    tifffile.imwrite(folder / "plane_5.tif", STACK[4, :-1])
    assert "plane_5.tif: got a plane of 19 x 24 pixels (uint8), expected 20 x 24" in refusal(folder)
    tifffile.imwrite(folder / "plane_5.tif", STACK[4].astype(np.uint16))
    assert "plane_5.tif: got a plane of 20 x 24 pixels (uint16)" in refusal(folder)
    tifffile.imwrite(folder / "plane_5.tif", STACK[:5])
    assert "plane_5.tif: got 5 pages, expected a single plane" in refusal(folder)
    (folder / "plane_5.tif").write_bytes(b"")
    assert "plane_5.tif: got an empty file" in refusal(folder)


def test_stacks_are_no_planes(tmp_path):
    for number in range(3):
        write_stack(tmp_path / f"s{number}.ome.tif", STACK)
    assert "s0.ome.tif: got" in refusal(tmp_path)


def test_a_plane_that_changes_afterwards_is_refused(tmp_path):
    folder = write_planes(tmp_path / "planes")
    volume = open_volume(folder)
    tifffile.imwrite(folder / "plane_5.tif", STACK[4, :-1])
    with pytest.raises(DataError, match=r"plane_5\.tif: got a plane of 19 x 24"):
        volume.data[...]


def test_names_that_say_too_little_are_refused(tmp_path):
    for a, b in np.ndindex(2, 3):
        tifffile.imwrite(tmp_path / f"x{a}_y{b}.tif", STACK[0])
    assert "several numbers vary (x0_y0.tif … x1_y2.tif)" in refusal(tmp_path)
    assert 'x0_y*.tif"' in refusal(tmp_path)
    assert open_volume(tmp_path / "x0_y*.tif").data.shape == (3, 20, 24)
    tifffile.imwrite(tmp_path / "mask.tif", STACK[0])
    told = refusal(tmp_path)
    assert "whose names differ in more than numbers" in told
    assert '*.tif", or one file that is a stack' in told
    assert "matches no TIFF" in refusal(tmp_path, "none*.tif")


def test_the_same_number_twice_is_refused(tmp_path):
    folder = write_planes(tmp_path / "planes")
    tifffile.imwrite(folder / "plane_05.tif", STACK[4])
    assert "whose numbers are the same" in refusal(folder)


def test_images_that_are_left_out_are_told(tmp_path):
    folder = write_planes(tmp_path / "planes")
    write_planes(folder, STACK[:2], "preview{}.png")
    with pytest.warns(IsosliceWarning, match=r"left out 2 other image\(s\): preview1\.png"):
        assert open_volume(folder).data.shape == STACK.shape


def test_order_holds_for_numbers_of_any_width(tmp_path):
    files = [tmp_path / f"img{number}.tif" for number in (10, 9, 100, 1, 2)]
    found = arrange(files, tmp_path)
    assert found.numbers == ((1, 2, 9, 10, 100),)
    assert [file.name for file in found.files][-2:] == ["img10.tif", "img100.tif"]


def test_digests_know_the_planes_and_nothing_else(tmp_path):
    folder = write_planes(tmp_path / "planes")
    for path in (folder, folder / "plane_*.tif"):
        before = files_digest(path), files_glance(path)
        (folder / "notes.txt").write_text("x", encoding="utf-8")
        assert (files_digest(path), files_glance(path)) == before
        (folder / "notes.txt").unlink()
        tifffile.imwrite(folder / "plane_3.tif", STACK[3], description="other")
        after = files_digest(path), files_glance(path)
        assert after[0] != before[0]
        assert after[1] != before[1]


def test_the_command_line_takes_folders_and_patterns(cli, tmp_path, model_folder):
    folder = write_planes(tmp_path / "planes", texture(4, 40, 44))
    found = cli("info", folder, "--json")
    assert found.code == 0, found.err
    options = ["--voxel-size", "2,1,1", "-m", model_folder, "--mode", "mean", "-q"]
    for path, output in ((folder, "a.ome.tif"), (folder / "plane_*.tif", "b.ome.zarr")):
        ran = cli("predict", path, "-o", tmp_path / output, *options)
        assert ran.code == 0, ran.err
        restored = read_volume(tmp_path / output)
        assert np.array_equal(restored.data[::2], texture(4, 40, 44))


@pytest.mark.shared
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no shared folder beside the checkout")
def test_a_real_folder_of_planes_is_one_stack():
    folder = next((FORMATS / "tiff_planes").rglob("*.tif")).parent
    volume = open_volume(folder)
    assert volume.axes == "ZYX"
    expected = tifffile.imread(sorted(folder.glob("*.tif")))
    assert np.array_equal(volume.data[...], expected)
