"""Files made to harm: each is refused by an error that says what is wrong; nothing else happens."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import Bomb
from isoslice.io import read_volume
from untrusted_files import STACK, edit, ome_zarr, refused


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
