"""TIFF as others write it: axes, voxel sizes, types."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError
from isoslice.inference.stack import check_stack
from isoslice.io import read_volume, require_voxel_size
from isoslice.io.decoded import Raw, to_volume
from isoslice.io.options import ReadOptions
from tiff_stacks import STACK, imagej

SHARED = Path(__file__).parents[3] / "shared"


# ImageJ's description is ASCII; it writes the micro sign as an escape.
MICROMETRE = ["micron", "um", "\\u00B5m", "\\u03BCm", "microns", "micrometer"]


@pytest.mark.parametrize("unit", MICROMETRE)
def test_imagej(tmp_path, unit):
    path = imagej(
        tmp_path / "a.tif",
        resolution=(1 / 0.25, 1 / 0.3),
        meta={"spacing": 2.0, "unit": unit},
    )
    volume = read_volume(path)
    assert np.array_equal(volume.data, STACK[0])
    assert volume.axes == "ZYX"
    assert volume.unit == "micrometer"
    assert require_voxel_size(volume) == pytest.approx((2.0, 0.3, 0.25))
    assert volume.provenance is None


@pytest.mark.parametrize(
    ("unit", "name"),
    [("nm", "nanometer"), ("mm", "millimeter"), ("inch", "inch"), ("cm", "centimeter")],
)
def test_imagej_units(tmp_path, unit, name):
    path = imagej(tmp_path / "a.tif", resolution=(0.1, 0.1), meta={"spacing": 5.0, "unit": unit})
    volume = read_volume(path)
    assert volume.unit == name
    assert volume.voxel_size == pytest.approx((5, 10, 10))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"meta": {"unit": "pixel"}},
        {"meta": {"spacing": 3.0}},
        {"meta": {"spacing": 3.0, "unit": "pixel"}},
        {"meta": {"spacing": 3.0}, "resolution": (72, 72), "resolutionunit": "INCH"},
    ],
)
def test_imagej_without_voxel_size(tmp_path, options):
    volume = read_volume(imagej(tmp_path / "a.tif", **options))
    assert volume.spacing == {}
    assert volume.unit is None
    with pytest.raises(DataError, match="no voxel size along Z and Y and X"):
        require_voxel_size(volume)


def test_imagej_without_z_spacing(tmp_path):
    volume = read_volume(imagej(tmp_path / "a.tif", resolution=(2, 4), meta={"unit": "um"}))
    assert volume.spacing == {"X": 0.5, "Y": 0.25}


def test_imagej_hyperstack_and_axis_override(tmp_path):
    path = imagej(
        tmp_path / "a.tif", STACK, "ZCYX", resolution=(2, 2), meta={"unit": "um", "spacing": 4}
    )
    assert read_volume(path).axes == "ZCYX"
    renamed = read_volume(path, axes="tcyx")
    assert renamed.axes == "TCYX"
    assert renamed.spacing == {"X": 0.5, "Y": 0.5}
    with pytest.raises(DataError, match=r"got axes 'ZYX', 3 letters for an image of 4 dimensions"):
        read_volume(path, axes="ZYX")


def test_time_renamed_to_depth_gets_imagejs_spacing(tmp_path):
    path = imagej(
        tmp_path / "a.tif", STACK[0], "TYX", resolution=(2, 2), meta={"unit": "um", "spacing": 4}
    )
    assert read_volume(path).spacing == {"X": 0.5, "Y": 0.5}
    assert read_volume(path, axes="ZYX").voxel_size == (4, 0.5, 0.5)


def test_voxel_size_override(tmp_path):
    path = imagej(tmp_path / "a.tif", resolution=(2, 2), meta={"unit": "nm", "spacing": 4})
    volume = read_volume(path, voxel_size=VoxelSize(3.0, 2.0, 1.0))
    assert volume.voxel_size == (3.0, 2.0, 1.0)
    assert volume.unit == "nanometer"
    assert read_volume(path, voxel_size=(3.0, 2.0, 1.0), unit="um").unit == "micrometer"
    flat = read_volume(
        imagej(tmp_path / "b.tif", STACK[0, 0], "YX"), voxel_size=VoxelSize(3.0, 2.0, 1.0)
    )
    assert flat.spacing == {"Y": 2.0, "X": 1.0}


def test_plain(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0, 0], metadata=None, resolution=(300, 300), resolutionunit="INCH")
    volume = read_volume(path)
    assert volume.axes == "YX"
    assert volume.spacing == {}


@pytest.mark.parametrize("options", [{"metadata": None}, {}])
def test_plain_stack_needs_axes(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], photometric="minisblack", **options)
    with pytest.raises(DataError, match=r"a\.tif: got axes .*3 x 5 x 7.* --axes ZYX"):
        read_volume(path)
    assert np.array_equal(read_volume(path, axes="ZYX").data, STACK[0])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour(tmp_path, planar):
    data = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar)
    volume = read_volume(path)
    assert volume.axes == "CYX"
    assert np.array_equal(volume.data, np.moveaxis(data, -1, 0))
    assert np.array_equal(read_volume(path, axes="CYX").data, volume.data)
    if planar == "contig":
        assert np.array_equal(read_volume(path, axes="YXC").data, data)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("big", [False, True])
def test_byte_order_and_bigtiff(tmp_path, order, big):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0, 0], byteorder=order, bigtiff=big)
    volume = read_volume(path)
    assert np.array_equal(volume.data, STACK[0, 0])
    assert volume.data.dtype.isnative


def test_ome(tmp_path):
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 1.0,
        "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, photometric="minisblack", metadata=metadata)
    volume = read_volume(tmp_path / "a.ome.tif")
    assert volume.axes == "CZYX"
    assert volume.unit == "nanometer"
    assert volume.voxel_size == pytest.approx((1000, 250, 250))
    assert volume.channel_names == ("DAPI", "GFP")


def test_ome_in_pixels_is_unknown(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "pixel"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0], photometric="minisblack", metadata=metadata)
    assert read_volume(tmp_path / "a.ome.tif").spacing == {}


@pytest.mark.parametrize("dtype", [bool, np.int64, np.complex64])
def test_types_not_taken(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 8), dtype))
    with pytest.raises(DataError, match="expected one of int8, uint8, int16"):
        read_volume(tmp_path / "a.tif")


def test_other_calibrations_leave_values_as_stored(tmp_path):
    meta = {"cf": 0, "c0": -1024.0, "c1": 1.0}
    path = imagej(tmp_path / "a.tif", meta=meta)
    assert np.array_equal(read_volume(path).data, STACK[0])


@pytest.mark.parametrize(
    ("axes", "shape", "advice"),
    [
        ("QYX", (3, 5, 7), "ZYX"),
        ("QQYX", (2, 3, 5, 7), "CZYX"),
        ("QYXS", (4, 5, 7, 3), "ZYXC"),
        ("QQQ", (2, 3, 5), "ZYX"),
        ("ZQYX", (2, 3, 5, 7), "ZCYX"),
        ("QQQYX", (2, 2, 3, 5, 7), "TCZYX"),
    ],
)
def test_advice_for_unnamed_axes_fits(axes, shape, advice):
    raw = Raw(np.zeros(shape, np.uint8), axes)
    with pytest.raises(DataError, match=f"--axes {advice}$"):
        to_volume(raw, Path("a"), ReadOptions())
    assert to_volume(raw, Path("a"), ReadOptions(axes=advice)).data.size == np.prod(shape)


def test_planes_stored_as_time(tmp_path):
    """T has 9 and Z 1: the advice is exact, and works with a voxel size."""
    path = imagej(tmp_path / "a.tif", axes="TYX", resolution=(4, 4), meta={"unit": "um"})
    with pytest.raises(DataError, match=r"T has 3 and Z 1; if .* name the axes with --axes ZYX$"):
        check_stack(read_volume(path), 1)
    with pytest.raises(DataError, match="no voxel size along Z"):
        require_voxel_size(read_volume(path, axes="ZYX"))
    volume = read_volume(path, axes="ZYX", voxel_size=(2.0, 0.25, 0.25))
    check_stack(volume, 1)
    assert require_voxel_size(volume) == (2.0, 0.25, 0.25)


@pytest.mark.parametrize(("axes", "advice"), [("TCYX", "ZCYX"), ("CYX", "ZYX"), ("TZYX", "ZYX")])
def test_advice_for_other_stacks_without_planes(axes, advice):
    shape = tuple(1 if axis == "Z" else 4 for axis in axes)
    with pytest.raises(DataError, match=f"--axes {advice}$"):
        check_stack(Volume(np.zeros(shape, np.uint8), axes), 1)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_nuclei():
    volume = read_volume(SHARED / "data" / "nuclei_anisotropic.tif")
    assert volume.axes == "ZYX"
    assert volume.unit == "micrometer"
    assert require_voxel_size(volume) == pytest.approx((4.0, 0.829, 0.829), abs=1e-3)
