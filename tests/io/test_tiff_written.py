"""TIFF as isoslice writes it, read by others and by itself."""

import json

import numpy as np
import pytest
import tifffile

from isoslice.data.volume import DTYPES, Volume
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import open_volume
from tiff_inputs import write_signed
from tiff_stacks import STACK, imagej


def test_our_imagej_read_by_tifffile(tmp_path):
    provenance = {"factor": 5}
    spacing = {"Z": 4.0, "Y": 0.83, "X": 0.829}
    write_volume(
        tmp_path / "a.tif", Volume(STACK, "ZCYX", spacing, "micrometer", provenance=provenance)
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        meta = tif.imagej_metadata
        assert (meta["slices"], meta["channels"]) == (2, 3)
        assert (meta["spacing"], meta["unit"]) == (4.0, "micron")
        assert json.loads(meta["Info"])["isoslice"]["provenance"] == provenance
        tags = tif.pages[0].tags
        numerator, denominator = tags["XResolution"].value
        assert denominator / numerator == pytest.approx(0.829, rel=1e-8)
        assert tags["ResolutionUnit"].value == 1
        assert tif.series[0].axes == "ZCYX"
        assert np.array_equal(tif.asarray(), STACK)


@pytest.mark.parametrize(("suffix", "dtype"), [(".ome.tif", np.uint16), (".tif", np.float64)])
def test_our_ome_read_by_tifffile(tmp_path, suffix, dtype):
    data = STACK.astype(dtype)
    spacing = {"Z": 4.0, "Y": 0.83, "X": 0.829}
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(data, "CZYX", spacing, "micrometer", ("α & <β>", "b"), {"factor": 5}))
    with tifffile.TiffFile(path) as tif:
        assert tif.series[0].kind == "ome"
        assert tif.series[0].axes == "CZYX"
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        assert np.array_equal(tif.asarray(), data)
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeX"]) == (4.0, 0.829)
    assert pixels["PhysicalSizeYUnit"] == "µm"
    assert [channel["Name"] for channel in pixels["Channel"]] == ["α & <β>", "b"]
    assert read_volume(path).channel_names == ("α & <β>", "b")


def test_our_ome_xml_follows_the_schema(tmp_path):
    ome_types = pytest.importorskip("ome_types")
    volume = Volume(STACK, "CZYX", {"Z": 4.0}, "micrometer", ("a", "b"), {"a": "<&>"})
    write_volume(tmp_path / "a.ome.tif", volume)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        ome = ome_types.from_xml(tif.ome_metadata, validate=False)
    assert ome.images[0].pixels.size_c == 2
    assert "isoslice" in ome.images[0].description


def test_a_note_is_not_believed_once_the_file_was_recalibrated(tmp_path):
    write_volume(
        tmp_path / "a.tif", Volume(STACK[0], "ZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0}, "micrometer")
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        info = tif.imagej_metadata["Info"]
    path = imagej(
        tmp_path / "b.tif",
        STACK[0][:2],
        resolution=(2, 2),
        meta={"spacing": 3, "unit": "um", "Info": info},
    )
    volume = read_volume(path)
    assert volume.voxel_size == (3.0, 0.5, 0.5)
    assert volume.data.shape == (2, 5, 7)


@pytest.mark.parametrize(
    "text", ['{"isoslice": 3}', '{"isoslice": {"axes": "QQ"}}', '{"isoslice": [', "x"]
)
def test_malformed_notes_are_ignored(tmp_path, text):
    path = imagej(tmp_path / "a.tif", meta={"Info": text})
    assert read_volume(path).axes == "ZYX"


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_types_as_others_read_them(tmp_path, suffix, dtype):
    """Each type comes back as it was, through us and through tifffile."""
    kind = np.dtype(dtype)
    data = np.linspace(-200, 200, 120).reshape(2, 3, 4, 5)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        data = np.linspace(limits.min, limits.max, 120).round().reshape(2, 3, 4, 5)
    data = data.astype(kind)
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(data, "ZCYX", {"Z": 4.0, "Y": 1.0, "X": 1.0}, "micrometer"))
    found = tifffile.imread(path)
    assert found.dtype == kind
    assert np.array_equal(found, data)
    volume = read_volume(path)
    assert volume.data.dtype == kind
    assert np.array_equal(volume.data, data)
    assert (volume.axes, volume.voxel_size) == ("ZCYX", (4, 1, 1))
    with tifffile.TiffFile(path) as tif:
        imagej = suffix == ".tif" and dtype in ("uint8", "uint16", "int16", "float32")
        assert tif.series[0].kind == ("imagej" if imagej else "ome")


def test_signed_16_bit_of_imagej(tmp_path):
    """Fiji stores it unsigned, with a calibration; what isoslice writes needs none."""
    data = np.array([-32768, -1024, -1, 0, 1, 32767], np.int16).repeat(20).reshape(5, 4, 6)
    path = write_signed(tmp_path / "a.tif", data, spacing=2.0, unit="um")
    opened = open_volume(path)
    assert opened.data.dtype == np.int16
    assert np.array_equal(opened.data[1:3, 2], data[1:3, 2])
    volume = read_volume(path)
    assert volume.data.dtype == np.int16
    assert np.array_equal(volume.data, data)
    write_volume(tmp_path / "b.tif", volume)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.is_imagej
        assert tif.pages[0].sampleformat == 2
        assert np.array_equal(tif.asarray(), data)
    assert np.array_equal(read_volume(tmp_path / "b.tif").data, data)


@pytest.mark.parametrize("axes", ["CZYX", "CTZYX", "ZYX", "CTYX"])
def test_imagejs_order_of_axes_and_back(tmp_path, axes):
    """A .tif is ImageJ's whatever the order of axes; read again, they are in their own."""
    data = np.arange(np.prod(range(2, 2 + len(axes))), dtype=np.uint16)
    volume = Volume(data.reshape(range(2, 2 + len(axes))), axes, {"Z": 2.0} if "Z" in axes else {})
    write_volume(tmp_path / "a.tif", volume)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].kind == "imagej"
        assert tif.series[0].axes == "".join(axis for axis in "TZCYX" if axis in axes)
        order = [axes.index(axis) for axis in tif.series[0].axes]
        assert np.array_equal(tif.asarray(), volume.data.transpose(order))
    back = read_volume(tmp_path / "a.tif")
    assert back.axes == axes
    assert np.array_equal(back.data, volume.data)
