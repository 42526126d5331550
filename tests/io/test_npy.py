"""Plain .npy arrays: every voxel type, both byte orders and memory orders."""

import json

import numpy as np
import pytest

from isoslice.data.volume import DTYPES, Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume

RNG = np.random.default_rng(0)


def values(dtype):
    bits = RNG.integers(0, 256, 3 * 4 * 5 * np.dtype(dtype).itemsize, dtype=np.uint8)
    return bits.view(dtype).reshape(3, 4, 5)  # NaN and infinities among them


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_written_as_numpy_reads_it(tmp_path, dtype):
    data = values(dtype)
    write_volume(tmp_path / "a.npy", Volume(data, "ZYX", {"Z": 2.0}))
    stored = np.load(tmp_path / "a.npy")
    assert stored.dtype == dtype
    assert stored.tobytes() == data.tobytes()
    assert json.loads((tmp_path / "a.npy.json").read_text(encoding="utf-8"))["shape"] == [3, 4, 5]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", "CF")
def test_every_type_is_read_as_numpy_writes_it(tmp_path, dtype, order, layout):
    data = values(dtype)
    np.save(tmp_path / "a.npy", np.asarray(data, np.dtype(dtype).newbyteorder(order), layout))
    volume = open_volume(tmp_path / "a.npy", axes="ZYX")
    assert isinstance(volume.data, LazyArray)
    found = read_volume(tmp_path / "a.npy", axes="ZYX").data
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, data)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "complex64"])
def test_other_types_are_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.ones((3, 4, 5), dtype))
    with pytest.raises(DataError, match=f"got voxels of type {dtype}, expected one of int8, uint8"):
        read_volume(tmp_path / "a.npy", axes="ZYX")
