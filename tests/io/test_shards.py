"""OME-Zarr images that are written block by block."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from isoslice.data.volume import Volume
from isoslice.io import read_volume
from isoslice.io.formats.omezarr.metadata import describe
from isoslice.io.formats.omezarr.pyramid import levels, pyramid
from isoslice.io.formats.omezarr.shards import create_image
from isoslice.io.notes import make_note


def write(path, volume, core, order=None):
    axes = volume.axes
    image = create_image(path, axes, volume.data.shape, volume.data.dtype, volume.spacing, core)
    ranges = (range(0, n, c) for n, c in zip(volume.data.shape, core, strict=True))
    starts = list(itertools.product(*ranges))
    files: dict[Any, Any] = {}
    for start in starts if order is None else [starts[i] for i in order(len(starts))]:
        place = tuple(slice(a, a + c) for a, c in zip(start, core, strict=True))
        written = image.write(start, volume.data[place])
        assert not files.keys() & written.keys()
        files |= written
    image.finish(describe(volume, axes), make_note(volume, axes))
    return image, files


def random(shape, axes="ZYX", seed=0, **more):
    data = np.random.default_rng(seed).integers(1, 999, shape).astype(np.uint16)
    return Volume(data, axes, {"Z": 0.5, "Y": 0.5, "X": 0.5}, "micrometer", **more)


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 300), st.integers(1, 300)),
    st.tuples(*[st.sampled_from([64, 128, 192])] * 3),
)
def test_a_pyramid_made_block_by_block_is_that_of_the_whole(tmp_path_factory, shape, core):
    path = tmp_path_factory.mktemp("shards") / "a.ome.zarr"
    volume = random(shape)
    core = tuple(min(c, n) for c, n in zip(core, shape, strict=True))
    image, _ = write(path, volume, core)
    group = zarr.open_group(path, mode="r")
    expected = list(pyramid(volume.data, levels(shape, "ZYX", volume.spacing)))
    assert len(image.levels) == len(expected)
    for number, level in enumerate(expected):
        np.testing.assert_array_equal(group[str(number)][...], level)


def test_the_image_is_valid_and_reads_back(tmp_path):
    path = tmp_path / "a.ome.zarr"
    volume = random((2, 2, 40, 130, 260), "TCZYX", channel_names=("a", "b"))
    write(path, volume, (1, 1, 40, 64, 128))
    yaozarrs.validate_zarr_store(str(path))
    read = read_volume(path)
    np.testing.assert_array_equal(read.data, volume.data)
    assert (read.axes, read.spacing, read.unit) == (volume.axes, volume.spacing, volume.unit)
    assert read.channel_names == ("a", "b")


def test_blocks_have_files_of_their_own_whose_sizes_are_told(tmp_path):
    path = tmp_path / "a.ome.zarr"
    _, files = write(path, random((64, 256, 512)), (64, 128, 128))
    assert len(files) == 8 * 2  # two levels
    for name, size in files.items():
        assert (path / name).stat().st_size == size > 0


def test_the_order_of_blocks_does_not_matter(tmp_path):
    volume = random((64, 200, 400))
    _, one = write(tmp_path / "a.ome.zarr", volume, (64, 64, 128))
    _, two = write(tmp_path / "b.ome.zarr", volume, (64, 64, 128), lambda n: reversed(range(n)))
    assert one == two
    for name in one:
        assert (tmp_path / "a.ome.zarr" / name).read_bytes() == (
            tmp_path / "b.ome.zarr" / name
        ).read_bytes()


def test_nan_in_a_pyramid_made_block_by_block(tmp_path):
    volume = random((64, 100, 400))
    data = volume.data.astype(np.float32)
    data[:, 30:60, :133] = np.nan
    volume = replace(volume, data=data)
    write(tmp_path / "a.ome.zarr", volume, (64, 64, 128))
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    for number, level in enumerate(pyramid(data, levels(data.shape, "ZYX", volume.spacing))):
        np.testing.assert_array_equal(group[str(number)][...], level)
    # A quarter of the second level is within the gap, and no more than that is lost.
    assert np.isnan(group["1"][...]).sum() == 32 * 15 * 66


def test_until_it_is_finished_it_is_no_image(tmp_path):
    from isoslice.errors import DataError

    path = tmp_path / "a.ome.zarr"
    image = create_image(path, "ZYX", (9, 9, 9), np.dtype("uint8"), {}, (9, 9, 9))
    image.write((0, 0, 0), np.ones((9, 9, 9), np.uint8))
    with pytest.raises(DataError, match="an image that is not finished"):
        read_volume(path)


def test_what_killed_writers_left_is_removed(tmp_path):
    path = tmp_path / "a.ome.zarr"
    volume = random((9, 9, 9))
    image = create_image(path, "ZYX", (9, 9, 9), np.dtype("uint16"), volume.spacing, (9, 9, 9))
    image.write((0, 0, 0), volume.data)
    stray = path / "0" / "c" / "0.123.partial"
    stray.write_bytes(b"x")
    image.finish(describe(volume, "ZYX"), make_note(volume, "ZYX"))
    assert not stray.exists()
