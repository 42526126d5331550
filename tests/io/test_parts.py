"""Arrays that are read part by part: the same voxels in the same order, chunks decoded once."""

import math
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isoslice.data.blocks
import isoslice.io.parts
from isoslice.data.metadata import Display, Metadata
from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.parts import parts, planes

SUFFIXES = (".ome.zarr", ".ome.tif", ".tif", ".nii", ".nii.gz", ".npy", ".nrrd", ".mha", ".mrc")
SIZES = {"T": 2, "C": 3, "Z": 7, "Y": 20, "X": 33}


class Chunked:
    """A stored array in chunks that counts how often each of them is decoded."""

    def __init__(self, data, chunks):
        self.data, self.shape, self.dtype, self.chunks = data, data.shape, data.dtype, chunks
        self.decoded = np.zeros([-(-n // c) for n, c in zip(data.shape, chunks, strict=True)], int)
        self.largest = 0

    def __getitem__(self, index):
        found = self.data[index]
        touched = []
        for part, c in zip(index, self.chunks, strict=True):
            first, last = (part.start, part.stop) if isinstance(part, slice) else (part, part + 1)
            touched.append(slice(first // c, -(-last // c)))
        self.decoded[tuple(touched)] += 1
        self.largest = max(self.largest, found.nbytes)
        return found.copy()


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of up to 4 KB."""
    for module in (isoslice.data.blocks, isoslice.io.parts):
        monkeypatch.setattr(module, "MAX_BLOCK_BYTES", 4096)


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))
    dtype = draw(st.sampled_from(["u1", "<u2", ">f4", "f8"]))
    data = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    return data, chunks, tuple(draw(st.permutations(range(len(shape)))))


@given(arrays(), st.sampled_from([64, 512, 4096, 2**20]))
def test_parts_joined_are_the_array(tmp_path_factory, array, room):
    data, chunks, order = array
    folder = tmp_path_factory.getbasetemp()
    before = set(folder.iterdir())
    expected = np.ascontiguousarray(data.transpose(order))
    with pytest.MonkeyPatch.context() as patch:
        for module in (isoslice.data.blocks, isoslice.io.parts):
            patch.setattr(module, "MAX_BLOCK_BYTES", room)
        stored = Chunked(data, chunks)
        for source in (data, LazyArray(stored)):
            found = list(parts(source.transpose(order), folder))
            assert b"".join(part.tobytes() for part in found) == (
                expected.astype(source.dtype).tobytes()
            )
            assert all(part.shape[1:] == expected.shape[-2:] for part in found)
            plane = math.prod(expected.shape[-2:]) * data.itemsize
            assert all(part.nbytes <= max(room, plane) for part in found)
        assert (stored.decoded == 1).all()
        assert sum(1 for _ in planes(data, folder)) == math.prod(data.shape[:-2])
    assert set(folder.iterdir()) == before


def test_parts_of_another_type(tmp_path):
    data = np.arange(60, dtype=np.float16).reshape(3, 4, 5)
    (part,) = parts(LazyArray(data), tmp_path, np.dtype(">f4"))
    assert part.dtype == np.dtype(">f4")
    np.testing.assert_array_equal(part, data)


def varied(axes: str, dtype: str, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    shape = [SIZES[axis] for axis in axes]
    kind = np.dtype(dtype)
    data: Any = rng.normal(90, 40, shape) if kind.kind == "f" else rng.integers(3, 120, shape)
    data = data.astype(kind)
    data[data > 110] = np.nan if kind.kind == "f" and "C" in axes else 111
    spacing = {axis: step for axis, step in {"Z": 2.0, "Y": 0.5, "X": 0.5}.items() if axis in axes}
    names = ("a", "b", "c") if "C" in axes else None
    displays = (Display("FF0000"), Display("00FF00", (1.0, 50.0)), Display()) if names else None
    metadata = Metadata(origin={"Y": 3.0}, displays=displays)
    return Volume(data, axes, spacing, "micrometer", names, {"seed": 1}, metadata=metadata)


def contents(path: Path, suffix: str) -> dict[str, bytes]:
    found = {
        str(file.relative_to(path)): re.sub(rb"urn:uuid:[-0-9a-f]*", b"", file.read_bytes())
        for file in path.rglob("*")
        if file.is_file()
    }
    if suffix == ".mrc":  # a label with the time of day
        found["a.mrc"] = found["a.mrc"][:224] + found["a.mrc"][304:]
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("axes", "dtype"),
    [
        ("ZYX", "uint8"),
        ("ZYX", "float32"),
        ("XZY", "float16"),
        ("YX", "int16"),
        ("TCZYX", "uint16"),
        ("ZCYX", "float32"),
        ("YXTCZ", "float64"),
        ("TYX", "int8"),
    ],
)
def test_lazy_and_in_memory_give_the_same_bytes(tmp_path, small_blocks, suffix, axes, dtype):
    volume = varied(axes, dtype)
    if suffix == ".mrc" and (set(axes) & set("TC")):
        pytest.skip("MRC holds one volume")
    chunks = tuple({"Z": 5, "Y": 8, "X": 16}.get(axis, 1) for axis in axes)
    stored = Chunked(volume.data, chunks)
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, data in ((one, volume.data), (other, LazyArray(stored))):
        folder.mkdir()
        write_volume(folder / f"a{suffix}", Volume(**{**vars(volume), "data": data}))
    assert contents(one, suffix) == contents(other, suffix)
    np.testing.assert_array_equal(read_volume(other / f"a{suffix}").tczyx(), volume.tczyx())


class Computed:
    """Voxels that are computed where they are indexed: they take no memory."""

    def __init__(self, shape, dtype, chunks):
        self.shape, self.dtype, self.chunks, self.largest = shape, np.dtype(dtype), chunks, 0

    def __getitem__(self, index):
        shape = [
            len(range(n)[i]) for n, i in zip(self.shape, index, strict=True) if type(i) is slice
        ]
        self.largest = max(self.largest, math.prod(shape) * self.dtype.itemsize)
        return np.full(shape, 7, self.dtype)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_takes_the_memory_of_a_few_parts(tmp_path, monkeypatch, suffix):
    for module in (isoslice.data.blocks, isoslice.io.parts):
        monkeypatch.setattr(module, "MAX_BLOCK_BYTES", 2**18)
    monkeypatch.setattr("isoslice.io.formats.omezarr.writer._BLOCK_SIDE", 32)
    write_volume(tmp_path / f"small{suffix}", Volume(np.ones((2, 20, 20), np.float32), "ZYX"))
    stored = Computed((64, 256, 256), np.float32, (16, 32, 256))
    volume = Volume(LazyArray(stored), "ZYX", channel_names=("a",))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        write_volume(tmp_path / f"a{suffix}", volume)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stored.largest <= 2**19  # one chunk
    assert peak < 2**22 < volume.data.nbytes / 3
