"""Files that declare or unpack to more than there is: each is refused before memory is taken."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import struct
import zlib

import numcodecs
import numpy as np
import pytest
import tifffile

import isoslice.io.limits as limits
from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume
from isoslice.io.formats.omezarr.codecs import COMPRESSORS, decode
from isoslice.io.reading import open_volume
from untrusted_files import STACK, edit, ome_zarr, refused


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


def test_metadata_of_any_length(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr")
    with (path / ".zattrs").open("ab") as file:
        file.truncate(2**30)
    refused(path, "expected up to")
