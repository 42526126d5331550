"""What is read of a file, and as what: series, channels, times, voxel sizes with units."""

import json

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice import write_volume
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.io import read_images, read_volume
from isoslice.io.spacing import parse_spacing


@pytest.mark.parametrize(
    ("text", "size", "unit"),
    [
        ("4.0,0.83,0.83", (4, 0.83, 0.83), None),
        ("2.8mm,0.7mm,0.7mm", (2.8, 0.7, 0.7), "millimeter"),
        ("2.8,0.7,0.7mm", (2.8, 0.7, 0.7), "millimeter"),
        ("2.8mm,700um,700um", (2800, 700, 700), "micrometer"),
        ("2.8mm,700um,0.7mm", (2.8, 0.7, 0.7), "millimeter"),  # exactly: not 0.7000000000000001
        ("250nm, 65 nm, 65 nm", (250, 65, 65), "nanometer"),
        ("4 µm,1e0µm,.5µm", (4, 1, 0.5), "micrometer"),
        ("1in,2.54cm,25.4mm", (25.4, 25.4, 25.4), "millimeter"),
    ],
)
def test_voxel_sizes_as_people_write_them(text, size, unit) -> None:
    assert parse_spacing(text) == (size, unit)
    if unit is None:
        assert parse_spacing(text, "mm") == (size, "millimeter")
    else:
        assert parse_spacing(text, unit) == (size, unit)


@pytest.mark.parametrize(
    ("text", "unit", "told"),
    [
        ("4,1", None, "three positive numbers"),
        ("4,1,1,1", None, "three positive numbers"),
        ("4,0,1", None, "three positive numbers"),
        ("4,-1,1", None, "three positive numbers"),
        ("4,nan,1", None, "three positive numbers"),
        ("4,inf,1", None, "three positive numbers"),
        ("1e400,1,1", None, "three positive numbers"),
        ("1e-999999999,1,1", None, "three positive numbers"),
        ("mm,1,1", None, "three positive numbers"),
        ("", None, "three positive numbers"),
        ("4,1,1px", None, "got unit 'px'"),
        ("4,1,1", "pixel", "got unit 'pixel'"),
        ("4mm,1,1", None, "for example --voxel-size 4,1,1mm"),
        ("4,1mm,1mm", None, "for example --voxel-size 4,1,1mm"),
        ("4,1,1mm", "um", "leave out --unit"),
        (None, "mm", "without --voxel-size"),
    ],
)
def test_what_is_no_voxel_size(text, unit, told) -> None:
    with pytest.raises(SettingsError, match="got ") as error:
        parse_spacing(text, unit)
    assert told in str(error.value)


@pytest.fixture
def millimetres(tmp_path):
    path = tmp_path / "a.ome.zarr"
    volume = Volume(texture(5, 40, 44), "ZYX", {"Z": 1.0, "Y": 1.0, "X": 1.0}, "millimeter")
    write_volume(path, volume)
    return path


@pytest.mark.parametrize(
    ("options", "size", "unit"),
    [
        (("--voxel-size", "2.8,0.7,0.7"), (2.8, 0.7, 0.7), "millimeter"),  # the file's own
        (("--voxel-size", "2.8,0.7,0.7um"), (2.8, 0.7, 0.7), "micrometer"),
        (("--voxel-size", "2.8,0.7,0.7", "--unit", "nm"), (2.8, 0.7, 0.7), "nanometer"),
    ],
)
def test_the_unit_of_a_voxel_size(
    cli: Cli, millimetres, model_folder, tmp_path, options, size, unit
) -> None:
    found = json.loads(cli("info", millimetres, "--json", *options).out)
    assert (tuple(found["voxel_size"].values()), found["unit"]) == (size, unit)
    for name in ("out.ome.tif", "out.ome.zarr"):  # in memory, and in blocks
        out = tmp_path / name
        ran = cli("predict", millimetres, "-m", model_folder, "-o", out, "-q", *options)
        assert ran.code == 0, ran
        restored = read_volume(out)
        assert restored.voxel_size == pytest.approx((0.7, 0.7, 0.7))
        assert restored.unit == unit


def test_micrometres_where_a_file_has_no_unit(cli: Cli, tmp_path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 44), voxel_size=None)
    found = json.loads(cli("info", stack, "--voxel-size", "4,1,1", "--json").out)
    assert found["unit"] == "micrometer"


@pytest.fixture
def several(tmp_path):
    """Two time points of three channels."""
    path = tmp_path / "several.ome.tif"
    spacing = {"Z": 3.0, "Y": 1.0, "X": 1.0}
    data = np.stack([texture(3, 5, 40, 44, seed=seed) for seed in (0, 1)])
    write_volume(path, Volume(data, "TCZYX", spacing, "micrometer", ("DAPI", "GFP", "RFP")))
    return path


@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])
def test_one_channel_of_three_with_a_model_of_one(
    cli: Cli, several, model_folder, tmp_path, name
) -> None:
    out = tmp_path / name
    words = ("predict", several, "-m", model_folder, "-o", out, "-q", "--channel", "GFP")
    ran = cli(*words, "--time", "1")
    assert ran.code == 0, ran
    restored, stack = read_volume(out), read_volume(several)
    assert (restored.axes, restored.channel_names) == ("ZYX", ("GFP",))
    np.testing.assert_array_equal(restored.data[::3], stack.data[1, 1])


