"""Arrays that are read where they are indexed: everything as NumPy does it."""

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume


class Watched:
    """A stored array that remembers how much of it was read."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.read = data, data.shape, data.dtype, 0

    def __getitem__(self, index):
        found = self.data[index]
        self.read += found.size
        return found


@st.composite
def views(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    array = np.arange(np.prod(shape), dtype=draw(st.sampled_from([">u2", "<u2", "u1", ">f4"])))
    array = array.reshape(shape)
    lazy = LazyArray(Watched(array))
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["transpose", "squeeze", "reshape"]))
        if kind == "transpose":
            order = draw(st.permutations(range(array.ndim)))
            array, lazy = array.transpose(order), lazy.transpose(order)
        elif kind == "squeeze":
            array, lazy = array.squeeze(), lazy.squeeze()
        else:
            shape = [n for n in array.shape if n != 1]
            for _ in range(draw(st.integers(0, 2))):
                shape.insert(draw(st.integers(0, len(shape))), 1)
            array, lazy = array.reshape(shape), lazy.reshape(shape)
    return array, lazy


@given(views(), st.data())
def test_views_are_numpys(pair, data):
    array, lazy = pair
    assert (lazy.shape, lazy.ndim, lazy.size) == (array.shape, array.ndim, array.size)
    np.testing.assert_array_equal(np.asarray(lazy), array)
    index = []
    for length in array.shape[: data.draw(st.integers(0, array.ndim))]:
        a, b = data.draw(st.integers(-length, length - 1)), data.draw(st.integers(-5, 5))
        index.append(data.draw(st.sampled_from([a, slice(a, b), slice(None)])))
    expected = array[tuple(index)]
    lazy_part = lazy[tuple(index)]
    np.testing.assert_array_equal(lazy_part, expected)
    assert lazy_part.dtype.isnative
    # Dimensions that were added are cut after reading.
    assert lazy._stored.read <= array.size + max(
        expected.size, array.size if 0 in expected.shape else 1
    )


def test_what_is_no_view_is_refused():
    lazy = LazyArray(np.zeros((2, 3)))
    for call in (
        lambda: lazy.transpose(0, 0),
        lambda: lazy.squeeze(0),
        lambda: lazy.reshape(3, 2),
        lambda: lazy[::2],
        lambda: lazy[5],
        lambda: lazy[0, 0, 0],
    ):
        with pytest.raises((ValueError, IndexError)):
            call()


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.npy", "a.tif", "a.ome.tif"])
def test_files_are_opened_without_being_read(tmp_path, name):
    data = np.random.default_rng(0).integers(0, 999, (3, 5, 20, 30)).astype(np.uint16)
    path = tmp_path / name
    write_volume(path, Volume(data, "CZYX", {"Z": 4.0, "Y": 0.5, "X": 0.5}, "micrometer"))
    opened, read = open_volume(path), read_volume(path)
    assert isinstance(opened.data, LazyArray)
    assert (opened.axes, opened.spacing) == (read.axes, read.spacing)
    np.testing.assert_array_equal(opened.tczyx()[0, :, 2, 3:7], read.tczyx()[0, :, 2, 3:7])


def test_compressed_tiffs_are_read_at_once(tmp_path):
    data = np.arange(600, dtype=np.uint8).reshape(3, 10, 20)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "ZYX"},
    )
    opened = open_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(opened.data, data)


def test_chunks_are_told_in_the_arrays_own_order(tmp_path):
    stored = zarr.create_array(tmp_path / "a", shape=(6, 7, 8), chunks=(2, 3, 4), dtype="u1")
    assert LazyArray(stored).transpose(2, 0, 1).chunks == (4, 2, 3)
    assert LazyArray(np.zeros((5, 6, 7))).reshape(1, 5, 6, 7).chunks == (1, 1, 6, 7)
