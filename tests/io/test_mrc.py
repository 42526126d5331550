"""MRC against mrcfile: voxels, sizes in ångström, places; and what IMOD means by its bytes."""

from __future__ import annotations

import bz2
import gzip
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from conftest import texture
from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning, OutputError
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import open_volume

mrcfile = pytest.importorskip("mrcfile")

FORMATS = Path(__file__).parents[3] / "shared" / "formats"
SIZE = (40.0, 8.3, 8.3)
IMOD = 1146047817


def write_mrc(path, data, size=SIZE, **header):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        if size is not None:
            file.voxel_size = size[::-1]
        for name, value in header.items():
            setattr(file.header, name, value)
    return path


def patched(path, **values):
    """Overwrite numbers of the header, by offset: ``at152=(1, "i")``."""
    content = bytearray(path.read_bytes())
    for name, (value, code) in values.items():
        struct.pack_into("<" + code, content, int(name[2:]), value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
def test_voxels_and_sizes_are_those_that_mrcfile_wrote(tmp_path, dtype, packed):
    data = (texture(5, 12, 16).astype(np.int16) - 105).astype(dtype)
    path = write_mrc(tmp_path / "a.mrc", data)
    if packed:
        pack = gzip.compress if packed == ".gz" else bz2.compress
        path = tmp_path / ("a.mrc" + packed)
        path.write_bytes(pack((tmp_path / "a.mrc").read_bytes()))
    volume = read_volume(path)
    assert volume.data.dtype == np.dtype(dtype)
    assert np.array_equal(volume.data, data)
    assert volume.axes == "ZYX"
    assert volume.voxel_size == pytest.approx(SIZE)
    assert volume.unit == "angstrom"


def test_big_endian_files_are_read(tmp_path):
    data = texture(5, 12, 16).astype(">i2")
    path = write_mrc(tmp_path / "a.mrc", data)
    assert path.read_bytes()[212:214] == b"\x11\x11"
    assert np.array_equal(read_volume(path).data, data)


def test_uncompressed_voxels_are_read_where_they_are_indexed(tmp_path):
    data = texture(5, 12, 16).astype(np.int16)
    volume = open_volume(write_mrc(tmp_path / "a.rec", data))
    assert np.array_equal(volume.data[2, 3:5], data[2, 3:5])
    assert not isinstance(volume.data, np.ndarray)


def test_the_order_of_axes_is_honoured(tmp_path):
    data = texture(5, 12, 16).astype(np.int16)
    path = write_mrc(tmp_path / "a.map", data)
    with mrcfile.open(path, "r+") as file:
        file.header.mapc, file.header.mapr, file.header.maps = 3, 1, 2  # columns along Z
        for axis, n in zip("zxy", (16, 12, 5), strict=True):
            file.header[f"m{axis}"] = n
            file.header.cella[axis] = n * {"z": 40, "y": 8, "x": 9}[axis]
        file.header.nxstart, file.header.nystart, file.header.nzstart = 2, 3, 4
    volume = read_volume(path)
    assert volume.axes == "YXZ"
    assert volume.spacing == {"Z": 40.0, "Y": 8.0, "X": 9.0}
    assert volume.metadata.origin == {"Z": 80.0, "X": 27.0, "Y": 32.0}
    assert np.array_equal(volume.tczyx()[0, 0, 7], data[:, :, 7])


def test_unknown_sizes_are_asked_for(tmp_path):
    data = texture(5, 12, 16).astype(np.int16)
    assert open_volume(write_mrc(tmp_path / "a.mrc", data, None)).spacing == {}
    # IMOD writes 1 where it knows none.
    assert open_volume(write_mrc(tmp_path / "b.mrc", data, (1, 1, 1))).spacing == {}
    with mrcfile.open(tmp_path / "b.mrc", "r+") as file:
        file.set_image_stack()
        file.voxel_size = (8.0, 8.0, 8.0)
    assert open_volume(tmp_path / "b.mrc").spacing == {"Y": 8.0, "X": 8.0}


def test_bytes_are_signed_unless_imod_or_their_values_say_otherwise(tmp_path):
    data = np.arange(-128, 128, dtype=np.int8).reshape(4, 8, 8)
    path = write_mrc(tmp_path / "a.mrc", data)
    assert np.array_equal(read_volume(path).data, data)
    patched(path, at152=(IMOD, "i"), at156=(0, "i"))
    assert np.array_equal(read_volume(path).data, data.view(np.uint8))
    patched(path, at156=(1, "i"))
    assert np.array_equal(read_volume(path).data, data)
    patched(path, at152=(0, "i"), at76=(0.0, "f"), at80=(255.0, "f"))
    assert np.array_equal(read_volume(path).data, data.view(np.uint8))
    patched(path, at152=(IMOD, "i"), at156=(16, "i"))
    with pytest.raises(DataError, match="4-bit voxels"):
        read_volume(path)


def test_imod_has_the_other_sign_of_the_origin(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", texture(5, 12, 16).astype(np.int16))
    with mrcfile.open(path, "r+") as file:
        file.header.origin = (10.0, 20.0, 30.0)
    assert read_volume(path).metadata.origin == {"X": 10.0, "Y": 20.0, "Z": 30.0}
    patched(path, at152=(IMOD, "i"), at156=(4, "i"))
    assert read_volume(path).metadata.origin == {"X": 10.0, "Y": 20.0, "Z": 30.0}
    patched(path, at156=(0, "i"))
    assert read_volume(path).metadata.origin == {"X": -10.0, "Y": -20.0, "Z": -30.0}


def test_what_is_no_volume_is_refused_or_told(tmp_path):
    data = texture(6, 12, 16)
    with pytest.raises(DataError, match="voxels of type complex64"):
        read_volume(write_mrc(tmp_path / "a.mrc", data.astype(np.complex64)))
    with pytest.warns(IsosliceWarning, match="tilt series"):
        read_volume(write_mrc(tmp_path / "a.st", data.astype(np.int16)))
    stack = data.astype(np.int16).reshape(2, 3, 12, 16)
    path = write_mrc(tmp_path / "b.mrc", stack)
    with pytest.warns(IsosliceWarning, match="2 volumes"):
        assert np.array_equal(read_volume(path, "TZYX").data, stack)
    path = write_mrc(tmp_path / "c.mrc", stack[0])
    patched(path, at60=(120.0, "f"))
    with pytest.warns(IsosliceWarning, match="not perpendicular"):
        read_volume(path)


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_cut_off_are_refused(tmp_path, packed):
    path = write_mrc(tmp_path / "a.mrc", texture(5, 12, 16).astype(np.int16))
    content = path.read_bytes()[:-100]
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=r"cut off or damaged|cannot be read as an MRC"):
        open_volume(path)


def test_what_is_declared_is_checked_before_it_is_allocated(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", texture(5, 12, 16).astype(np.int16))
    patched(path, at8=(2**30, "i"))
    with pytest.raises(DataError, match="expected at most"):
        open_volume(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="expected at most"):
        open_volume(path)


@pytest.mark.parametrize("suffix", [".mrc", ".map", ".rec"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16", "float32"])
def test_written_files_are_what_mrcfile_reads(tmp_path, suffix, dtype):
    data = texture(5, 12, 16).astype(dtype)
    spacing = {"Z": 0.04, "Y": 0.0083, "X": 0.0083}
    path = tmp_path / f"a{suffix}"
    place = Metadata(origin={"Z": 1.5, "Y": 2.0, "X": -3.0}, time_step=2.0, time_unit="second")
    write_volume(path, Volume(data, "ZYX", spacing, "micrometer", None, {"seed": 1}, "a", place))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # what mrcfile finds wrong
        file = mrcfile.open(path)
    with file:
        assert np.array_equal(file.data, data)
        assert file.is_volume()
        size = file.voxel_size
        assert (size.z, size.y, size.x) == pytest.approx((400, 83, 83))
        assert file.header.origin.tolist() == (-30000.0, 20000.0, 15000.0)
    found = read_volume(path)
    assert found.data.dtype == np.dtype("uint16" if dtype == "uint8" else dtype)
    assert np.array_equal(found.data, data)
    assert found.spacing == spacing
    assert found.unit == "micrometer"
    assert found.provenance == {"seed": 1}
    assert found.metadata == place


def test_what_mrc_cannot_hold_is_refused_and_nothing_is_left(tmp_path):
    for volume in (
        Volume(texture(5, 12, 16).astype(np.int32), "ZYX"),
        Volume(texture(5, 12, 16).astype(np.float64), "ZYX"),
        Volume(texture(2, 5, 12, 16), "CZYX"),
        Volume(texture(2, 5, 12, 16), "TZYX"),
    ):
        with pytest.raises(OutputError, match=r"\.ome\.tif"):
            write_volume(tmp_path / "a.mrc", volume)
    assert list(tmp_path.iterdir()) == []


def test_refusals_come_before_the_work(cli, stack_file, model_folder, tmp_path):
    import tifffile

    wide = tmp_path / "wide.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeZ": 3}
    tifffile.imwrite(wide, texture(5, 40, 44).astype(np.int32), ome=True, metadata=metadata)
    ran = cli("predict", wide, "-o", tmp_path / "out.mrc", "-m", model_folder, "-q")
    assert ran.code == 1
    assert "got voxels of type int32" in ran.err[-1]
    ran = cli("predict", stack_file, "-o", tmp_path / "out.mrc", "-m", model_folder, "-q")
    assert ran.code == 0, ran.err
    with mrcfile.open(tmp_path / "out.mrc") as file:
        assert file.data.shape == (13, 40, 44)
        assert file.voxel_size.z == pytest.approx(10000)


@pytest.mark.shared
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no shared folder beside the checkout")
@pytest.mark.parametrize("name", ["EMD-3001.map", "EMD-3197.map", "EMD-3197.map.bz2"])
def test_maps_of_the_emdb_are_read(name):
    path = FORMATS / "mrc" / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsosliceWarning)
        volume = read_volume(path)
    with mrcfile.open(path) as file:
        assert np.array_equal(volume.data, file.data)
        size = file.voxel_size
        assert volume.voxel_size == pytest.approx([float(size[a]) for a in "zyx"])
    assert volume.axes == ("YXZ" if "3001" in name else "ZYX")
