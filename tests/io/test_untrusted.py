"""Files made to harm: each is refused by an error that says what is wrong; nothing else happens."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import pickle
import shutil
import struct
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

import isoslice.io.limits as limits
from conftest import Bomb
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.formats.omezarr.codecs import COMPRESSORS, decode
from isoslice.io.reading import open_volume

STACK = np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16)
SPACING = {"Z": 2.0, "Y": 1.0, "X": 1.0}


def ome_zarr(path: Path, data: np.ndarray = STACK, version: int = 2, **options) -> Path:
    group = zarr.create_group(path, zarr_format=version)
    options = {"chunks": data.shape, **options}
    group.create_array("0", shape=data.shape, dtype=data.dtype, **options)[...] = data
    listed = [{"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": "0"}]}]
    attributes = {"multiscales": listed}
    group.attrs.update(attributes if version == 2 else {"ome": attributes})
    return path


def edit(path: Path, **changes) -> None:
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8"
    )


def refused(path: Path, message: str, axes: str | None = None) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_volume(path, axes)
    assert "\n" not in str(caught.value)


# Sizes that files declare.


def test_zarr_larger_than_memory_can_be_opened_not_read(tmp_path, monkeypatch):
    path = ome_zarr(tmp_path / "a.zarr")
    edit(path / "0" / ".zarray", shape=[2**20, 2**20, 2**10], chunks=[64, 64, 64], compressor=None)
    assert open_volume(path).data.shape == (2**20, 2**20, 2**10)
    refused(path, "declares 2 PB")
    # Missing chunks are zeros: legitimate, as long as all of them fit.
    edit(path / "0" / ".zarray", shape=[256, 256, 256])
    shutil.rmtree(path / "0" / "0", ignore_errors=True)
    (path / "0" / "0.0.0").unlink(missing_ok=True)
    assert not read_volume(path).data.any()
    monkeypatch.setattr(limits, "available_memory", lambda: 2**20)
    refused(path, "expected at most the 1 MB of free memory")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [8, 2**16, 2**16], "chunks": [8, 2**16, 2**16]}, "a chunk of shape"),
        ({"shape": [2**14, 64, 64], "chunks": [1, 1, 1]}, "larger chunks"),
        ({"shape": [1] * 40, "chunks": [1] * 40}, "40 dimensions"),
        ({"shape": [-4, 16, 16]}, "cannot be read"),
        ({"dtype": "|O"}, "cannot be read|voxels of type"),
    ],
)
def test_zarr_that_declares_nonsense(tmp_path, changes, message):
    path = ome_zarr(tmp_path / "a.zarr")
    edit(path / "0" / ".zarray", **changes)
    refused(path, message)


def test_npy_that_declares_too_much(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(4, 16, 16), }   ", b"(4000000, 16, 16)}"))
    refused(tmp_path / "a.npy", "cannot be read as a plain .npy array", "ZYX")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + content)
    refused(tmp_path / "a.npy", "its header has 4294967295 bytes", "ZYX")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_that_declares_too_much(tmp_path, suffix, monkeypatch):
    pytest.importorskip("nibabel")
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(STACK, "ZYX"))
    packed = suffix.endswith("gz")
    head = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())

    def put(content: bytes) -> None:
        path.write_bytes(gzip.compress(content, 1) if packed else content)

    larger = head.copy()
    struct.pack_into("<3h", larger, 42, 1000, 1000, 100)
    put(larger)
    refused(path, r"declares 200 MB of voxels")
    monkeypatch.setattr(limits, "available_memory", lambda: 10**8)
    refused(path, r"declares 200 MB \(shape")
    later = head.copy()
    struct.pack_into("<f", later, 108, 1e30)
    put(later)
    refused(path, "its voxels begin at byte")


def test_nifti_with_a_gigabyte_behind_its_voxels(tmp_path):
    pytest.importorskip("nibabel")
    path = tmp_path / "a.nii.gz"
    write_volume(path, Volume(STACK, "ZYX"))
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**24)))
    refused(path, "more in it than its header says")


def test_tiff_whose_strips_are_all_the_same(tmp_path):
    """A small file can point a million times at one strip."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((512, 512), np.uint8), rowsperstrip=1, metadata=None)
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags["StripOffsets"]
        first = struct.pack("<I", tif.pages[0].dataoffsets[0])
        place = tag.valueoffset
    content = bytearray(path.read_bytes())
    for number in range(512):
        content[place + 4 * number : place + 4 * number + 4] = first
    path.write_bytes(content[: place + 8 * 512])
    refused(path, "cannot be read as a TIFF|expected at most")


