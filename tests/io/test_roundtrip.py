"""What is written is read back the same, in every format."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isoslice.io.parts
from isoslice.data.volume import DTYPES, Volume, VoxelSize
from isoslice.errors import DataError, OutputError
from isoslice.io import read_volume, require_voxel_size, write_volume

SUFFIXES = (
    ".ome.zarr",
    ".zarr",
    ".ome.tif",
    ".ome.tiff",
    ".tif",
    ".nii",
    ".nii.gz",
    ".npy",
    ".nrrd",
    ".mha",
)
REORDERS = {".ome.zarr": "TCZYX", ".zarr": "TCZYX", ".nii": "XYZTC", ".nii.gz": "XYZTC"}
REORDERS |= {".nrrd": "TCZYX", ".mha": "TCZYX"}
#: Formats that have no float16.
WIDENS = (".nii", ".nii.gz", ".nrrd", ".mha")
PROVENANCE = {"model": "cells µ", "seed": 3, "nested": {"factor": 5, "list": [1, 2.5, None, True]}}


@st.composite
def volumes(draw):
    rest = "".join(axis for axis in "TCZ" if draw(st.booleans()))
    axes = "".join(draw(st.permutations(rest + "YX")))
    shape = tuple(draw(st.integers(1, 4)) for _ in axes)
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bits = rng.integers(0, 256, (int(np.prod(shape)) * np.dtype(dtype).itemsize,), dtype=np.uint8)
    data = bits.view(dtype).reshape(shape)
    if dtype.startswith("float") and not draw(st.booleans()):
        data = rng.normal(size=shape).astype(dtype)
    step = st.floats(1e-3, 1e3, allow_nan=False)
    spacing = {axis: draw(step) for axis in "ZYX" if axis in axes and draw(st.booleans())}
    unit = st.sampled_from(["micrometer", "nanometer", "millimeter", "angstrom", None])
    channels = shape[axes.index("C")] if "C" in axes else 1
    return Volume(
        data,
        axes,
        spacing,
        draw(unit) if spacing else None,
        tuple(f"c{i} é" for i in range(channels)) if draw(st.booleans()) else None,
        draw(st.sampled_from([None, {}, PROVENANCE])),
    )


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def expected_axes(suffix, axes):
    if suffix in REORDERS:
        return "".join(axis for axis in REORDERS[suffix] if axis in axes)
    if suffix != ".npy" and not axes.endswith("YX"):
        return "".join(axis for axis in "TCZYX" if axis in axes)
    return axes


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(volume=volumes())
def test_round_trip(suffix, volume):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write_volume(path, volume)
        back = read_volume(path)
        assert os.listdir(folder) == [path.name] or suffix == ".npy"  # noqa: PTH208
    kept = volume.tczyx()
    if kept.dtype == np.float16 and suffix in WIDENS:
        kept = kept.astype(np.float32)
    assert same_bits(back.tczyx(), kept)
    assert back.axes == expected_axes(suffix, volume.axes)
    assert back.spacing == volume.spacing
    assert back.unit == volume.unit
    assert back.channel_names == volume.channel_names
    assert back.provenance == volume.provenance
    assert back.source == str(path)
    assert back.data.dtype.isnative


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_overwrite(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    first = Volume(np.zeros((2, 3, 4), np.uint8), "ZYX")
    second = Volume(np.ones((5, 4, 3), np.float32), "ZYX")
    write_volume(path, first)
    with pytest.raises(OutputError, match="exists; choose another name or add --overwrite"):
        write_volume(path, second)
    assert read_volume(path).data.dtype == np.uint8
    write_volume(path, second, overwrite=True)
    assert read_volume(path).tczyx().shape == (1, 1, 5, 4, 3)
    assert len(list(tmp_path.iterdir())) == (2 if suffix == ".npy" else 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_failed_write_leaves_nothing(tmp_path, suffix, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    def full_after_one(*args, **kwargs):
        yield next(some(*args, **kwargs))
        full()

    some = isoslice.io.parts.parts
    for target in ("isoslice.io.parts.parts", "isoslice.io.formats.tiff.writer.parts"):
        monkeypatch.setattr(target, full_after_one)
    monkeypatch.setattr("zarr.Array.__setitem__", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_volume(tmp_path / f"a{suffix}", Volume(np.ones((2, 3, 4), np.uint8), "ZYX"))
    assert list(tmp_path.iterdir()) == []


def test_unknown_suffix_lists_the_known(tmp_path):
    with pytest.raises(OutputError, match=r"\.ome\.zarr.*\.npy"):
        write_volume(tmp_path / "a.h5", Volume(np.ones((2, 3), np.uint8), "YX"))


def test_nothing_to_write(tmp_path):
    with pytest.raises(OutputError, match="without voxels"):
        write_volume(tmp_path / "a.tif", Volume(np.ones((0, 3), np.uint8), "YX"))


def test_provenance_of_numpy_and_paths(tmp_path):
    provenance = {"a": np.float32(0.5), "b": np.arange(2), "c": Path("x"), "d": (1, 2)}
    volume = Volume(np.ones((2, 3), np.uint8), "YX", provenance=provenance)
    write_volume(tmp_path / "a.tif", volume)
    found = read_volume(tmp_path / "a.tif").provenance
    assert found == {"a": 0.5, "b": [0, 1], "c": "x", "d": [1, 2]}


@pytest.mark.parametrize("bad", [float("nan"), object()])
def test_provenance_json_cannot_hold(tmp_path, bad):
    volume = Volume(np.ones((2, 3), np.uint8), "YX", provenance={"a": bad})
    with pytest.raises(OutputError, match="JSON cannot hold"):
        write_volume(tmp_path / "a.ome.zarr", volume)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_not_contiguous_and_foreign_byte_order(tmp_path, suffix):
    data = np.arange(240, dtype=">u2").reshape(4, 6, 10)[::2, ::-1, 1:9]
    write_volume(tmp_path / f"a{suffix}", Volume(data, "ZYX", {"Z": 2.0}, "micrometer"))
    back = read_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(back.tczyx()[0, 0], data)
    assert back.data.dtype == np.uint16


def test_voxel_size_required(tmp_path):
    write_volume(tmp_path / "a.tif", Volume(np.ones((2, 3, 4), np.uint8), "ZYX", {"Y": 2.0}))
    with pytest.raises(DataError, match=r"a\.tif: no voxel size along Z and X .* --voxel-size"):
        require_voxel_size(read_volume(tmp_path / "a.tif"))
    volume = read_volume(tmp_path / "a.tif", voxel_size=VoxelSize(3.0, 2.0, 1.0))
    assert require_voxel_size(volume) == (3.0, 2.0, 1.0)
    assert volume.unit == "micrometer"
