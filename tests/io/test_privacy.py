"""What headers say of patients does not get into results, reports, records or messages."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli

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
