"""Zipped OME-Zarr: read as the folder is, and harmless however it was made."""

import struct
import zipfile

import numpy as np
import pytest
import zarr

from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.image_collection import find_images
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume

STACK = np.random.default_rng(0).integers(0, 2**16, (5, 40, 30), dtype=np.uint16)
VOLUME = Volume(
    STACK,
    "ZYX",
    {"Z": 2.0, "Y": 0.5, "X": 0.5},
    "micrometer",
    metadata=Metadata(origin={"Z": 1.0, "Y": 2.0, "X": 3.0}),
)


def pack(folder, path, packing=zipfile.ZIP_STORED, start=""):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, start + file.relative_to(folder).as_posix())
    return path


@pytest.fixture
def folder(tmp_path):
    write_volume(tmp_path / "a.ome.zarr", VOLUME)
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize("name", ["b.ome.zarr.zip", "b.zarr.zip", "b.OZX"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("start", ["", "a.ome.zarr/", "./"])
def test_it_is_read_as_the_folder_is(folder, tmp_path, name, packing, start):
    path = pack(folder, tmp_path / name, packing, start)
    volume, same = open_volume(path), open_volume(folder)
    assert isinstance(volume.data, LazyArray)
    assert np.array_equal(volume.data[1:3, 5, :], STACK[1:3, 5, :])
    assert np.array_equal(np.asarray(volume.data), STACK)
    assert (volume.axes, volume.spacing, volume.unit) == (same.axes, same.spacing, same.unit)
    assert volume.metadata == VOLUME.metadata


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zarr_2_written_by_zarr_itself(tmp_path):
    store = zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="w")
    group = zarr.create_group(store=store, zarr_format=2)
    group.create_array("0", data=STACK, chunks=(2, 16, 16))
    axes = [{"name": a} for a in "zyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    store.close()
    assert np.array_equal(read_volume(tmp_path / "a.zarr.zip").data, STACK)


def test_what_macos_adds_is_ignored(folder, tmp_path):
    path = pack(folder, tmp_path / "b.zarr.zip", start="a/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/a/zarr.json", "x")
        archive.writestr("__MACOSX/._a", "x")
    assert np.array_equal(read_volume(path).data, STACK)


def test_several_images_in_an_archive(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "b.ozx", "w") as archive:
        root = '{"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", '
        archive.writestr("zarr.json", root + '"bioformats2raw.layout": 3}}}')
        for number in "01":
            for file in folder.rglob("*"):
                if file.is_file():
                    archive.write(file, f"{number}/{file.relative_to(folder).as_posix()}")
    assert np.array_equal(read_volume(tmp_path / "b.ozx", series=1).data, STACK)


def test_a_folder_of_archives_is_a_folder_of_images(folder, tmp_path):
    (tmp_path / "in").mkdir()
    path = pack(folder, tmp_path / "in" / "b.ozx")
    assert find_images(tmp_path / "in") == [path]


def refused(path, message):
    with pytest.raises(DataError, match=message) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\x"])
def test_names_that_lead_out(folder, tmp_path, name):
    path = pack(folder, tmp_path / "b.zarr.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    refused(path, "leads out of it")


def test_without_zarr_or_with_two(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    refused(tmp_path / "b.zarr.zip", "0 folders in it have Zarr metadata")
    path = pack(folder, tmp_path / "c.zarr.zip", start="a/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/zarr.json", "x")
    refused(path, "2 folders in it have Zarr metadata")
    (tmp_path / "d.zarr.zip").write_bytes(b"no archive")
    refused(tmp_path / "d.zarr.zip", "cannot be read as a zipped OME-Zarr image")


def test_bombs(folder, tmp_path, monkeypatch):
    # A chunk of zeros that unpacks to more than a chunk of the array has.
    chunk = next(p for p in (folder / "0" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(bytes(2**27))
    path = pack(folder, tmp_path / "b.zarr.zip", zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    refused(path, "unpacks to 134217728 bytes")
    # Metadata of 17 MB.
    (folder / "zarr.json").write_bytes(b" " * 17 * 2**20)
    refused(pack(folder, tmp_path / "c.zarr.zip", zipfile.ZIP_DEFLATED), "zarr.json has 17825792")
    # A list of entries that is longer than allowed.
    monkeypatch.setattr("isoslice.io.zip_entries.MAX_DIRECTORY", 100)
    refused(path, "its list of entries has")


def change(path, offset, code, number, signature=b"PK\x01\x02"):
    """Change a field of the entry that comes last in the archive's list."""
    content = bytearray(path.read_bytes())
    struct.pack_into(code, content, content.rfind(signature) + offset, number)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "code", "number", "message"),
    [
        (24, "<I", 2**31, "declares 2147483648 bytes"),
        (20, "<I", 2**31, "declares .* bytes"),
        (42, "<I", 2**31, "declares .* bytes"),
        (8, "<H", 1, "encrypted"),
        (10, "<H", 12, "not packed by deflate"),
    ],
)
def test_entries_that_declare_nonsense(folder, tmp_path, offset, code, number, message):
    path = pack(folder, tmp_path / "b.zarr.zip", zipfile.ZIP_DEFLATED)
    change(path, offset, code, number)
    refused(path, message)


def test_damage_is_found_by_checksums(folder, tmp_path):
    for file in folder.rglob("c"):
        chunk = next(p for p in file.rglob("*") if p.is_file())
    path = pack(folder, tmp_path / "b.zarr.zip")
    content = path.read_bytes()
    place = content.index(chunk.read_bytes())
    path.write_bytes(content[: place + 50] + b"?" + content[place + 51 :])
    refused(path, "its checksum is another")


def test_it_is_no_output(tmp_path):
    from isoslice.errors import OutputError

    with pytest.raises(OutputError, match="unknown suffix"):
        write_volume(tmp_path / "a.zarr.zip", VOLUME)