def test_tiff_with_tags_that_overlap(tmp_path):
    """Every tag's value may lie in the file, and all of them be the whole file."""
    entries = b"".join(struct.pack("<HHII", 40000 + i, 1, 10**6, 8) for i in range(100))
    start = 10**6 + 8
    head = struct.pack("<2sHI", b"II", 42, start) + bytes(10**6)
    body = struct.pack("<H", 100) + entries + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(head + body)
    refused(tmp_path / "a.tif", "its tags overlap")


def test_pictures_with_too_many_pixels(tmp_path):
    """Pillow only warns up to twice its limit, and a program may lift it."""
    from PIL import Image

    def png(width: int, height: int) -> bytes:
        header = struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        chunks = [
            struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c))
            for n, c in parts
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    path = tmp_path / "a.png"
    path.write_bytes(png(60_000, 60_000))
    refused(path, "exceeds limit|pixels, expected up to")
    path.write_bytes(png(12_000, 12_000))  # 144 M: Pillow would warn and go on
    refused(path, "declares 18 MB of voxels")
    Image.new("L", (64, 64)).save(tmp_path / "eps.png", format="EPS")
    refused(tmp_path / "eps.png", "cannot identify image file")


# Decompression bombs.


def pack(name: str, content: bytes) -> bytes:
    return bytes(numcodecs.get_codec({"id": name}).encode(content))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_chunks_decode_to_their_size_or_not_at_all(name):
    content = bytes(range(256)) * 16
    assert decode(name, pack(name, content), 4096).tobytes() == content
    for size in (4095, 4097, 1):
        with pytest.raises((ValueError, RuntimeError)):
            decode(name, pack(name, content), size)
    with pytest.raises((ValueError, RuntimeError)):
        decode(name, pack(name, bytes(2**26)), 4096)
    for kept in (0, 3, 15, 16, 17):
        with pytest.raises((ValueError, RuntimeError)):
            decode(name, pack(name, content)[:kept], 4096)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_zarr_chunk_bombs(tmp_path, name):
    compressor = numcodecs.get_codec({"id": name})
    path = ome_zarr(tmp_path / "a.zarr", compressors=compressor)
    assert np.array_equal(read_volume(path).data, STACK)
    chunk = next(p for p in (path / "0").rglob("0*") if p.is_file())
    chunk.write_bytes(pack(name, bytes(2**26)))
    refused(path, "cannot be read as an image")


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, bit by bit: the package that zarr takes it from changes."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x82F63B78 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def test_crc32c():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, its check value


