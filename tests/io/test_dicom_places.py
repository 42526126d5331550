"""Where the planes of a DICOM series lie: gaps, uneven distances, thickness, tilt."""

from pathlib import Path

import numpy as np
import pytest

from isoslice.data.optics import stated_profile
from isoslice.errors import IsosliceWarning
from isoslice.io import read_volume, write_volume

pydicom = pytest.importorskip("pydicom")
sitk = pytest.importorskip("SimpleITK")

from dicom_series import DATA, STEPS, affine, multiframe, place, save, series  # noqa: E402


def test_a_missing_plane_is_named(tmp_path):
    folder = series(tmp_path / "a", order=(0, 1, 2, 4))
    message = r"1 plane\(s\) missing between IMG02.dcm and IMG03.dcm \(at 36 and 42 mm, .* 3 mm"
    with pytest.warns(IsosliceWarning, match=message):
        volume = read_volume(folder)
    assert np.array_equal(volume.data, DATA[[0, 1, 2, 4]])
    assert volume.z_positions == pytest.approx((0, 3, 6, 12))
    assert volume.voxel_size == pytest.approx((3.0, 0.5, 0.7))
    assert np.allclose(volume.metadata.orientation.affine, affine())


def test_all_gaps_are_counted(tmp_path):
    """The largest is named; a second one is not kept quiet."""
    folder = tmp_path / "a"
    folder.mkdir()
    for index in (0, 1, 3, 4, 5, 8, 9):
        save(folder / f"{index}.dcm", DATA[0], place(index))
    message = r"2 plane\(s\) missing between 5.dcm and 8.dcm \(.*apart\), and at 1 other place"
    with pytest.warns(IsosliceWarning, match=message):
        read_volume(folder)


@pytest.mark.parametrize("shift", [0.0, 0.009, 0.03, 0.3])
def test_uneven_planes(tmp_path, shift):
    for number in range(5):
        where = np.add(place(number), (0, 0, shift * STEPS[2] * (number == 2)))
        save(tmp_path / f"{number}.dcm", DATA[number], where)
    if shift < 0.01:
        volume = read_volume(tmp_path)
        assert volume.z_positions is None
    else:
        with pytest.warns(IsosliceWarning, match=r"uneven distance between 1\.dcm and 2\.dcm"):
            volume = read_volume(tmp_path)
        assert volume.z_positions == pytest.approx((0, 3, 6 + 3 * shift, 9, 12))
    assert volume.spacing["Z"] == pytest.approx(3.0)


def test_rounded_places_are_even(tmp_path):
    for number in range(5):
        where = (-90.5, 12.25, round(30 + 0.625 * number, 1))
        save(tmp_path / f"{number}.dcm", DATA[number], where)
    volume = read_volume(tmp_path)
    assert volume.z_positions is None
    assert volume.spacing["Z"] == pytest.approx(0.625, abs=0.02)


def test_uneven_planes_of_a_tilted_gantry(tmp_path):
    """Positions go along the way that the planes take, as the spacing does."""
    for number in (0, 1, 2, 4):
        save(tmp_path / f"{number}.dcm", DATA[number], np.add(place(number), (number, 0, 0)))
    with pytest.warns(IsosliceWarning) as told:
        volume = read_volume(tmp_path)
    assert {"a tilt of" in str(w.message) for w in told} == {True, False}
    step = np.hypot(1, 3)
    assert volume.spacing["Z"] == pytest.approx(step)
    assert volume.z_positions == pytest.approx((0, step, 2 * step, 4 * step))
    assert np.allclose(np.array(volume.metadata.orientation.affine)[:3, 2], (-1, 0, 3))


def test_slice_thickness(tmp_path):
    folder = series(tmp_path / "a")
    assert read_volume(folder).metadata.slice_thickness == 9.0
    assert stated_profile(read_volume(folder)) == "slab:9"
    save(folder / "IMG00.dcm", DATA[3], place(3), SliceThickness=5.0)
    assert read_volume(folder).metadata.slice_thickness is None  # which of them?
    frames = multiframe(tmp_path / "b.dcm", [place(n) for n in range(5)], thickness=4.5)
    assert read_volume(frames).metadata.slice_thickness == 4.5


def test_tilt_is_told_and_kept(tmp_path):
    pytest.importorskip("nibabel")
    for number in range(5):
        save(tmp_path / f"{number}.dcm", DATA[number], np.add(place(number), (number, 0, 0)))
    with pytest.warns(IsosliceWarning, match=r"tilt of 18\.4 degrees.*NIfTI.*straighten"):
        volume = read_volume(tmp_path)
    orientation = volume.metadata.orientation
    assert orientation.qform is None  # it could not say so
    write_volume(tmp_path / "a.nii.gz", volume)
    with pytest.raises(RuntimeError, match="orthonormal"):  # as the warning says
        sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert np.allclose(np.array(orientation.affine)[:3, 2], (-1, 0, 3))
    assert volume.spacing["Z"] == pytest.approx(np.hypot(1, 3))


def test_straightened_as_the_page_says(tmp_path):
    """What docs/reference/formats.md advises opens in ITK, with every voxel in its place."""
    nibabel = pytest.importorskip("nibabel")
    page = (Path(__file__).parents[2] / "docs/reference/formats.md").read_text("utf-8")
    start = page.index("import nibabel")
    code = page[start : page.index("```", start)]
    ramp = np.arange(24)[:, None, None] * 20 + np.arange(30)[:, None] * 10 + np.arange(28)
    for number, plane in enumerate(ramp.astype(np.int16)):
        save(
            tmp_path / f"{number}.dcm",
            plane,
            (0, 0.25 * number, number),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
        )
    with pytest.warns(IsosliceWarning, match="tilt of"):
        volume = read_volume(tmp_path)
    write_volume(tmp_path / "OUT.nii.gz", volume)
    for name in ("OUT", "STRAIGHT"):
        code = code.replace(f'"{name}.nii.gz"', repr(str(tmp_path / f"{name}.nii.gz")))
    exec(code, {})
    affine = nibabel.load(tmp_path / "OUT.nii.gz").affine
    image = sitk.ReadImage(str(tmp_path / "STRAIGHT.nii.gz"))
    assert image.GetPixelID() == sitk.sitkInt16
    for z, y, x in ((12, 15, 14), (5, 20, 9), (18, 8, 20)):
        right, front, up, _ = affine @ (x, y, z, 1)
        found = image.EvaluateAtPhysicalPoint((-right, -front, up))
        assert found == pytest.approx(float(ramp[z, y, x]), abs=1.5)
