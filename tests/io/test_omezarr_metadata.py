"""OME-Zarr keeps place, time and display: others' is read, ours is written by the specification."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from isoslice.data.metadata import Display, Metadata
from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume
from isoslice.io.formats.omezarr.display import find_window

STACK = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)
SPACING = {"Z": 4.0, "Y": 1.0, "X": 0.5}


def scale(*numbers):
    return {"type": "scale", "scale": list(numbers)}


def translation(*numbers):
    return {"type": "translation", "translation": list(numbers)}


def image(path, transforms, outer=(), axes="zyx", units=("micrometer",) * 3, data=STACK, **attrs):
    """Write an OME-Zarr 0.4 image straight by zarr."""
    kinds = {"t": "time", "c": "channel"}
    listed = []
    for axis, unit in zip(axes, units, strict=True):
        listed.append({"name": axis, "type": kinds.get(axis, "space")})
        if unit:
            listed[-1]["unit"] = unit
    group = zarr.create_group(store=path, zarr_format=2)
    group.create_array("0", data=data, chunks=data.shape)
    multiscale: dict[str, Any] = {
        "version": "0.4",
        "axes": listed,
        "datasets": [{"path": "0", "coordinateTransformations": list(transforms)}],
    }
    if outer:
        multiscale["coordinateTransformations"] = list(outer)
    group.attrs.update({"multiscales": [multiscale], **attrs})
    return path


def attributes(path):
    return json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]


def test_the_place_of_a_tile(tmp_path):
    path = image(tmp_path / "a.zarr", [scale(4, 1, 0.5), translation(400, 1000, 2000)])
    assert read_volume(path).metadata.origin == {"Z": 400.0, "Y": 1000.0, "X": 2000.0}


def test_transformations_follow_each_other(tmp_path):
    path = image(
        tmp_path / "a.zarr",
        [scale(2, 1, 1), translation(10, 20, 30)],
        [scale(2, 0.5, 0.5), translation(1, 2, 3)],
    )
    volume = read_volume(path)
    # x = 0.5 (i + 30) + 3: the origin is scaled by what comes after it.
    assert volume.spacing == {"Z": 4.0, "Y": 0.5, "X": 0.5}
    assert volume.metadata.origin == {"Z": 21.0, "Y": 12.0, "X": 18.0}


def test_places_come_in_the_unit_of_the_spacing(tmp_path):
    path = image(
        tmp_path / "a.zarr",
        [scale(4000, 1, 0.5), translation(400_000, 1000, 2000)],
        units=("nanometer", "micrometer", "micrometer"),
    )
    volume = read_volume(path)
    assert volume.unit == "micrometer"
    assert volume.spacing == SPACING
    assert volume.metadata.origin == {"Z": 400.0, "Y": 1000.0, "X": 2000.0}


@pytest.mark.parametrize(
    ("transforms", "outer"),
    [
        ([{"type": "affine", "affine": [[1, 0, 0, 0]] * 3}], []),
        ([{"type": "scale", "path": "scales"}], []),
        ([scale(4, 1)], []),
        ([scale(4, 1, "x")], []),
        ([scale(4, 1, 1)], [{"type": "rotation"}]),
    ],
)
def test_what_is_not_understood_gives_no_spacing(tmp_path, transforms, outer):
    volume = read_volume(image(tmp_path / "a.zarr", transforms, outer))
    assert volume.spacing == {}
    assert volume.metadata == Metadata()


def test_ways_into_several_coordinate_systems_are_left_out(tmp_path):
    outer = [{**scale(9, 9, 9), "output": {"name": n}} for n in ("global", "other")]
    assert read_volume(image(tmp_path / "a.zarr", [scale(4, 1, 0.5)], outer)).spacing == SPACING
    one = read_volume(image(tmp_path / "b.zarr", [scale(1, 1, 1)], outer[:1]))
    assert one.spacing == {"Z": 9.0, "Y": 9.0, "X": 9.0}


@pytest.mark.parametrize(
    ("step", "unit", "found"),
    [
        (30.0, "second", (30.0, "second")),
        (0.5, "minutes", (0.5, "minute")),
        (1.0, "millisecond", (1.0, "millisecond")),
        (30.0, None, (30.0, None)),
        (1.0, None, (None, None)),
        (0.0, "second", (None, None)),
    ],
)
def test_time_between_frames(tmp_path, step, unit, found):
    path = image(
        tmp_path / "a.zarr",
        [scale(step, 4, 1, 0.5)],
        axes="tzyx",
        units=(unit, *("micrometer",) * 3),
        data=STACK[None],
    )
    known = read_volume(path).metadata
    assert (known.time_step, known.time_unit) == found


def test_names_colours_and_windows_of_others(tmp_path):
    channels = [
        {"label": "DAPI", "color": "#00f", "window": {"start": 5, "end": 90, "min": 0, "max": 255}},
        {"label": 2, "color": "ff8000", "window": {"start": None}},
    ]
    path = image(
        tmp_path / "a.zarr",
        [scale(1, 4, 1, 0.5)],
        axes="czyx",
        units=(None, *("micrometer",) * 3),
        data=np.stack([STACK, STACK]),
        omero={"channels": channels, "rdefs": {"model": "color"}},
    )
    volume = read_volume(path)
    assert volume.channel_names == ("DAPI", "2")
    assert volume.metadata.displays == (
        Display("0000FF", (5.0, 90.0)),
        Display("FF8000", None),
    )


@pytest.mark.parametrize(
    "omero", [{"channels": [{"label": "a", "color": "no colour"}]}, {"channels": []}, {}]
)
def test_displays_that_say_nothing(tmp_path, omero):
    path = image(tmp_path / "a.zarr", [scale(4, 1, 0.5)], omero=omero)
    assert read_volume(path).metadata.displays is None


FULL = Metadata(
    origin={"Z": -4.0, "Y": 1000.0, "X": 2000.5},
    time_step=30.0,
    time_unit="second",
    displays=(Display("FF00FF", (10.0, 200.0)), Display("00FF00", None)),
)


def test_all_is_written_by_the_specification(tmp_path):
    data = np.random.default_rng(0).integers(7, 900, (2, 2, 5, 300, 520), dtype=np.uint16)
    path = tmp_path / "a.ome.zarr"
    spacing = {"Z": 2.0, "Y": 0.5, "X": 0.5}
    write_volume(path, Volume(data, "TCZYX", spacing, "micrometer", ("a", "b"), metadata=FULL))
    yaozarrs.validate_zarr_store(str(path))
    ome = attributes(path)["ome"]
    multiscale = ome["multiscales"][0]
    assert multiscale["axes"][0] == {"name": "t", "type": "time", "unit": "second"}
    first, second = (d["coordinateTransformations"] for d in multiscale["datasets"][:2])
    assert first == [scale(30.0, 1.0, 2.0, 0.5, 0.5), translation(0, 0, -4.0, 1000.0, 2000.5)]
    # A voxel of the second level is the mean of two, centred between them.
    assert second[0] == scale(30.0, 1.0, 2.0, 1.0, 1.0)
    assert second[1] == translation(0, 0, -4.0, 1000.25, 2000.75)
    channels = ome["omero"]["channels"]
    assert [channel["color"] for channel in channels] == ["FF00FF", "00FF00"]
    assert channels[0]["window"] == {"start": 10.0, "end": 200.0, "min": 0.0, "max": 65535.0}
    assert channels[1]["window"]["start"] == data[:, 1].min()
    assert channels[1]["window"]["end"] == data[:, 1].max()
    # Without isoslice's note, all of it is still there.
    group = zarr.open_group(path, mode="r+")
    del group.attrs["isoslice"]
    known = read_volume(path).metadata
    assert known.origin == FULL.origin
    assert (known.time_step, known.time_unit) == (30.0, "second")
    assert known.displays[0] == FULL.displays[0]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".npy"])
@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(),
        FULL,
        Metadata(origin={"Z": 0.0, "Y": 0.0, "X": 0.0}),
        Metadata(displays=(Display(None, None, bytes(range(256)) * 3), Display("123456"))),
        Metadata(time_step=2.0),
    ],
)
def test_what_is_written_is_read_again(tmp_path, suffix, metadata):
    data = np.stack([np.stack([STACK, STACK + 1])] * 2)
    names = ("a", "b")
    volume = Volume(data, "TCZYX", SPACING, "micrometer", names, metadata=metadata)
    write_volume(tmp_path / f"a{suffix}", volume)
    assert read_volume(tmp_path / f"a{suffix}").metadata == metadata


def test_displays_without_names_are_written(tmp_path):
    path = tmp_path / "a.ome.zarr"
    shown = Metadata(displays=(Display("00FFFF", (-3.0, 9.0)),))
    write_volume(path, Volume(STACK.astype(np.int16), "ZYX", metadata=shown))
    yaozarrs.validate_zarr_store(str(path))
    (channel,) = attributes(path)["ome"]["omero"]["channels"]
    assert channel["window"] == {"start": -3.0, "end": 9.0, "min": -32768.0, "max": 32767.0}
    write_volume(tmp_path / "b.ome.zarr", Volume(STACK, "ZYX"))
    assert "omero" not in attributes(tmp_path / "b.ome.zarr")["ome"]


def test_colours_changed_by_another_program_go_first(tmp_path):
    path = tmp_path / "a.ome.zarr"
    shown = Metadata(displays=(Display("FF00FF", (10.0, 20.0)),))
    write_volume(path, Volume(STACK, "ZYX", metadata=shown))
    group = zarr.open_group(path, mode="r+")
    ome = dict(group.attrs["ome"])
    ome["omero"]["channels"][0]["color"] = "00FF00"
    group.attrs["ome"] = ome
    assert read_volume(path).metadata.displays == (Display("00FF00", (10.0, 20.0)),)


def test_windows_of_what_is_not_finite():
    values = np.array([np.nan, -2.0, np.inf, 7.0, -np.inf], np.float32)
    assert find_window([values]) == (-2.0, 7.0)
    assert find_window([np.full(3, np.nan)]) == (0.0, 1.0)
    assert find_window([np.array([-5, 3], np.int8)]) == (-5.0, 3.0)


def test_an_unknown_unit_of_time_is_left_to_the_note(tmp_path):
    path = tmp_path / "a.ome.zarr"
    known = Metadata(time_step=3.0, time_unit="frame")
    write_volume(path, Volume(STACK, "TYX", metadata=known))
    yaozarrs.validate_zarr_store(str(path))
    assert "unit" not in attributes(path)["ome"]["multiscales"][0]["axes"][0]
    assert read_volume(path).metadata.time_step == 3.0


def test_the_origin_of_a_part_goes_with_its_unit(tmp_path):
    path = image(tmp_path / "a.zarr", [scale(4, 1, 0.5), translation(4, 0, 2)])
    volume = read_volume(path, voxel_size=(4000.0, 1000.0, 500.0), unit="nm")
    assert volume.metadata.origin == {"Z": 4000.0, "Y": 0.0, "X": 2000.0}
    assert replace(volume.metadata, origin={}) == Metadata()


def test_an_image_that_is_made_slab_by_slab_keeps_it_all(request_):
    from jobs_setup import run

    shown = Metadata(
        origin={"Z": 400.0, "Y": 1000.0, "X": 2000.0}, displays=(Display("FF00FF", (10.0, 200.0)),)
    )
    stack = read_volume(request_.stack)
    write_volume(request_.stack, replace(stack, metadata=shown), overwrite=True)
    run(request_)
    assert read_volume(request_.output).metadata == shown
    yaozarrs.validate_zarr_store(str(request_.output))
    del zarr.open_group(request_.output, mode="r+").attrs["isoslice"]
    # The first plane is where it was, whatever lies between the planes.
    assert read_volume(request_.output).metadata == shown


def test_the_time_of_the_first_frame_is_kept(tmp_path):
    data = np.stack([STACK, STACK + 1, STACK + 2])
    transforms = [scale(30, 4, 1, 0.5), translation(60, 0, 0, 0)]
    units = ("second", *["micrometer"] * 3)
    path = image(tmp_path / "a.zarr", transforms, axes="tzyx", units=units, data=data)
    whole, later = read_volume(path), read_volume(path, time="1:3")
    assert (whole.metadata.time_start, later.metadata.time_start) == (60, 90)
    out = tmp_path / "b.ome.zarr"
    write_volume(out, later)
    (first, *_) = attributes(out)["ome"]["multiscales"][0]["datasets"]
    assert first["coordinateTransformations"] == [scale(30, 4, 1, 0.5), translation(90, 0, 0, 0)]
    yaozarrs.validate_ome_json((out / "zarr.json").read_text(encoding="utf-8"))
    assert read_volume(out).metadata == later.metadata
    for name in ("c.ome.tif", "c.npy"):
        write_volume(tmp_path / name, later)
        assert read_volume(tmp_path / name).metadata.time_start == 90
