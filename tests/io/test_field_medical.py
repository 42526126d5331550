"""Scanners' files through the command line: place, orientation, voxel types, thick axes, holes.

Outputs are opened by nibabel, not by our own reader.
"""

import numpy as np
import pytest

from field_inputs import LPS, STACK, nifti

pytest.importorskip("torch")
nibabel = pytest.importorskip("nibabel")


def restored(cli, model_folder, source, output, *options):
    """Restore by the expected volume and open what was written."""
    ran = cli("predict", source, "-m", model_folder, "-o", output, "--mode", "mean", *options)
    assert ran.code == 0, ran.err
    return nibabel.load(output), ran


def refined(affine, factor=4, axis=2):
    steps = np.ones(4)
    steps[axis] = 1 / factor
    return affine @ np.diag(steps)


OBLIQUE = LPS.copy()
OBLIQUE[:3, :3] = nibabel.eulerangles.euler2mat(0.2, -0.1, 0.3) @ LPS[:3, :3]
LAS = LPS @ np.diag([1, -1, 1, 1])


@pytest.mark.parametrize("affine", [LPS, LAS, OBLIQUE], ids=["LPS", "LAS", "oblique"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 1), (4, 3)])
def test_left_stays_left(tmp_path, cli, model_folder, affine, codes):
    image = nibabel.Nifti1Image(STACK.T, None)
    image.set_sform(affine if codes[0] else None, codes[0])
    image.set_qform(affine if codes[1] else None, codes[1])
    image.header.set_zooms((0.7, 0.7, 2.8))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    out, _ = restored(cli, model_folder, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    np.testing.assert_allclose(out.affine, refined(affine), atol=1e-4)
    assert (int(out.header["sform_code"]), int(out.header["qform_code"])) == codes
    assert out.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(out.header.get_zooms(), (0.7, 0.7, 0.7), rtol=1e-5)
    # The first and the last measured plane are where they were.
    for plane in (0, 8):
        here = out.affine @ [5, 7, plane * 4, 1]
        np.testing.assert_allclose(here, affine @ [5, 7, plane, 1], atol=1e-3)
    assert np.array_equal(np.asarray(out.dataobj)[..., ::4], STACK.T)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "uint16", "float64"])
def test_voxel_types_come_back(tmp_path, cli, model_folder, dtype):
    signed = STACK.astype(np.int64) - 128
    values = signed * 8 - 1024 if dtype in ("int16", "int32", "float64") else signed
    values = (STACK.astype(np.int64) * 1000 if dtype[0] == "u" else values).clip(
        *((np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype[0] in "iu" else (-1e9, 1e9))
    )
    stack = values.astype(dtype)
    source = nifti(tmp_path / "a.nii", stack, np.diag([0.7, 0.7, 2.8, 1]))
    out, _ = restored(cli, model_folder, source, tmp_path / "b.nii")
    voxels = np.asarray(out.dataobj)
    assert voxels.dtype == dtype
    assert np.array_equal(voxels[..., ::4], stack.T)
    if dtype[0] != "u":
        assert voxels[..., 1::4].min() < 0
    low, high = stack.min(), stack.max()
    spread = float(high) - float(low)
    assert voxels.astype(float).min() > low - 0.3 * spread
    assert voxels.astype(float).max() < high + 0.3 * spread


@pytest.mark.parametrize(("axis", "zooms"), [(0, (2.8, 0.7, 0.7)), (1, (0.7, 2.8, 0.7))])
def test_thick_axis_x_or_y(tmp_path, cli, model_folder, axis, zooms):
    voxels = np.moveaxis(STACK, 0, axis)
    affine = np.diag([*zooms, 1.0])
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "sagittal.nii.gz")
    out, ran = restored(cli, model_folder, tmp_path / "sagittal.nii.gz", tmp_path / "o.nii.gz")
    shape = [64, 64, 64]
    shape[axis] = 33
    assert out.shape == tuple(shape)
    np.testing.assert_allclose(out.header.get_zooms(), (0.7, 0.7, 0.7), rtol=1e-5)
    np.testing.assert_allclose(out.affine, refined(affine, axis=axis), atol=1e-5)
    assert np.array_equal(np.moveaxis(np.asarray(out.dataobj), axis, 0)[::4], STACK)
    assert any(f"nearest integer to {'XYZ'[axis]} over" in line for line in ran.err)
    # A stack that lies the usual way, with the same planes, gives nearly the same voxels: which
    # direction goes first may differ.
    same = nifti(tmp_path / "z.nii", STACK, np.diag([0.7, 0.7, 2.8, 1]))
    other, _ = restored(cli, model_folder, same, tmp_path / "z.nii.gz")
    ours = np.moveaxis(np.asarray(out.dataobj), axis, 0).astype(int)
    assert np.abs(ours - np.asarray(other.dataobj).T).mean() < 1


