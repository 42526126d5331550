"""DICOM: series written by pydicom, against SimpleITK's own reader."""

import sys
from pathlib import Path

import numpy as np
import pytest

from isoslice.errors import DataError, IsosliceWarning, OutputError
from isoslice.io import read_volume, write_volume
from isoslice.io.image_collection import find_all_images

pydicom = pytest.importorskip("pydicom")
sitk = pytest.importorskip("SimpleITK")
from dicom_series import DATA, LITTLE, affine, multiframe, place, save, series  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared"


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