def test_a_chosen_part_is_what_the_other_commands_see(
    cli: Cli, several, model_folder, tmp_path
) -> None:
    part = ("--channel", 1, "--time", 1)
    cube = tmp_path / "cube.ome.tif"
    write_volume(cube, Volume(texture(1, 2, 20, 20, 20), "TCZYX", channel_names=("a", "b")))
    single = tmp_path / "single.ome.tif"
    write_volume(single, read_volume(cube, channel=1))
    alone = tmp_path / "alone.ome.tif"
    write_volume(alone, read_volume(several, channel=1, time=1))
    rest: tuple[object, ...] = ("-m", model_folder, "--json", "-")
    whole, own = cli("check", several, *rest, *part), cli("check", alone, *rest)
    assert whole.code == own.code == 0, (whole, own)
    assert whole.out.replace("several.ome.tif", "alone.ome.tif") == own.out
    rest = ("--real", single, "--light", "--factor", 2, "--tile", 16, "--json", "-")
    whole, own = cli("slicefid", cube, *rest, "--channel", 1), cli("slicefid", single, *rest)
    assert whole.code == own.code == 0, (whole, own)
    assert whole.out.replace("cube.ome.tif", "single.ome.tif") == own.out


def test_evaluation_of_one_channel(cli: Cli, several, tmp_path) -> None:
    alone = tmp_path / "alone.ome.tif"
    write_volume(alone, read_volume(several, channel=1, time=1))
    ran = cli(
        "evaluate", several, several, alone, "--channel", 1, "--time", 1, "--factor", 2,
        "--json", "-",
    )  # fmt: skip
    assert ran.code == 0, ran
    assert [one["mean"]["l1"] for one in json.loads(ran.out)] == [0, 0]


def test_training_on_one_channel(several) -> None:
    (volume,) = read_images([several], channel="RFP", time="0", voxel_size=(4, 1, 1), unit="nm")
    assert (volume.axes, volume.channel_names, volume.unit) == ("ZYX", ("RFP",), "nanometer")
    np.testing.assert_array_equal(volume.data, read_volume(several).data[0, 2])


@pytest.mark.parametrize("command", ["train", "distill"])
def test_training_refuses_a_channel_that_is_not_there(
    cli: Cli, several, model_folder, tmp_path, command
) -> None:
    words = [model_folder, several] if command == "distill" else [several]
    ran = cli(command, *words, "-o", tmp_path / "m", "--channel", "Cy5", "--steps", 1)
    assert ran.code == 1
    assert "expected a number from 0 to 2 or a name: DAPI, GFP, RFP" in ran.err[0]


@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])
@pytest.mark.parametrize("options", [(), ("--along", "X")])
def test_a_stack_that_is_coarse_along_x(cli: Cli, model_folder, tmp_path, name, options) -> None:
    """As it lies, and as it would be restored with its axes renamed: the same voxels."""
    data = texture(5, 40, 44)
    sagittal, upright = tmp_path / "x.ome.tif", tmp_path / "z.ome.tif"
    write_volume(
        sagittal,
        Volume(data.transpose(2, 1, 0), "ZYX", {"Z": 1.0, "Y": 1.0, "X": 3.0}, "micrometer"),
    )
    write_volume(upright, Volume(data, "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0}, "micrometer"))
    for stack, words in ((sagittal, options), (upright, ())):
        out = tmp_path / f"{stack.name[0]}-{name}"
        ran = cli("predict", stack, "-m", model_folder, "-o", out, "-q", *words)
        assert ran.code == 0, ran
    found, expected = (read_volume(tmp_path / f"{first}-{name}") for first in "xz")
    assert found.voxel_size == pytest.approx((1, 1, 1))
    np.testing.assert_array_equal(found.data.transpose(2, 1, 0), expected.data)


def test_along_an_axis_the_voxel_size_does_not_say(cli: Cli, model_folder, tmp_path) -> None:
    stack, out = tmp_path / "a.ome.tif", tmp_path / "out.ome.tif"
    write_volume(stack, Volume(texture(9, 40, 5), "ZYX", dict.fromkeys("ZYX", 1.0), "micrometer"))
    words = ("predict", stack, "-m", model_folder, "-o", out, "--along", "X", "--factor", 3)
    assert cli(*words).code == 0
    assert read_volume(out).data.shape == (9, 40, 13)
    (found,) = [cli("check", stack, "-m", model_folder, "--along", "X", "--factor", 2)]
    assert found.code == 0, found


def test_warnings_are_told_once(cli: Cli, tmp_path, model_folder) -> None:
    """A stack is opened twice, to look at it and to restore it."""
    folder = tmp_path / "planes"
    folder.mkdir()
    for number in (0, 1, 2, 4):
        plane = Volume(texture(1, 40, 44)[0], "YX", {"Y": 1.0, "X": 1.0}, "micrometer")
        write_volume(folder / f"z{number}.ome.tif", plane)
    ran = cli(
        *("predict", folder, "--voxel-size", "3,1,1", "-m", model_folder),
        *("-o", tmp_path / "out.ome.tif", "--mode", "mean"),
    )
    assert ran.code == 0
    told = [line for line in ran.err if "warning" in line]
    assert any("missing" in line for line in told)
    assert len(told) == len(set(told))
