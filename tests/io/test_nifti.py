"""NIfTI against nibabel itself."""

import sys
from pathlib import Path

import numpy as np
import pytest

from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning, OutputError
from isoslice.io import read_volume, write_volume

nibabel = pytest.importorskip("nibabel")
SHARED = Path(__file__).parents[3] / "shared"
DATA = np.random.default_rng(0).integers(0, 2**16, (4, 5, 6), dtype=np.uint16)


def save(path, data=DATA, zooms=(0.5, 0.25, 2.0), unit="micron", **slope):
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_zooms(zooms + (1.0,) * (data.ndim - 3))
    image.header.set_xyzt_units(unit, "sec")
    if slope:
        image.header.set_slope_inter(**slope)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    ("unit", "name"),
    [("micron", "micrometer"), ("mm", "millimeter"), ("meter", "meter"), ("unknown", None)],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_read(tmp_path, unit, name, suffix):
    volume = read_volume(save(tmp_path / f"a{suffix}", unit=unit))
    assert volume.axes == "XYZ"
    assert np.array_equal(volume.data, DATA)
    assert volume.data.dtype == np.uint16
    assert volume.spacing == {"X": 0.5, "Y": 0.25, "Z": 2.0}
    assert volume.unit == name


def test_time_axis_and_override(tmp_path):
    path = save(tmp_path / "a.nii", DATA[..., None].repeat(2, -1))
    assert read_volume(path).axes == "XYZT"
    volume = read_volume(path, axes="ZYXC")
    assert volume.spacing == {"Z": 0.5, "Y": 0.25, "X": 2.0}


def test_spacing_absent(tmp_path):
    assert (
        read_volume(save(tmp_path / "a.nii", zooms=(1.0, 1.0, 1.0), unit="unknown")).spacing == {}
    )
    assert read_volume(save(tmp_path / "b.nii", zooms=(1.0, 1.0, 1.0), unit="mm")).voxel_size
    content = bytearray((tmp_path / "b.nii").read_bytes())
    content[80:92] = bytes(12)  # pixdim[1:4]
    content[123] = 0xFF  # xyzt_units that do not exist
    (tmp_path / "b.nii").write_bytes(content)
    assert read_volume(tmp_path / "b.nii").spacing == {}


def test_scaled_values_become_float32(tmp_path):
    image = nibabel.Nifti1Image(DATA, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.header["magic"] = b"n+1"
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, 10], np.float32).tobytes()  # scl_slope, scl_inter
    path.write_bytes(content)
    stored = np.asarray(nibabel.load(path).dataobj)
    volume = read_volume(path)
    assert volume.data.dtype == np.float32
    assert np.allclose(volume.data, stored)


def put_scale(path, slope, inter):
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], np.float32).tobytes()  # scl_slope, scl_inter
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("stored", "slope", "inter", "expected"),
    [
        ("int16", 1, -1024, "int16"),
        ("uint16", 1, -1024, "int16"),  # CT, as some scanners store it
        ("uint8", 2, 0, "int16"),
        ("uint8", -1, 255, "uint8"),
        ("uint16", 3, 5, "uint16"),
        ("int16", 1000, 7, "int32"),
        ("int16", 1e6, 0, "float32"),
        ("int16", 0.5, 0, "float32"),
        ("int16", 1, 0.5, "float32"),
        ("float32", 2, 1, "float32"),
        ("int16", 0, 100, "int16"),  # a slope of 0 means that there is none
        ("int16", np.nan, 0, "int16"),
    ],
)
def test_integers_scaled_by_integers_stay_integers(tmp_path, stored, slope, inter, expected):
    data = np.arange(120, dtype=stored).reshape(4, 5, 6) * (2 if stored == "uint8" else 90)
    path = put_scale(save(tmp_path / "a.nii", data), slope, inter)
    volume = read_volume(path)
    assert volume.data.dtype == expected
    assert np.allclose(volume.data, np.asarray(nibabel.load(path).dataobj), rtol=1e-6)
    write_volume(tmp_path / "b.nii", volume)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "b.nii").dataobj), volume.data)