def test_zarr_shard_bomb(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", version=3, chunks=(4, 8, 8), shards=(4, 16, 16))
    assert np.array_equal(read_volume(path).data, STACK)
    other = ome_zarr(tmp_path / "b.zarr", np.ones((512, 512, 512), np.uint8), version=3)
    bomb = next(p for p in (other / "0" / "c").rglob("*") if p.is_file()).read_bytes()
    # The index, four pairs of numbers and a checksum, at the end: all four are the bomb.
    index = struct.pack("<8Q", *[0, len(bomb)] * 4)
    shard = next(p for p in (path / "0" / "c").rglob("*") if p.is_file())
    shard.write_bytes(bomb + index + struct.pack("<I", crc32c(index)))
    refused(path, "cannot be read as an image")


@pytest.mark.parametrize("compression", ["deflate", "lzma"])
def test_tiff_strip_bombs(tmp_path, compression):
    import lzma

    packed = zlib.compress if compression == "deflate" else lzma.compress
    path, options = tmp_path / "a.tif", {"shape": (16, 16), "dtype": np.uint16, "metadata": None}
    tifffile.imwrite(path, iter([packed(STACK[0].tobytes())]), compression=compression, **options)
    assert np.array_equal(read_volume(path).data, STACK[0])
    bomb = packed(bytes(2**27))
    tifffile.imwrite(path, iter([bomb]), compression=compression, **options)
    if importlib.util.find_spec("imagecodecs") is None:
        refused(path, "a strip unpacks to more than")


@pytest.mark.parametrize(
    ("compression", "old", "new"),
    [
        ("jpeg", b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"),
        ("jpeg2000", struct.pack(">II", 16, 16), struct.pack(">II", 2**31, 2**31)),
        ("webp", struct.pack("<I", 15 << 14 | 15)[:3], struct.pack("<I", 2**28 - 1)[:3]),
    ],
)
def test_tiff_picture_bombs(tmp_path, compression, old, new):
    """Pictures of 16 x 16 pixels in a page of that size say that they are larger."""
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    grey = (STACK[0] % 256).astype(np.uint8)
    data = np.stack([grey, grey.T, grey], -1)
    tifffile.imwrite(path, data, compression=compression, photometric="rgb", metadata=None)
    assert read_volume(path).data.shape == (3, 16, 16)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    refused(path, "a strip or tile unpacks to more than its 256 pixels")


# Paths that lead elsewhere.


@pytest.mark.parametrize("place", ["../b.zarr/0", "/etc", "0/../../b.zarr/0", "", ".", "..\\b", 7])
def test_zarr_paths_stay_inside(tmp_path, place):
    path = ome_zarr(tmp_path / "a.zarr")
    ome_zarr(tmp_path / "b.zarr")
    listed = [{"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": place}]}]
    edit(path / ".zattrs", multiscales=listed)
    refused(path, "leads out of the folder")


def test_zarr_links_stay_inside(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", compressors=None)
    chunk = next(p for p in (path / "0").rglob("0*") if p.is_file())
    kept = chunk.rename(chunk.with_name("moved"))
    chunk.symlink_to(kept)
    assert np.array_equal(read_volume(path).data, STACK)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * STACK.nbytes)
    chunk.unlink()
    chunk.symlink_to(secret)
    refused(path, "leads out of the folder")
    (path / "0").rename(tmp_path / "elsewhere")
    (path / "0").symlink_to(tmp_path / "elsewhere")
    refused(path, "leads out of the folder")


@pytest.mark.parametrize("name", ["../other/b.ome.tif", "/etc/b.tif", "..", "a\\b.tif"])
def test_ome_tiff_names_no_files_elsewhere(tmp_path, name):
    path = tmp_path / "a" / "a.ome.tif"
    path.parent.mkdir()
    ome_tiff(path, name)
    refused(path, "its OME-XML names the file")


def test_ome_tiff_may_name_a_file_beside_it_but_no_link(tmp_path):
    other = tmp_path / "b.ome.tif"
    tifffile.imwrite(other, STACK[0, :, :], metadata=None, ome=False)
    more = '<TiffData FirstZ="1" IFD="0" PlaneCount="1"/>'
    ome_tiff(tmp_path / "a.ome.tif", other.name, more, planes=2)
    assert np.array_equal(read_volume(tmp_path / "a.ome.tif").data, STACK[:2])
    other.rename(tmp_path / "c.tif")
    other.symlink_to(tmp_path / "c.tif")
    refused(tmp_path / "a.ome.tif", "which is a link")


def test_ome_tiff_whose_planes_all_lie_in_another_file(tmp_path):
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK[0, :, :], metadata=None)
    ome_tiff(tmp_path / "a.ome.tif", "b.ome.tif")
    refused(tmp_path / "a.ome.tif", r"holds none of the images .*image 0 in b\.ome\.tif")


