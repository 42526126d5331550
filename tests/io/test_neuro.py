"""MGH, Analyze and NIfTI pairs against nibabel; and formats that only say what converts them."""

from pathlib import Path

import numpy as np
import pytest

from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume

nibabel = pytest.importorskip("nibabel")
SHARED = Path(__file__).parents[3] / "shared"
DATA = np.random.default_rng(0).integers(-500, 3000, (6, 5, 4)).astype(np.int16)
AFFINE = np.array([[-0.7, 0, 0, 90], [0, 0, 3, 120], [0, -0.5, 0, -300], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_mgh(tmp_path, suffix, dtype):
    data = np.stack([DATA, DATA // 2], -1).astype(dtype)
    image = nibabel.MGHImage(data, AFFINE)
    image.header.set_zooms((0.7, 0.5, 3.0, 2500))
    nibabel.save(image, tmp_path / f"a{suffix}")
    volume = read_volume(tmp_path / f"a{suffix}")
    assert volume.axes == "XYZT"
    assert volume.data.dtype == dtype
    assert np.array_equal(volume.data, data)
    assert volume.voxel_size == pytest.approx((3.0, 0.5, 0.7))
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (2500, "millisecond")
    write_volume(tmp_path / "b.nii", volume)
    assert np.allclose(nibabel.load(tmp_path / "b.nii").affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("suffix", [".img", ".img.gz"])
@pytest.mark.parametrize("named", [".hdr", "the other"])
@pytest.mark.parametrize("kind", ["Nifti1Pair", "Nifti2Pair"])
def test_nifti_in_two_files(tmp_path, suffix, named, kind):
    image = getattr(nibabel, kind)(DATA, AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.img")
    if suffix == ".img.gz":
        import gzip

        (tmp_path / "a.img.gz").write_bytes(gzip.compress((tmp_path / "a.img").read_bytes()))
        (tmp_path / "a.img").unlink()
    volume = read_volume(tmp_path / ("a.hdr" if named == ".hdr" else f"a{suffix}"))
    assert np.array_equal(volume.data, DATA)
    assert np.allclose(volume.metadata.orientation.affine, AFFINE)
    assert volume.unit == "millimeter"


def test_analyze_says_no_direction(tmp_path):
    image = nibabel.AnalyzeImage(DATA, np.diag([0.7, 0.5, 3, 1]))
    nibabel.save(image, tmp_path / "a.img")
    volume = read_volume(tmp_path / "a.img")
    assert np.array_equal(volume.data, DATA)
    assert volume.voxel_size == pytest.approx((3.0, 0.5, 0.7))
    assert volume.unit == "millimeter"
    assert volume.metadata.orientation is None


def test_spm_scales(tmp_path):
    image = nibabel.Spm2AnalyzeImage(DATA / 7, np.diag([0.7, 0.5, 3, 1]))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.img")
    volume = read_volume(tmp_path / "a.hdr")
    assert volume.data.dtype == np.float32
    expected = np.asarray(nibabel.load(tmp_path / "a.img").dataobj)
    assert np.allclose(volume.data, expected, rtol=1e-5)


def test_half_of_a_pair(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(DATA, AFFINE), tmp_path / "a.img")
    (tmp_path / "a.img").rename(tmp_path / "b.img")
    for name in ("a.hdr", "b.img"):
        with pytest.raises(DataError, match=r"one of two files, expected .\.hdr and .\.img"):
            read_volume(tmp_path / name)


def test_other_headers(tmp_path):
    (tmp_path / "a.hdr").write_text("ENVI\nsamples = 4\n", encoding="utf-8")
    (tmp_path / "a.img").write_bytes(bytes(64))
    with pytest.raises(DataError, match="ENVI's and other"):
        read_volume(tmp_path / "a.hdr")


def test_what_is_declared_must_be_there(tmp_path):
    nibabel.save(nibabel.MGHImage(DATA, AFFINE), tmp_path / "a.mgh")
    nibabel.save(nibabel.AnalyzeImage(DATA, np.eye(4)), tmp_path / "a.img")
    nibabel.save(nibabel.Nifti1Pair(DATA, AFFINE), tmp_path / "b.img")
    for name in ("a.mgh", "a.img", "b.img"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:200])
        with pytest.raises(DataError, match=r"cut off|cannot be read"):
            read_volume(tmp_path / name)
    content = bytearray((tmp_path / "a.mgh").read_bytes())
    content[4:16] = b"\x7f\xff\xff\xff" * 3
    (tmp_path / "a.mgh").write_bytes(content)
    with pytest.raises(DataError, match=r"expected at most the|in a file of that size"):
        read_volume(tmp_path / "a.mgh")


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("a.mnc", "mnc2nii"),
        ("a+orig.HEAD", "3dAFNItoNIFTI"),
        ("a+orig.BRIK.gz", "3dAFNItoNIFTI"),
        ("a.PAR", "dcm2niix"),
    ],
)
def test_formats_that_are_not_read(tmp_path, name, tool):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DataError, match=f"is not read.*{tool}"):
        read_volume(tmp_path / name)


def test_philips_rec_is_no_tomogram(tmp_path):
    for name in ("a.PAR", "a.REC"):
        (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DataError, match=r"PAR/REC.*dcm2niix"):
        read_volume(tmp_path / "a.REC")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "anatomical.nii",
        "functional.nii",
        "example4d.nii.gz",
        "example_nifti2.nii.gz",
        "standard.nii.gz",
        "test.mgz",
    ],
)
def test_real_files(tmp_path, name):
    image = nibabel.load(SHARED / "formats" / "nibabel" / name)
    volume = read_volume(SHARED / "formats" / "nibabel" / name)
    assert np.allclose(volume.data, image.get_fdata(), rtol=1e-6)
    write_volume(tmp_path / "a.nii.gz", volume)
    again = nibabel.load(tmp_path / "a.nii.gz")
    assert np.allclose(again.affine, image.affine, atol=1e-5)
    zooms = [*image.header.get_zooms()[:3], *again.header.get_zooms()[3:]]
    assert np.allclose(again.header.get_zooms(), zooms)
