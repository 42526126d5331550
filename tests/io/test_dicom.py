"""DICOM: series written by pydicom, against SimpleITK's own reader."""

import sys
from pathlib import Path

import numpy as np
import pytest

from isoslice.data.optics import stated_profile
from isoslice.errors import DataError, IsosliceWarning, OutputError
from isoslice.io import read_volume, write_volume
from isoslice.io.image_collection import find_all_images

pydicom = pytest.importorskip("pydicom")
sitk = pytest.importorskip("SimpleITK")
SHARED = Path(__file__).parents[3] / "shared"
DATA = np.random.default_rng(0).integers(0, 4000, (5, 8, 7)).astype(np.int16)
CT, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
LITTLE = "1.2.840.10008.1.2.1"
ROW, COLUMN = (0.8, 0.6, 0.0), (-0.6, 0.8, 0.0)
STEPS = (0.7, 0.5, 3.0)  # along X, Y and Z


def save(path, plane, position=(0.0, 0.0, 0.0), number=1, syntax=LITTLE, **tags):
    """Write one file; `tags` by keyword, as pydicom names them."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CT)
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID = CT
    data.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3", "1.2"
    data.SeriesDescription, data.InstanceNumber, data.Modality = "chest", number, "CT"
    data.ImagePositionPatient = [float(p) for p in position]
    data.ImageOrientationPatient = [*ROW, *COLUMN]
    data.PixelSpacing = [STEPS[1], STEPS[0]]
    data.SliceThickness = 9.0  # no spacing
    data.Rows, data.Columns = plane.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * plane.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(plane.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    implicit = syntax == "1.2.840.10008.1.2"
    big = syntax == "1.2.840.10008.1.2.2"
    data.PixelData = plane.astype(plane.dtype.newbyteorder(">" if big else "<")).tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(
        path, data, enforce_file_format=True, implicit_vr=implicit, little_endian=not big
    )
    return path


def place(number, step=STEPS[2]):
    """Position of a plane of a series that rises to the head."""
    return (-90.5, 12.25, 30.0 + step * number)


def series(folder, planes=DATA, order=(3, 0, 4, 1, 2), numbers=None, **tags):
    """Write planes under names and numbers that tell nothing of their order."""
    folder.mkdir(exist_ok=True)
    for name, index in enumerate(order):
        number = name if numbers is None else numbers[index]
        save(folder / f"IMG{name:02}.dcm", planes[index], place(index), number, **tags)
    return folder


def affine(steps=STEPS):
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose([ROW, COLUMN, (0, 0, 1)]) * steps
    matrix[:3, 3] = place(0)
    return np.diag([-1, -1, 1, 1]) @ matrix


def test_series(tmp_path):
    volume = read_volume(series(tmp_path / "a"))
    assert volume.axes == "ZYX"
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.data, DATA)
    assert volume.voxel_size == pytest.approx((3.0, 0.5, 0.7))
    assert volume.unit == "millimeter"
    assert np.allclose(volume.metadata.orientation.affine, affine())
    assert volume.metadata.orientation.sform_code == 1


def test_series_agrees_with_itk(tmp_path):
    """What isoslice writes from it is what SimpleITK makes of the series, in the same place."""
    pytest.importorskip("nibabel")
    folder = series(tmp_path / "a", RescaleIntercept=-1024, RescaleSlope=1)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected = reader.Execute()
    volume = read_volume(folder)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        write_volume(tmp_path / f"a{suffix}", volume)
        image = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
        assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
        assert image.GetOrigin() == pytest.approx(expected.GetOrigin(), abs=1e-4)
        assert image.GetSpacing() == pytest.approx(expected.GetSpacing(), abs=1e-6)
        assert image.GetDirection() == pytest.approx(expected.GetDirection(), abs=1e-6)


@pytest.mark.parametrize(
    "syntax", [LITTLE, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"], ids=["LE", "implicit", "BE"]
)
def test_hounsfield_units_are_integers(tmp_path, syntax):
    stored = DATA.astype(np.uint16)
    tags = {"RescaleIntercept": -1024, "RescaleSlope": 1, "syntax": syntax}
    volume = read_volume(series(tmp_path / "a", stored, **tags))
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.data, DATA - 1024)


def test_fractions_become_float32(tmp_path):
    volume = read_volume(series(tmp_path / "a", RescaleIntercept=0, RescaleSlope=0.25))
    assert volume.data.dtype == np.float32
    assert np.allclose(volume.data, DATA * 0.25)


def test_one_file_of_a_series(tmp_path):
    folder = series(tmp_path / "a")
    save(folder / "other.dcm", DATA[0], SeriesInstanceUID="9.9")
    with pytest.warns(IsosliceWarning, match="is one of 5 planes of its series, read all"):
        volume = read_volume(folder / "IMG02.dcm")
    assert np.array_equal(volume.data, DATA)
    alone = save(tmp_path / "alone.dcm", DATA[0], place(0))
    volume = read_volume(alone)
    assert volume.axes == "YX"
    assert volume.spacing == {"Y": 0.5, "X": 0.7}


def test_files_without_suffix(tmp_path):
    folder = series(tmp_path / "a")
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / ("IM_" + str(number) if number % 2 else f"1.2.3.{number}"))
    (folder / "README").write_text("no image", encoding="utf-8")
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    assert np.array_equal(read_volume(folder).data, DATA)


def test_several_series(tmp_path):
    folder = series(tmp_path / "a")
    for number in range(3):
        scout = {"SeriesInstanceUID": "7.7", "SeriesDescription": "scout"}
        save(folder / f"s{number}.dcm", DATA[number], place(number, 10), **scout)
    with pytest.warns(IsosliceWarning, match="holds 2 images, took 0 'chest'.*'scout'"):
        volume = read_volume(folder)
    assert np.array_equal(volume.data, DATA)
    volume = read_volume(folder, series="scout")
    assert np.array_equal(volume.data, DATA[:3])
    assert volume.spacing["Z"] == pytest.approx(10)
    with pytest.raises(DataError, match="got series 'lung'"):
        read_volume(folder, series="lung")


def test_copies_of_files_are_left_out(tmp_path):
    folder = series(tmp_path / "a")
    (folder / "IMG00 (copy).dcm").write_bytes((folder / "IMG00.dcm").read_bytes())
    assert np.array_equal(read_volume(folder).data, DATA)


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


def test_images_at_the_same_place(tmp_path):
    later = DATA[::-1]
    for number in range(5):
        for moment, planes in enumerate((DATA, later)):
            name = f"{number}_{moment}.dcm"
            save(tmp_path / name, planes[number], place(number), 10 * moment + number)
    with pytest.warns(IsosliceWarning, match="2 images at each place, taken as time points"):
        volume = read_volume(tmp_path)
    assert volume.axes == "TZYX"
    assert np.array_equal(volume.data, [DATA, later])
    (tmp_path / "3_1.dcm").unlink()
    with pytest.raises(DataError, match="from 1 to 2 images at a place"):
        read_volume(tmp_path)


def test_echoes_are_channels(tmp_path):
    for number in range(5):
        for echo, planes in ((9.2, DATA[::-1]), (4.6, DATA)):
            save(tmp_path / f"{number}_{echo}.dcm", planes[number], place(number), EchoTime=echo)
    with pytest.warns(IsosliceWarning, match="channels, one an echo"):
        volume = read_volume(tmp_path)
    assert volume.axes == "CZYX"
    assert volume.channel_names == ("TE 4.6 ms", "TE 9.2 ms")
    assert np.array_equal(volume.data, [DATA, DATA[::-1]])


def test_colour(tmp_path):
    colour = np.stack([DATA[0] % 256, DATA[1] % 256, DATA[2] % 256], -1).astype(np.uint8)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    save(tmp_path / "a.dcm", DATA[0].astype(np.uint8), **tags, Rows=8, Columns=7)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    data.PixelData = colour.tobytes()
    data.save_as(tmp_path / "a.dcm")
    volume = read_volume(tmp_path / "a.dcm")
    assert volume.axes == "CYX"
    assert np.array_equal(volume.data, np.moveaxis(colour, -1, 0))


def test_window_is_the_display(tmp_path):
    volume = read_volume(series(tmp_path / "a", WindowCenter=40, WindowWidth=400))
    assert volume.metadata.displays[0].window == (-160, 240)


def multiframe(path, positions, planes=DATA, thickness=None):
    """An enhanced file, whose places are in sequences."""
    frames = pydicom.Sequence()
    for position in positions:
        item, inner = pydicom.Dataset(), pydicom.Dataset()
        inner.ImagePositionPatient = [float(p) for p in position]
        item.PlanePositionSequence = pydicom.Sequence([inner])
        frames.append(item)
    shared, turned, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    turned.ImageOrientationPatient = [*ROW, *COLUMN]
    measures.PixelSpacing = [STEPS[1], STEPS[0]]
    if thickness is not None:
        measures.SliceThickness = thickness
    shared.PlaneOrientationSequence = pydicom.Sequence([turned])
    shared.PixelMeasuresSequence = pydicom.Sequence([measures])
    save(
        path,
        planes,
        SOPClassUID=ENHANCED_CT,
        NumberOfFrames=len(planes),
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=pydicom.Sequence([shared]),
    )
    data = pydicom.dcmread(path)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, name)
    del data.SliceThickness
    data.save_as(path)
    return path


def test_enhanced_file_is_a_volume(tmp_path):
    order = (3, 0, 4, 1, 2)  # frames may come in any
    path = multiframe(tmp_path / "a.dcm", [place(n) for n in order], DATA[list(order)])
    series(tmp_path, RescaleSlope=1, RescaleIntercept=0)  # other files beside it are others
    volume = read_volume(path)
    assert np.array_equal(volume.data, DATA)
    assert volume.voxel_size == pytest.approx((3.0, 0.5, 0.7))
    assert np.allclose(volume.metadata.orientation.affine, affine())


def test_film_is_a_time_series(tmp_path):
    save(tmp_path / "a.dcm", DATA, NumberOfFrames=5, FrameTime=33.3)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    del data.ImagePositionPatient
    data.save_as(tmp_path / "a.dcm")
    volume = read_volume(tmp_path / "a.dcm")
    assert volume.axes == "TYX"
    assert np.array_equal(volume.data, DATA)
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (33.3, "millisecond")


def test_refused_kinds(tmp_path):
    mosaic = ["ORIGINAL", "PRIMARY", "MOSAIC"]
    save(tmp_path / "a.dcm", DATA[0], ImageType=mosaic)
    with pytest.raises(DataError, match=r"mosaic.*dcm2niix"):
        read_volume(tmp_path / "a.dcm")
    save(tmp_path / "a.dcm", DATA[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    with pytest.raises(DataError, match="segmentation, whose labels"):
        read_volume(tmp_path / "a.dcm")
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(DataError, match="no DICM at byte 128"):
        read_volume(tmp_path / "a.dcm")
    save(tmp_path / "a.dcm", DATA[0])
    data = pydicom.dcmread(tmp_path / "a.dcm")
    del data.PixelData
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="without an image"):
        read_volume(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"hold no image.*give the folder that holds them"):
        read_volume(tmp_path)


def test_any_name(tmp_path):
    """Archives name files at will; pictures beside them are none."""
    folder = series(tmp_path / "a")
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"CT.1.2.840.{number}.{('img', 'DCM', 'bin', 'CT', 'gz')[number]}")
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    assert np.array_equal(read_volume(folder).data, DATA)
    assert find_all_images([folder]) == [folder]


def test_folder_of_folders(tmp_path):
    """An export has its files below, often with an index of them: they are named, to be given."""
    study = tmp_path / "PAT01" / "ST01"
    study.mkdir(parents=True)
    for number in range(5):
        series(study / f"SE{number}", SeriesInstanceUID=f"1.2.{number}")
    (study / "empty").mkdir()
    named = rf"{study / 'SE0'} \(5 files\), .*SE1 .*SE2 \(5 files\) and 2 more"
    for folder in (tmp_path, study):
        with pytest.raises(DataError, match=named):
            read_volume(folder)
    (tmp_path / "DICOMDIR").write_bytes(index(tmp_path / "SE0.dcm"))
    for path in (tmp_path, tmp_path / "DICOMDIR"):
        with pytest.raises(DataError, match=rf"give one of the folders below, {named}"):
            read_volume(path)
    assert np.array_equal(read_volume(study / "SE0").data, DATA)


def index(path):
    """Return a DICOM file without an image."""
    data = pydicom.dcmread(save(path, DATA[0]))
    del data.PixelData
    data.save_as(path)
    content = path.read_bytes()
    path.unlink()
    return content


def test_folder_without_preambles(tmp_path):
    """As old archives have them: not read, but told apart from anything else."""
    folder = series(tmp_path / "a", syntax="1.2.840.10008.1.2")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        bare = pydicom.Dataset(data)
        bare.file_meta = pydicom.dataset.FileMetaDataset()
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
    with pytest.raises(DataError, match=r"without its preamble.*dcm2niix"):
        read_volume(folder)


def test_what_is_declared_must_be_there(tmp_path):
    save(tmp_path / "a.dcm", DATA[0], Rows=60_000, Columns=60_000)
    with pytest.raises(DataError, match="declares 7 GB of voxels"):
        read_volume(tmp_path / "a.dcm")
    content = save(tmp_path / "a.dcm", DATA[0]).read_bytes()
    for kept in range(1, len(content), 17):
        (tmp_path / "a.dcm").write_bytes(content[:kept])
        with pytest.raises(DataError) as caught:
            read_volume(tmp_path / "a.dcm")
        assert "\n" not in str(caught.value)


def test_sequences_nested_without_end(tmp_path):
    inner = pydicom.Dataset()
    for _ in range(20):
        outer = pydicom.Dataset()
        outer.ReferencedImageSequence = pydicom.Sequence([inner])
        inner = outer
    save(tmp_path / "a.dcm", DATA[0], ReferencedImageSequence=outer.ReferencedImageSequence)
    with pytest.raises(DataError, match="nested more than"):
        read_volume(tmp_path / "a.dcm")


def test_types_that_do_not_exist(tmp_path):
    """GDCM would take them for lengths, and allocate that."""
    content = save(tmp_path / "a.dcm", DATA[0]).read_bytes()
    assert content.count(b"\x08\x00\x60\x00CS") == 1
    (tmp_path / "a.dcm").write_bytes(content.replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00RS"))
    with pytest.raises(DataError, match="has the type b'RS'"):
        read_volume(tmp_path / "a.dcm")


def test_without_simpleitk(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"a DICOM file, .*python -m pip install SimpleITK$"):
        read_volume(save(tmp_path / "a.dcm", DATA[0]))


def test_training_takes_a_series_as_one(tmp_path):
    folder = series(tmp_path / "a")
    assert find_all_images([folder]) == [folder]
    assert find_all_images([f"{folder}/*.dcm"]) == [folder]


def test_is_not_written(tmp_path):
    volume = read_volume(series(tmp_path / "a"))
    with pytest.raises(OutputError, match=r"does not write.*\.nii\.gz, \.nrrd or \.mha"):
        write_volume(tmp_path / "b.dcm", volume)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_series():
    folder = SHARED / "formats" / "dicom_torchio" / "tests" / "image_data" / "dicom"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    volume = read_volume(folder)
    assert np.array_equal(volume.data, sitk.GetArrayFromImage(image))
    assert volume.voxel_size == pytest.approx(image.GetSpacing()[::-1])
    assert volume.z_positions is None
    assert volume.metadata.slice_thickness == 2.0


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_series_with_a_lost_slice(tmp_path):
    folder = SHARED / "formats" / "dicom_torchio" / "tests" / "image_data" / "dicom"
    whole = read_volume(folder)
    files = sorted(folder.iterdir())
    planes = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    by_place = sorted(range(len(files)), key=lambda i: planes[i].InstanceNumber)
    for index in by_place[:5] + by_place[6:]:
        (tmp_path / files[index].name).write_bytes(files[index].read_bytes())
    with pytest.warns(IsosliceWarning, match=r"1 plane\(s\) missing between"):
        volume = read_volume(tmp_path)
    gap = int(np.argmax(np.diff(volume.z_positions)))
    assert gap in (4, len(files) - 7)  # whichever way the numbers run
    assert np.diff(volume.z_positions)[gap] == pytest.approx(4.0)
    assert volume.spacing == pytest.approx(whole.spacing)
    assert np.array_equal(volume.data, np.delete(whole.data, gap + 1, axis=0))