def ome_tiff(path: Path, name: str, more: str = "", planes: int = 1) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" '
        f'SizeY="16" SizeZ="{planes}" SizeC="1" SizeT="1"><Channel ID="c" SamplesPerPixel="1"/>'
        f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:2</UUID></TiffData>'
        f"{more}</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, STACK[1], description=xml, metadata=None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('SizeZ="1"', 'SizeZ="999999999"', "SizeZ of 999999999"),
        ('PlaneCount="1"', 'PlaneCount="99999999999"', "PlaneCount of"),
        ("<OME", '<!DOCTYPE a [<!ENTITY b "c">]><OME', "declares a document type"),
    ],
)
def test_ome_xml_that_asks_for_too_much(tmp_path, old, new, message):
    ome_tiff(tmp_path / "a.ome.tif", "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = tif.ome_metadata
    for suffix in (".tif", ".ome.tif"):
        description = xml.replace(old, new, 1)
        tifffile.imwrite(tmp_path / f"b{suffix}", STACK[0], description=description, metadata=None)
        refused(tmp_path / f"b{suffix}", message)


@pytest.mark.parametrize(
    "suffix",
    [".tif", ".npy", ".nii", ".nii.gz", ".png", ".czi", ".nrrd", ".mha", ".dcm", ".mgz", ".hdr"],
)
def test_pipes_and_devices_are_not_opened(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    refused(tmp_path / f"a{suffix}", "device, pipe or folder")
    (tmp_path / f"b{suffix}").symlink_to("/dev/zero")
    refused(tmp_path / f"b{suffix}", "device, pipe or folder")


def test_pipes_within_folders_are_not_opened(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr")
    chunk = next(p for p in (path / "0").rglob("0*") if p.is_file())
    chunk.unlink()
    os.mkfifo(chunk)
    refused(path, "no regular file")
    np.save(tmp_path / "a.npy", STACK)
    os.mkfifo(tmp_path / "a.npy.json")
    refused(tmp_path / "a.npy", "description that does not fit|device, pipe")


# Programs.


def test_npy_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Bomb(tmp_path / "ran")]]), allow_pickle=True)
    refused(tmp_path / "a.npy", "cannot be read", "YX")
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    refused(tmp_path / "a.npy", "cannot be read", "YX")
    assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "a.npy").read_bytes())
    assert (tmp_path / "ran").exists()  # this is what it would have done


@pytest.mark.parametrize("key", ["compressor", "filters"])
@pytest.mark.parametrize("dtype", ["<u2", "|O"])
def test_zarr_2_pickles_are_not_loaded(tmp_path, key, dtype):
    path = ome_zarr(tmp_path / "a.zarr")
    codec = {"id": "pickle", "protocol": 5}
    entry = {"compressor": None, key: [codec] if key == "filters" else codec}
    edit(path / "0" / ".zarray", dtype=dtype, fill_value=None, **entry)
    chunk = next(p for p in (path / "0").rglob("0*") if p.is_file())
    chunk.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    refused(path, "pickle|cannot be read")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
@pytest.mark.parametrize("name", ["numcodecs.pickle", "vlen-utf8", "numcodecs.lzma", "made-up"])
def test_zarr_3_codecs_that_are_not_known_are_refused(tmp_path, name):
    path = ome_zarr(tmp_path / "a.zarr", version=3)
    codecs = json.loads((path / "0" / "zarr.json").read_text(encoding="utf-8"))["codecs"]
    edit(path / "0" / "zarr.json", codecs=[codecs[0], {"name": name, "configuration": {}}])
    refused(path, "cannot be read")


def test_json_nested_too_deeply(tmp_path):
    deep = "[" * 200_000
    path = ome_zarr(tmp_path / "a.zarr")
    (path / ".zattrs").write_text(deep, encoding="utf-8")
    refused(path, "cannot be read")
    np.save(tmp_path / "a.npy", STACK)
    (tmp_path / "a.npy.json").write_text(deep, encoding="utf-8")
    refused(tmp_path / "a.npy", "description that does not fit")


def test_metadata_of_any_length(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr")
    with (path / ".zattrs").open("ab") as file:
        file.truncate(2**30)
    refused(path, "expected up to")