def test_signed_values_are_kept_to_the_bit(tmp_path):
    data = DATA.astype(np.int32) - 2**15
    volume = read_volume(save(tmp_path / "a.nii.gz", data.astype(np.int16), unit="mm"))
    write_volume(tmp_path / "b.nii.gz", volume)
    image = nibabel.load(tmp_path / "b.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(np.asarray(image.dataobj), data)


def test_half_precision_is_widened(tmp_path):
    data = np.linspace(-1, 1, 24, dtype=np.float16).reshape(2, 3, 4)
    write_volume(tmp_path / "a.nii", Volume(data, "ZYX"))
    back = read_volume(tmp_path / "a.nii")
    assert back.data.dtype == np.float32
    assert np.array_equal(back.tczyx()[0, 0], data)


def test_labels_are_told(tmp_path):
    image = nibabel.Nifti1Image(DATA, np.eye(4))
    image.header.set_intent("label")
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.warns(IsosliceWarning, match="labels, which must not be interpolated"):
        read_volume(tmp_path / "a.nii")


def test_vectors_and_colours_are_channels(tmp_path):
    image = nibabel.Nifti1Image(DATA[..., None].repeat(3, -1), np.eye(4))
    image.header.set_intent("vector")
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").axes == "XYZC"
    colour = np.zeros(DATA.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for number, name in enumerate("RGB"):
        colour[name] = DATA // 512 + number
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "b.nii")
    volume = read_volume(tmp_path / "b.nii")
    assert volume.size("C") == 3
    assert np.array_equal(volume.tczyx()[0, 1], DATA.T // 512 + 1)


def test_channels_are_written_as_vectors(tmp_path):
    write_volume(tmp_path / "a.nii", Volume(DATA.reshape(2, 2, 5, 6), "CZYX"))
    image = nibabel.load(tmp_path / "a.nii")
    assert image.shape == (6, 5, 2, 1, 2)
    assert image.header.get_intent()[0] == "vector"


def test_big_endian(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.uint16)
    nibabel.save(nibabel.Nifti1Image(DATA, np.eye(4), header), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.data, DATA)
    assert volume.data.dtype.isnative


def test_types_not_taken(tmp_path):
    with pytest.raises(DataError, match=r"type complex64, expected one of int8.*magnitude"):
        read_volume(save(tmp_path / "a.nii", DATA.astype(np.complex64)))


def test_ours_read_by_nibabel(tmp_path):
    spacing = {"Z": 4.0, "Y": 0.83, "X": 0.829}
    volume = Volume(DATA, "ZYX", spacing, "micrometer", provenance={"factor": 5})
    write_volume(tmp_path / "a.nii.gz", volume)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.shape == (6, 5, 4)
    assert image.get_data_dtype() == np.uint16
    assert image.header.get_zooms() == pytest.approx((0.829, 0.83, 4.0))
    assert image.header.get_xyzt_units()[0] == "micron"
    assert np.allclose(np.diag(image.affine), [0.829, 0.83, 4.0, 1.0])
    assert np.array_equal(np.asarray(image.dataobj), DATA.T)
    (extension,) = image.header.extensions
    assert extension.get_code() == 6
    assert '"factor": 5' in str(extension.get_content())


def test_nanometres_are_written_as_micrometres(tmp_path):
    volume = Volume(DATA, "ZYX", dict.fromkeys("ZYX", 8.0), "nanometer")
    write_volume(tmp_path / "a.nii", volume)
    assert nibabel.load(tmp_path / "a.nii").header.get_zooms() == pytest.approx((0.008,) * 3)
    assert read_volume(tmp_path / "a.nii").unit == "nanometer"
    assert read_volume(tmp_path / "a.nii").spacing == volume.spacing


def test_long_axes_need_nifti_2(tmp_path):
    volume = Volume(np.zeros((2, 40000), np.uint8), "YX")
    write_volume(tmp_path / "a.nii", volume)
    assert isinstance(nibabel.load(tmp_path / "a.nii"), nibabel.Nifti2Image)
    assert read_volume(tmp_path / "a.nii").data.shape == (40000, 2)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(DATA, "ZYX", provenance={"a": 1}))
    content = path.read_bytes()
    for kept in [*range(0, 400, 37), *range(400, len(content), 41), len(content) - 1]:
        if kept >= len(content):
            continue
        path.write_bytes(content[:kept])
        with pytest.raises(DataError) as caught:
            read_volume(path)
        assert "\n" not in str(caught.value)


def test_without_nibabel(tmp_path, monkeypatch):
    path = save(tmp_path / "a.nii")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(DataError, match=r"run: python -m pip install nibabel$"):
        read_volume(path)
    with pytest.raises(OutputError, match=r"run: python -m pip install nibabel$"):
        write_volume(tmp_path / "b.nii", Volume(DATA, "ZYX"))
    assert not (tmp_path / "b.nii").exists()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_mouse():
    volume = read_volume(SHARED / "data" / "mouse_ct_0.nii.gz")
    assert volume.axes == "XYZ"
    assert volume.unit == "millimeter"
    assert volume.voxel_size == pytest.approx((0.1406611, 0.1411134, 0.1411134))
