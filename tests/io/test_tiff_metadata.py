"""Place, time and display in TIFF: read as others write them, written as others read them."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isoslice.data.metadata import Display, Metadata
from isoslice.data.time_units import time_name
from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume, write_volume
from isoslice.io.formats.tiff.display import as_ome_color, from_table, ramp, to_table
from tiff_inputs import STACK, ome_image, ome_xml, tiff_data, write_lsm, write_pages

SHARED = Path(__file__).parents[3] / "shared"
FIRE = bytes(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8))
TIMED = np.stack([np.stack([STACK, STACK[::-1]], 1)] * 2)  # TZCYX
FULL = Metadata(
    origin={"Z": 400.0, "Y": 1000.1, "X": -2000.0},
    time_step=30.0,
    time_unit="second",
    displays=(Display("00FF00", (3.0, 99.5)), Display(None, (0.0, 255.0), FIRE)),
)


def full(metadata=FULL, data=TIMED, axes="TZCYX"):
    spacing = {"Z": 4.0, "Y": 0.3, "X": 0.7}
    return Volume(data, axes, spacing, "micrometer", ("DAPI", "GFP"), metadata=metadata)


def planes_of_xml(path):
    with tifffile.TiffFile(path) as tif:
        return tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]


def test_imagej_as_tifffile_reads_it(tmp_path):
    write_volume(tmp_path / "a.tif", full())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        meta = tif.imagej_metadata
    assert (meta["finterval"], meta["tunit"], meta["mode"]) == (30.0, "sec", "composite")
    origins = [meta[f"{axis}origin"] for axis in "xyz"]
    assert origins == pytest.approx([2000 / 0.7, -1000.1 / 0.3, -100])
    assert meta["Ranges"] == (3.0, 99.5, 0.0, 255.0)
    assert meta["Labels"] == ["DAPI", "GFP"] * 18
    assert meta["LUTs"][0][:, 255].tolist() == [0, 255, 0]
    assert meta["LUTs"][0][:, 128].tolist() == [0, 128, 0]
    assert meta["LUTs"][1].tobytes() == FIRE


def test_imagej_as_others_write_it(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        TIMED,
        imagej=True,
        resolution=(1 / 0.7, 1 / 0.3),
        metadata={
            "axes": "TZCYX",
            "spacing": 4.0,
            "unit": "um",
            "finterval": 0.5,
            "tunit": "min",
            "xorigin": 10.0,
            "yorigin": 0,
            "zorigin": -2.0,
            "Ranges": (3.0, 99.5, 0.0, 255.0),
            "LUTs": [ramp((0, 255, 0)), np.frombuffer(FIRE, np.uint8).reshape(3, 256)],
            "Labels": ["DAPI", "GFP"] * 18,
        },
    )
    volume = read_volume(path)
    assert volume.metadata.origin == pytest.approx({"Z": 8.0, "Y": 0.0, "X": -7.0})
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (0.5, "minute")
    assert volume.metadata.displays == FULL.displays
    assert volume.channel_names == ("DAPI", "GFP")


def test_labels_of_planes_are_no_channel_names(tmp_path):
    labels = [f"c:{c}/2 z:{z}/9 - cells" for z in range(9) for c in (1, 2)]
    tifffile.imwrite(
        tmp_path / "a.tif", TIMED[0], imagej=True, metadata={"axes": "ZCYX", "Labels": labels}
    )
    assert read_volume(tmp_path / "a.tif").channel_names is None


def test_range_of_one_channel_in_imagej(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "ZYX", "min": 5.0, "max": 77.0}
    )
    volume = read_volume(tmp_path / "a.tif")
    assert volume.metadata.displays == (Display(None, (5.0, 77.0)),)
    write_volume(tmp_path / "b.tif", volume)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert (tif.imagej_metadata["min"], tif.imagej_metadata["max"]) == (5.0, 77.0)


def test_speed_of_an_animation_is_no_time_between_frames(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX", "fps": 7.0})
    assert read_volume(tmp_path / "a.tif").metadata.time_step is None


def test_lut_of_an_imagej_palette(tmp_path):
    table = np.frombuffer(FIRE, np.uint8).reshape(3, 256)
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        photometric="palette",
        colormap=table.astype(np.uint16) * 257,
        metadata={"axes": "ZYX"},
    )
    volume = read_volume(tmp_path / "a.tif")
    assert np.array_equal(volume.data, STACK)
    assert volume.metadata.displays == (Display(None, None, FIRE),)


def test_ome_as_tifffile_reads_it(tmp_path):
    write_volume(tmp_path / "a.ome.tif", full())
    pixels = planes_of_xml(tmp_path / "a.ome.tif")
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (30.0, "s")
    assert [channel.get("Color") for channel in pixels["Channel"]] == [0x00FF00FF, -1]
    planes = pixels["Plane"]
    assert len(planes) == 36
    for plane in planes:
        place = [plane[f"Position{axis}"] for axis in "XYZ"]
        assert place == pytest.approx([-2000.0, 1000.1, 400.0 + 4.0 * plane["TheZ"]])
        assert plane["PositionZUnit"] == "µm"


def test_ome_as_others_write_it(tmp_path):
    data = np.stack([STACK, 255 - STACK])
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "TimeIncrement": 250.0,
        "TimeIncrementUnit": "ms",
        "Channel": {"Color": [as_ome_color("FF00FF"), as_ome_color("00FFFF")]},
        "Plane": {
            "PositionX": [2.0] * 18,
            "PositionXUnit": ["mm"] * 18,
            "PositionZ": [float(z) for z in range(5, 14)] * 2,
            "PositionZUnit": ["µm"] * 18,
            "PositionY": [7.0] * 18,
            "PositionYUnit": ["reference frame"] * 18,
        },
    }
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata=metadata
    )
    volume = read_volume(tmp_path / "a.ome.tif")
    assert volume.unit == "micrometer"
    assert volume.metadata.origin == pytest.approx({"Z": 5.0, "X": 2000.0})
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (250.0, "millisecond")
    assert volume.metadata.displays == (Display("FF00FF"), Display("00FFFF"))


@pytest.mark.parametrize("color", ["-2147483648", "red", "99999999999", ""])
def test_colours_that_are_none(tmp_path, color):
    xml = ome_xml(ome_image(0, tiff_data(None, "")))
    xml = xml.replace('SamplesPerPixel="1"', f'SamplesPerPixel="1" Color="{color}"')
    path = write_pages(tmp_path / "a.ome.tif", STACK, xml)
    assert read_volume(path).metadata.displays is None


SUFFIXES = (".tif", ".ome.tif")


@pytest.mark.parametrize("first", SUFFIXES)
@pytest.mark.parametrize("second", SUFFIXES)
def test_kept_from_format_to_format(tmp_path, first, second):
    volume = full()
    for number, suffix in enumerate((first, second)):
        path = tmp_path / f"{number}{suffix}"
        write_volume(path, volume)
        volume = read_volume(path)
        assert volume.metadata == FULL
        assert volume.channel_names == ("DAPI", "GFP")


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(time_step=2.0, time_unit="minute"),
        Metadata(time_step=0.1, time_unit="millisecond"),
        Metadata(displays=(Display(), Display("FF0000"))),
        Metadata(displays=(Display("FFFFFF"), Display("FFFFFF"))),
        Metadata(displays=(Display(None, (1.0, 2.0)), Display())),
        Metadata(origin={"Z": 1e-3, "X": 1e6 / 3}),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parts_are_kept(tmp_path, suffix, metadata):
    write_volume(tmp_path / f"a{suffix}", full(metadata))
    assert read_volume(tmp_path / f"a{suffix}").metadata == metadata


def test_what_was_changed_since_is_believed(tmp_path):
    """Another program changed the first channel's colour: the note gives way."""
    write_volume(tmp_path / "a.ome.tif", full())
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        xml = tif.ome_metadata.replace(f'Color="{0x00FF00FF}"', f'Color="{0x0000FFFF}"')
    xml = xml.replace('TimeIncrement="30.0"', 'TimeIncrement="31.0"')
    tifffile.tiffcomment(tmp_path / "a.ome.tif", xml.encode())
    found = read_volume(tmp_path / "a.ome.tif").metadata
    assert found.displays == (Display("0000FF", (3.0, 99.5)), FULL.displays[1])
    assert found.time_step == 31.0
    assert found.origin == FULL.origin


