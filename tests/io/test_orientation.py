"""Where voxels lie in a scanner's space survives reading, refining, writing and other formats."""

from dataclasses import replace

import numpy as np
import pytest

from isoslice.data.metadata import Metadata, Orientation, as_matrix
from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume

nibabel = pytest.importorskip("nibabel")
DATA = np.random.default_rng(0).integers(0, 256, (7, 6, 5), dtype=np.uint8)  # X, Y, Z
LPS = np.array([[-0.7, 0, 0, 90], [0, -0.7, 0, 120], [0, 0, 2.8, -300], [0, 0, 0, 1.0]])
LAS = np.diag([-0.7, 0.7, 2.8, 1])
TURNED = np.array(
    [
        [0.7 * 0.96, -0.7 * 0.224, 2.8 * 0.168, 12.5],
        [0.7 * 0.28, 0.7 * 0.768, -2.8 * 0.576, -7],
        [0, 0.7 * 0.6, 2.8 * 0.8, 30],
        [0, 0, 0, 1],
    ]
)
SHEARED = TURNED @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
K = 4


def save(path, affine, sform=1, qform=1, data=DATA, zooms=(), units=("mm", "sec")):
    image = nibabel.Nifti1Image(data, None)
    if qform:
        image.header.set_qform(affine, code=qform)
    if sform:
        image.header.set_sform(affine, code=sform)
    image.header.set_xyzt_units(*units)
    if zooms:
        image.header.set_zooms(zooms)
    nibabel.save(image, path)
    return path


def refined(volume, k=K):
    """What a prediction makes of a volume, as far as places go."""
    at = volume.axes.index("Z")
    data = np.repeat(volume.data, k, at).take(range((volume.size("Z") - 1) * k + 1), axis=at)
    spacing = {**volume.spacing, "Z": volume.spacing["Z"] / k}
    return replace(volume, data=data, spacing=spacing, metadata=volume.metadata.refined("Z", k))


@pytest.mark.parametrize("affine", [LPS, LAS, TURNED, np.diag([0.7, 0.7, 2.8, 1])])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 1), (3, 2)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_refined_along_z(tmp_path, affine, sform, qform, suffix):
    zooms = (0.7, 0.7, 2.8)
    volume = read_volume(save(tmp_path / f"a{suffix}", affine, sform, qform, zooms=zooms))
    write_volume(tmp_path / f"b{suffix}", refined(volume))
    image = nibabel.load(tmp_path / f"b{suffix}")
    expected = affine @ np.diag([1, 1, 1 / K, 1])
    assert np.allclose(image.affine, expected, atol=1e-5)
    assert np.allclose(image.affine @ [0, 0, 0, 1], affine @ [0, 0, 0, 1], atol=1e-5)
    assert int(image.header["sform_code"]) == sform
    assert int(image.header["qform_code"]) == qform
    if qform:
        assert np.allclose(image.header.get_qform(), expected, atol=1e-5)
    assert np.allclose(image.header.get_zooms(), [0.7] * 3)
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    assert np.array_equal(np.asarray(image.dataobj)[:, :, ::K], DATA)


def test_sform_and_qform_that_differ_are_both_kept(tmp_path):
    save(tmp_path / "a.nii", LPS)
    image = nibabel.load(tmp_path / "a.nii")
    image.header.set_sform(TURNED, code=4)
    image.header.set_qform(LPS, code=1)
    nibabel.save(nibabel.Nifti1Image(DATA, None, image.header), tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", refined(read_volume(tmp_path / "a.nii")))
    header = nibabel.load(tmp_path / "b.nii").header
    assert np.allclose(header.get_sform(), TURNED @ np.diag([1, 1, 1 / K, 1]), atol=1e-5)
    assert np.allclose(header.get_qform(), LPS @ np.diag([1, 1, 1 / K, 1]), atol=1e-5)
    assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 1)


def test_shear_is_kept_by_the_sform(tmp_path):
    save(tmp_path / "a.nii", SHEARED, qform=0, zooms=(0.7, 0.7, 2.8))
    write_volume(tmp_path / "b.nii", read_volume(tmp_path / "a.nii"))
    assert np.allclose(nibabel.load(tmp_path / "b.nii").affine, SHEARED, atol=1e-5)


def test_neither_code(tmp_path):
    """Method 1 of NIfTI: a spacing and no place."""
    volume = read_volume(save(tmp_path / "a.nii", LPS, 0, 0, zooms=(0.7, 0.7, 2.8)))
    assert volume.metadata.orientation is None
    assert volume.voxel_size == pytest.approx((2.8, 0.7, 0.7))


def test_time_between_volumes(tmp_path):
    data = np.stack([DATA, DATA], -1)
    for unit, name, step in (("sec", "second", 2), ("msec", "millisecond", 2000)):
        zooms = (0.7, 0.7, 2.8, step)
        volume = read_volume(save(tmp_path / "a.nii", LPS, 1, 0, data, zooms, ("mm", unit)))
        assert (volume.metadata.time_step, volume.metadata.time_unit) == (step, name)
        write_volume(tmp_path / "b.nii", refined(volume), overwrite=True)
        header = nibabel.load(tmp_path / "b.nii").header
        assert np.allclose(header.get_zooms(), (0.7, 0.7, 0.7, step))
        assert header.get_xyzt_units() == ("mm", unit)


