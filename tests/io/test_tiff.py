"""TIFF as others write it, and ours as others read it."""

import json
import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isoslice.data.volume import DTYPES, Volume, VoxelSize
from isoslice.errors import DataError
from isoslice.inference.stack import check_stack
from isoslice.io import read_volume, require_voxel_size, write_volume
from isoslice.io.decoded import Raw, to_volume
from isoslice.io.options import ReadOptions
from isoslice.io.reading import open_volume
from tiff_inputs import write_signed

SHARED = Path(__file__).parents[3] / "shared"
STACK = np.arange(2 * 3 * 5 * 7, dtype=np.uint16).reshape(2, 3, 5, 7)
# ImageJ's description is ASCII; it writes the micro sign as an escape.
MICROMETRE = ["micron", "um", "\\u00B5m", "\\u03BCm", "microns", "micrometer"]


def imagej(path, data=STACK[0], axes="ZYX", **options):
    tifffile.imwrite(
        path, data, imagej=True, metadata={"axes": axes, **options.pop("meta", {})}, **options
    )
    return path


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


@pytest.mark.parametrize("compression", ["zlib", None])
@pytest.mark.parametrize("tile", [(16, 16), None])
def test_compressed_and_tiled(tmp_path, compression, tile):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, compression=compression, tile=tile, metadata={"axes": "TZYX"})
    assert np.array_equal(read_volume(path).data, STACK)


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


def written_many_ways(folder):
    """Every layout: one block, a page per plane, compressed, tiled, OME, BigTIFF."""
    data = np.random.default_rng(0).integers(1, 2**16, (6, 20, 24), dtype=np.uint16)
    ours = Volume(data, "ZYX", {"Z": 2.0, "Y": 1.0, "X": 1.0}, "micrometer", None, {"a": 1})
    write_volume(folder / "ours.tif", ours)
    write_volume(folder / "ours.ome.tif", ours)
    imagej(folder / "imagej.tif", data)
    meta = {"axes": "ZYX"}
    kinds = {
        "plain.tif": {"metadata": None},
        "ome-zlib.ome.tif": {"metadata": meta, "compression": "zlib"},
        "ome-tiles.ome.tif": {"metadata": meta, "tile": (16, 16)},
        "strips.tif": {"metadata": None, "rowsperstrip": 3},
        "big.tif": {"metadata": None, "bigtiff": True},
        "shaped.tif": {"metadata": meta},
    }
    for name, options in kinds.items():
        tifffile.imwrite(folder / name, data, photometric="minisblack", **options)
    with tifffile.TiffWriter(folder / "pages.tif") as tif:
        for plane in data:
            tif.write(plane, contiguous=False, metadata=None)
    with tifffile.TiffWriter(folder / "pages-ij.tif", imagej=True) as tif:
        tif.write(data, metadata={"axes": "ZYX"}, compression="zlib")
    return data


def test_truncated_anywhere(tmp_path):
    data = written_many_ways(tmp_path)
    for path in sorted(tmp_path.glob("*.tif")):
        content = path.read_bytes()
        assert np.array_equal(read_volume(path, axes="ZYX").data, data), path.name
        cut = tmp_path / f"cut{''.join(path.suffixes)}"
        for kept in [
            *range(1, 60, 7),
            *(int(len(content) * f) for f in np.linspace(0.02, 0.98, 25)),
        ]:
            cut.write_bytes(content[:kept])
            with pytest.raises(DataError) as caught:
                read_volume(cut, axes="ZYX")
            assert "\n" not in str(caught.value)
            assert str(cut) in str(caught.value)


def test_corrupt_bytes_never_escape_as_other_errors(tmp_path):
    written_many_ways(tmp_path)
    rng = np.random.default_rng(1)
    for path in sorted(tmp_path.glob("*.tif")):
        content = bytearray(path.read_bytes())
        bad = tmp_path / f"bad{''.join(path.suffixes)}"
        for _ in range(12):
            changed = bytearray(content)
            for place in rng.integers(0, min(600, len(content)), 8):
                changed[place] = int(rng.integers(0, 256))
            bad.write_bytes(changed)
            with suppress(DataError):
                read_volume(bad, axes="ZYX")


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"not a tiff at all", b"II*\0\0\0\0\0", b"MM\0+" + b"\0" * 30]
)
def test_not_tiff(tmp_path, content, caplog):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with caplog.at_level(logging.DEBUG, logger="tifffile"), pytest.raises(DataError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize("dtype", [bool, np.int64, np.complex64])
def test_types_not_taken(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 8), dtype))
    with pytest.raises(DataError, match="expected one of int8, uint8, int16"):
        read_volume(tmp_path / "a.tif")


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


def test_other_calibrations_leave_values_as_stored(tmp_path):
    meta = {"cf": 0, "c0": -1024.0, "c1": 1.0}
    path = imagej(tmp_path / "a.tif", meta=meta)
    assert np.array_equal(read_volume(path).data, STACK[0])


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


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressions_without_loss(tmp_path, compression, tile):
    if compression != "zlib":
        pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    data = STACK[0].repeat(8, 1).repeat(8, 2)
    tifffile.imwrite(path, data, compression=compression, tile=tile, photometric="minisblack")
    assert np.array_equal(read_volume(path, axes="ZYX").data, data)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp"])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_pictures_in_tiffs(tmp_path, compression, tile):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    ramp = np.add.outer(np.arange(50), np.arange(70)).astype(np.uint8)
    data = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1)
    tifffile.imwrite(path, data, compression=compression, tile=tile, photometric="rgb")
    volume = read_volume(path)
    assert volume.axes == "CYX"
    expected = np.moveaxis(data, -1, 0).astype(int)
    assert np.abs(volume.data.astype(int) - expected).mean() < 4


def test_missing_imagecodecs_is_explained(tmp_path, monkeypatch):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0, 0], compression="lzw")

    def fail(*_args, **_kwargs):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", fail)
    with pytest.raises(DataError, match=r"compressed by LZW, which the installed imagecodecs"):
        read_volume(path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(DataError, match=r"by LZW, which needs .*: python -m pip install imagecod"):
        read_volume(path)


def test_unread_compressions_are_named(tmp_path):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0].astype(np.uint8), compression="png")
    with pytest.raises(DataError, match=r"compressed by PNG, expected one of none, LZW, deflate"):
        read_volume(tmp_path / "a.tif")


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