def test_refined_stacks_stay_in_place(tmp_path):
    """Three times the planes: the first one stays where it was, in voxels of the new size."""
    volume = full()
    finer = replace(
        volume,
        data=np.repeat(volume.data, 3, axis=1)[:, :-2],
        spacing={**volume.spacing, "Z": 4.0 / 3},
        metadata=volume.metadata.refined("Z", 3),
    )
    write_volume(tmp_path / "a.tif", finer)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.imagej_metadata["zorigin"] == pytest.approx(-300)
    assert read_volume(tmp_path / "a.tif").metadata.origin == FULL.origin


@pytest.mark.parametrize("color", ["000000", "FF0000", "00FF00", "0000FF", "FFFFFF", "12AB9F"])
def test_colours_and_tables(color):
    assert from_table(to_table(Display(color)), None) == Display(color)
    assert f"{(as_ome_color(color) % 2**32) >> 8:06X}" == color
    assert -(2**31) <= as_ome_color(color) < 2**31


@pytest.mark.parametrize(
    ("text", "name"),
    [("s", "second"), ("sec", "second"), ("Seconds", "second"), ("µs", "microsecond"),
     ("msec", "millisecond"), ("min", "minute"), ("hours", "hour"), ("h", "hour"), ("d", "day"),
     ("ns", "nanosecond"), ("frame", None), (None, None)],
)  # fmt: skip
def test_units_of_time(text, name):
    assert time_name(text) == name