def test_nan_outside_the_field_of_view(tmp_path, cli, model_folder):
    whole = STACK.astype(np.float32)
    holed = whole.copy()
    holed[:, :8] = np.nan
    holed[4, 20:30, 20:30] = np.nan  # a hole in one plane
    out, _ = restored(
        cli, model_folder, nifti(tmp_path / "n.nii", holed, LPS), tmp_path / "n.nii.gz"
    )
    plain, _ = restored(
        cli, model_folder, nifti(tmp_path / "p.nii", whole, LPS), tmp_path / "p.nii.gz"
    )
    ours, theirs = np.asarray(out.dataobj).T, np.asarray(plain.dataobj).T
    assert np.isnan(ours[:, :8]).all()
    measured = np.isnan(holed)
    assert np.array_equal(np.isnan(ours[::4]), measured)
    between = np.isnan(ours[:, 8:])
    between[16] = False
    assert not between.any()
    # Far from the holes all is nearly as without; percentiles of fewer voxels differ a little.
    far = np.abs(ours[:12, 32:] - theirs[:12, 32:])
    assert far.max() < 0.05 * (whole.max() - whole.min())


def test_time_steps_survive(tmp_path, cli, model_folder):
    image = nibabel.Nifti1Image(np.stack([STACK.T, STACK.T], -1), LPS)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((0.7, 0.7, 2.8, 2.0))
    nibabel.save(image, tmp_path / "tr.nii.gz")
    out, _ = restored(cli, model_folder, tmp_path / "tr.nii.gz", tmp_path / "o.nii.gz")
    np.testing.assert_allclose(out.header.get_zooms(), (0.7, 0.7, 0.7, 2.0), rtol=1e-5)
    assert out.header.get_xyzt_units() == ("mm", "sec")


def test_voxel_size_is_in_the_files_unit(tmp_path, cli, model_folder):
    source = nifti(tmp_path / "a.nii", STACK, LPS)
    size = ("--voxel-size", "3.5,0.7,0.7")
    out, _ = restored(cli, model_folder, source, tmp_path / "b.nii", *size)
    assert out.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(out.header.get_zooms(), (0.7, 0.7, 0.7), rtol=1e-5)
    other, _ = restored(
        cli, model_folder, source, tmp_path / "c.nii", "--voxel-size", "3500um,700um,700um"
    )
    assert other.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_allclose(other.header.get_zooms(), (700, 700, 700), rtol=1e-5)
    np.testing.assert_allclose(other.affine[:3], out.affine[:3] * 1000, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_formats_of_scanners_come_back_in_place(tmp_path, cli, model_folder, suffix):
    itk = pytest.importorskip("SimpleITK")
    image = itk.GetImageFromArray(STACK.astype(np.int16) * 8 - 1024)
    image.SetSpacing((0.7, 0.7, 2.8))
    image.SetOrigin((-90.0, -120.0, -300.0))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    itk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    output = tmp_path / f"b{suffix}"
    ran = cli(
        "predict", tmp_path / f"a{suffix}", "-m", model_folder, "-o", output, "--mode", "mean"
    )
    assert ran.code == 0, ran.err
    out = itk.ReadImage(str(output))
    np.testing.assert_allclose(out.GetSpacing(), (0.7, 0.7, 0.7), rtol=1e-5)
    np.testing.assert_allclose(out.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(out.GetDirection(), image.GetDirection(), atol=1e-5)
    voxels = itk.GetArrayFromImage(out)
    assert voxels.dtype == np.int16
    assert np.array_equal(voxels[::4], STACK.astype(np.int16) * 8 - 1024)