def test_time_in_units_that_nifti_has_not(tmp_path):
    metadata = Metadata(time_step=0.5, time_unit="minute")
    volume = Volume(np.zeros((2, 3, 4, 5), np.uint8), "TZYX", metadata=metadata)
    write_volume(tmp_path / "a.nii", volume)
    header = nibabel.load(tmp_path / "a.nii").header
    assert header.get_zooms()[3] == 30
    assert header.get_xyzt_units()[1] == "sec"


@pytest.mark.parametrize("code", ["hz", "ppm", "rads"])
def test_frequencies_are_no_time(tmp_path, code):
    save(tmp_path / "a.nii", LPS, data=np.stack([DATA, DATA], -1), units=("mm", code))
    assert read_volume(tmp_path / "a.nii").metadata.time_step is None


def test_matrices_that_map_nowhere_are_none(tmp_path):
    save(tmp_path / "a.nii", LPS, 0, 1, zooms=(0.7, 0.7, 2.8))
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[254:256] = b"\x01\0"  # an sform of zeros has a code
    (tmp_path / "b.nii").write_bytes(content)
    orientation = read_volume(tmp_path / "b.nii").metadata.orientation
    assert (orientation.sform_code, orientation.qform_code) == (0, 1)
    assert np.allclose(orientation.affine, LPS, atol=1e-5)
    content[256:260] = np.float32(9).tobytes()  # and the quaternion is none
    (tmp_path / "c.nii").write_bytes(content)
    assert read_volume(tmp_path / "c.nii").metadata.orientation is None


def test_voxel_size_that_is_given_moves_no_direction(tmp_path):
    for zooms, units in (((0.7, 0.7, 2.8), ("mm", "sec")), ((1, 1, 1), ("unknown", "unknown"))):
        save(tmp_path / "a.nii", np.diag([-1, 1, 1, 1.0]) @ np.diag([*zooms, 1]), units=units)
        volume = read_volume(tmp_path / "a.nii", voxel_size=(5, 1, 2))
        assert np.allclose(volume.metadata.orientation.affine, np.diag([-2, 1, 5, 1]))


def test_window(tmp_path):
    image = nibabel.Nifti1Image(DATA, LPS)
    image.header["cal_min"], image.header["cal_max"] = -160, 240
    nibabel.save(image, tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", read_volume(tmp_path / "a.nii"))
    header = nibabel.load(tmp_path / "b.nii").header
    assert (header["cal_min"], header["cal_max"]) == (-160, 240)


@pytest.mark.parametrize("between", [".nrrd", ".mha", ".ome.tif", ".tif", ".ome.zarr", ".npy"])
@pytest.mark.parametrize("affine", [LPS, LAS, TURNED])
def test_by_way_of_another_format(tmp_path, between, affine):
    volume = read_volume(save(tmp_path / "a.nii", affine, zooms=(0.7, 0.7, 2.8)))
    write_volume(tmp_path / f"b{between}", volume)
    again = read_volume(tmp_path / f"b{between}")
    assert again.voxel_size == volume.voxel_size
    write_volume(tmp_path / "c.nii", again)
    image = nibabel.load(tmp_path / "c.nii")
    assert np.allclose(image.affine, affine, atol=1e-4)
    assert np.array_equal(np.asarray(image.dataobj), DATA)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_places_of_volumes_without_orientation(tmp_path, suffix):
    """Formats that demand directions get some, but none comes back."""
    metadata = Metadata({"X": 1000.5, "Y": -3.25, "Z": 0.1})
    spacing = {"Z": 4.0, "Y": 0.83, "X": 0.829}
    for unit in ("micrometer", "nanometer", "millimeter"):
        volume = Volume(DATA, "ZYX", spacing, unit, metadata=metadata)
        write_volume(tmp_path / f"a{suffix}", volume, overwrite=True)
        back = read_volume(tmp_path / f"a{suffix}")
        assert back.metadata.orientation is None
        assert back.metadata.origin == pytest.approx(metadata.origin)
        assert back.unit == unit
        assert back.spacing == spacing


def test_origin_is_the_offset_of_a_diagonal_affine(tmp_path):
    metadata = Metadata({"X": 100.0, "Y": 200.0, "Z": 300.0})
    volume = Volume(DATA, "ZYX", {"Z": 4.0, "Y": 0.5, "X": 0.5}, "micrometer", metadata=metadata)
    write_volume(tmp_path / "a.nii", volume)
    expected = [[0.5, 0, 0, 100], [0, 0.5, 0, 200], [0, 0, 4, 300], [0, 0, 0, 1]]
    assert np.allclose(nibabel.load(tmp_path / "a.nii").affine, expected)


def test_a_file_that_was_moved_since_is_believed(tmp_path):
    write_volume(tmp_path / "a.nii", Volume(DATA, "ZYX", dict.fromkeys("ZYX", 1.0), "millimeter"))
    image = nibabel.load(tmp_path / "a.nii")
    image.header.set_sform(TURNED, code=1)
    image.header.set_zooms((0.7, 0.7, 2.8))
    nibabel.save(
        nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), tmp_path / "b.nii"
    )
    found = read_volume(tmp_path / "b.nii").metadata.orientation
    assert np.allclose(found.affine, TURNED, atol=1e-5)


def test_orientation_without_spacing(tmp_path):
    """The matrix tells the zooms."""
    orientation = Orientation(as_matrix(TURNED.tolist()), None, 1, 0)
    write_volume(tmp_path / "a.nii", Volume(DATA, "ZYX", metadata=Metadata({}, orientation)))
    image = nibabel.load(tmp_path / "a.nii")
    assert np.allclose(image.header.get_zooms(), (0.7, 0.7, 2.8))
    assert np.allclose(image.affine, TURNED, atol=1e-5)