def test_lsm(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 12, 16), dtype=np.uint8)
    volume = read_volume(write_lsm(tmp_path / "a.lsm", data, 2.5))
    assert volume.axes == "TZCYX"
    assert np.array_equal(volume.data, data)
    assert volume.unit == "micrometer"
    assert volume.voxel_size == pytest.approx((2.0, 0.25, 0.5))
    assert volume.channel_names == ("Ch0", "Ch1", "Ch2")
    assert [display.color for display in volume.metadata.displays] == ["FF0000", "00FF00", "000000"]
    assert volume.metadata.origin == pytest.approx({"Z": 30.0, "Y": 20.0, "X": 10.0})
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (2.5, "second")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_lsm():
    volume = read_volume(SHARED / "formats" / "lsm" / "032113-18.lsm")
    assert (volume.axes, volume.data.shape) == ("CYX", (3, 512, 512))
    assert volume.spacing == pytest.approx({"Y": 1.0378323, "X": 1.0378323})
    assert volume.channel_names == ("Ch1-T1", "Ch2-T2", "T PMT-T2")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
def test_real_companion():
    folder = SHARED / "formats" / "ometiff_viv"
    planes = [
        tifffile.imread(folder / f"multifile-Z{z}.ome.tiff", is_ome=False) for z in range(1, 6)
    ]
    for path in (*folder.glob("multifile-Z*.tiff"), folder / "multifile.companion.ome"):
        assert np.array_equal(read_volume(path).data, planes)


def test_positions_in_one_lsm_are_series(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 12, 16), dtype=np.uint8)
    path = write_lsm(tmp_path / "a.lsm", data, positions=2)
    with pytest.warns(IsosliceWarning, match="holds 2 images, took 0 'position 0'"):
        assert np.array_equal(read_volume(path).tczyx()[0], data[0].swapaxes(0, 1))
    volume = read_volume(path, series="position 1")
    assert volume.axes == "ZCYX"
    assert np.array_equal(volume.data, data[1])


def test_lsm_with_more_positions_than_planes(tmp_path):
    data = np.zeros((2, 4, 3, 12, 16), np.uint8)
    path = write_lsm(tmp_path / "a.lsm", data, positions=2)
    content = path.read_bytes()
    declared = struct.pack("<ii", 2, 1)
    assert content.count(declared) == 1
    path.write_bytes(content.replace(declared, struct.pack("<ii", 2**30, 1)))
    with pytest.raises(DataError, match=r"declares \d+ planes, and has 16"):
        read_volume(path)
