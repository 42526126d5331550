"""What headers say of patients does not get into results, reports, records or messages."""

import gzip
import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.io import read_volume

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("torch")

SECRETS = (b"GEHEIM", b"MRN4711", b"19610203", b"ST HIDDEN", b"QUACKSALVER", b"ACC9988")
PLANES = np.random.default_rng(0).integers(0, 900, (5, 32, 32)).astype(np.int16)
TAGS = {
    "PatientName": "GEHEIM^JANE",
    "PatientID": "MRN4711",
    "PatientBirthDate": "19610203",
    "InstitutionName": "ST HIDDEN",
    "ReferringPhysicianName": "QUACKSALVER",
    "AccessionNumber": "ACC9988",
    "StudyDescription": "HEAD OF GEHEIM",
    "PatientComments": "GEHEIM",
}


def dicom(folder: Path) -> Path:
    folder.mkdir()
    for number, plane in enumerate(PLANES):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data = pydicom.Dataset()
        data.file_meta, data.SOPClassUID = meta, "1.2.840.10008.5.1.4.1.1.2"
        data.SOPInstanceUID, data.SeriesInstanceUID = f"1.2.3.{number}", "1.2.3"
        meta.MediaStorageSOPClassUID = data.SOPClassUID
        meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.SeriesDescription, data.Modality = "thick", "CT"
        data.ImagePositionPatient = [0, 0, 3 * number]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [0.6, 0.6]
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        for name, value in TAGS.items():
            setattr(data, name, value)
        data.PixelData = plane.astype("<i2").tobytes()
        data["PixelData"].VR = "OW"
        pydicom.dcmwrite(folder / f"{number}", data, enforce_file_format=True)
    return folder


def nifti(path: Path) -> Path:
    image = nibabel.Nifti1Image(PLANES.T, np.diag([0.6, 0.6, 3, 1]))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = image.header["aux_file"] = b"GEHEIM"
    image.header["db_name"] = image.header["intent_name"] = b"MRN4711"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"GEHEIM"))
    nibabel.save(image, path)
    return path


def with_keys(path: Path) -> Path:
    image = sitk.GetImageFromArray(PLANES)
    image.SetSpacing((0.6, 0.6, 3.0))
    for name, value in TAGS.items():
        image.SetMetaData(name, value)
    sitk.WriteImage(image, str(path))
    return path


def content(path: Path) -> bytes:
    stored = path.read_bytes()
    return gzip.decompress(stored) if path.suffix == ".gz" else stored


@pytest.mark.parametrize("kind", ["dicom", "a.nii.gz", "a.nrrd", "a.mha"])
def test_names_of_patients(tmp_path: Path, kind: str, cli: Cli, model_folder: Path) -> None:
    make = {"dicom": dicom, "a.nii.gz": nifti}.get(kind, with_keys)
    stack = make(tmp_path / kind)
    assert b"GEHEIM" in content(stack / "0" if stack.is_dir() else stack)
    told = str(cli("info", stack))
    results = tmp_path / "results"
    results.mkdir()
    for name in ("out.nii.gz", "out.nrrd", "out.ome.zarr", "out.ome.tif"):
        report = results / f"{name}.html"
        ran = cli("predict", stack, "-m", model_folder, "-o", results / name, "--report", report)
        assert ran.code == 0, ran.err
        told += str(ran)
    assert "GEHEIM" not in told
    written = [path for path in results.rglob("*") if path.is_file()]
    assert len(written) > 12
    for path in written:
        assert not [secret for secret in SECRETS if secret in content(path)], path


@pytest.mark.parametrize("kind", ["dicom", "a.nii.gz"])
def test_names_of_files_folders_and_machines(
    tmp_path: Path, kind: str, cli: Cli, model_folder: Path
) -> None:
    folder = tmp_path / "GEHEIM JANE"
    folder.mkdir()
    make = {"dicom": dicom}.get(kind, nifti)
    stack = make(folder / f"GEHEIM.{kind}")
    results = tmp_path / "results"
    results.mkdir()
    names = set()
    for name in ("out.nii.gz", "out.ome.zarr"):  # in memory, and on the disk
        out, report = results / name, results / f"{name}.html"
        options = ("-m", model_folder, "--no-names", "--report", report)
        ran = cli("predict", stack, "-o", out, *options)
        assert ran.code == 0, ran.err
        record = json.loads((results / f"{name}.json").read_text())
        names.add(record["plan"]["source"])
        assert "host" not in record["runs"][0]
        assert not any(socket.gethostname() in key for key in record.get("tasks", {}))
        assert read_volume(out).provenance["source"] == record["plan"]["source"]
    (name,) = names
    assert re.fullmatch(r"unnamed\.[0-9a-f]{8}", name)
    page = results / "check.html"
    checked = cli("check", stack, "-m", model_folder, "--no-names", "--report", page, "--json",
                  results / "check.json")  # fmt: skip
    assert checked.code == 0, checked.err
    assert json.loads((results / "check.json").read_text())["source"] == name
    for path in (each for each in results.rglob("*") if each.is_file()):
        assert not [secret for secret in SECRETS if secret in content(path)], path
        assert b"GEHEIM" not in str(path.relative_to(results)).encode()


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_a_model_knows_the_stack_that_it_was_adapted_to_without_its_name(
    tmp_path: Path, cli: Cli
) -> None:
    stack, out = tmp_path / "GEHEIM.ome.tif", tmp_path / "out.ome.tif"
    write_stack(stack, texture(8, 48, 48), voxel_size=(3, 1, 1))
    ran = cli("predict", stack, "-o", out, "--no-names", "--minutes", 0.01, "--mode", "mean")
    assert ran.code == 0, ran.err
    assert read_volume(out).provenance["source"].startswith("unnamed.")
    for path in (tmp_path / "out.model").iterdir():
        assert b"GEHEIM" not in path.read_bytes(), path


def test_records_keep_counts_without_names() -> None:
    from isoslice.inference.engine.end import without_names

    runs = [{"host": "a", "workers": "tcp://a:8786", "seconds": 1.0}, {"host": "b", "workers": 2}]
    record = {"runs": runs, "tasks": {"a-1-ff": 3, "b-2-ee": 4}, "times": [0, 1]}
    assert without_names(record) == {
        "runs": [{"seconds": 1.0}, {"workers": 2}],
        "tasks": {"process 1": 3, "process 2": 4},
        "times": [0, 1],
    }
    assert without_names({"runs": runs[1:]}) == {"runs": [{"workers": 2}]}
