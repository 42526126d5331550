"""`isoslice info`: all that isoslice sees in a file, whatever its size."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from conftest import Cli, texture
from isoslice import write_volume
from isoslice.cli import intensities
from isoslice.cli.intensities import intensity_range
from isoslice.data.metadata import Display, Metadata, Optics, Orientation, as_matrix
from isoslice.data.volume import Volume
from isoslice.io.decoded import Raw
from isoslice.io.lazy_array import LazyArray
from isoslice.io.series import Series

LPS = as_matrix([[-0.7, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 2.8, 30], [0, 0, 0, 1]])


def lines(out: str) -> dict[str, str]:
    """Name -> value, as printed."""
    pairs = (line.split("  ", 1) for line in out.splitlines())
    return {name.strip(): value.strip() for name, value in pairs}


@pytest.fixture
def rich_file(tmp_path):
    """An image with all that isoslice knows of."""
    data = texture(2, 3, 5, 40, 44)
    displays = (Display("FF0000", (0, 255)), Display("00FF00"), Display(lut=bytes(768)))
    path = tmp_path / "a.ome.zarr"
    metadata = Metadata(
        {"Z": 1.0, "Y": 2.0, "X": 3.0}, Orientation(LPS, None, 1, 0), 30.0, "second", displays
    )
    write_volume(
        path,
        Volume(
            data,
            "TCZYX",
            {"Z": 2.8, "Y": 0.7, "X": 0.7},
            "millimeter",
            ("DAPI", "GFP", "RFP"),
            metadata=metadata,
        ),
    )
    return path


def test_all_of_a_file_as_json(cli: Cli, rich_file) -> None:
    found = json.loads(cli("info", rich_file, "--json").out)
    assert found["shape"] == [2, 3, 5, 40, 44]
    assert found["bytes"] == 2 * 3 * 5 * 40 * 44
    assert found["chunks"] == [1, 1, 5, 40, 44]
    assert found["restored"] == {"shape": [2, 3, 17, 40, 44], "bytes": 2 * 3 * 17 * 40 * 44}
    assert found["voxel_size"] == {"Z": 2.8, "Y": 0.7, "X": 0.7}
    assert found["unit"] == "millimeter"
    assert (found["coarse_along"], found["factor"]) == ("Z", 4)
    assert found["coarse_by"] == pytest.approx(4)
    assert found["channels"] == ["DAPI", "GFP", "RFP"]
    assert found["displays"][0] == {"color": "FF0000", "window": [0, 255], "lut": False}
    assert [display["lut"] for display in found["displays"]] == [False, False, True]
    assert (found["time_step"], found["time_unit"]) == (30, "second")
    assert found["origin"] == {"Z": 1, "Y": 2, "X": 3}
    assert found["orientation"] == {"codes": "LPS", "affine": [list(row) for row in LPS]}


def test_all_of_a_file_for_people(cli: Cli, rich_file) -> None:
    code, out, err = cli("info", rich_file)
    assert (code, err) == (0, [])
    found = lines(out)
    assert found["shape"] == "2 x 3 x 5 x 40 x 44, 52.8 kB"
    assert found["chunks"] == "1 x 1 x 5 x 40 x 44"
    assert found["restored"] == "2 x 3 x 17 x 40 x 44, 180 kB before compression"
    assert found["sampling"] == "coarse along Z by 4.0"
    assert found["channels.0"] == "DAPI, #FF0000, window 0 to 255"
    assert found["channels.2"] == "RFP, lookup table"
    assert found["time step"] == "30 second"
    assert found["origin.Y"] == "2"
    assert found["orientation"] == "LPS (where X, Y and Z run to)"
    assert all(len(line) <= 80 for line in out.splitlines() if not line.startswith("path"))


def test_a_part_and_another_voxel_size(cli: Cli, rich_file) -> None:
    found = json.loads(
        cli(
            "info", rich_file, "--channel", "GFP", "--time", 1, "--voxel-size", "7,7,7um", "--json"
        ).out
    )
    assert (found["axes"], found["channels"]) == ("ZYX", ["GFP"])
    assert found["voxel_size"] == {"Z": 7, "Y": 7, "X": 7}
    assert found["unit"] == "micrometer"
    assert found["origin"] == {"Z": 1000, "Y": 2000, "X": 3000}


@pytest.mark.parametrize(
    ("size", "told", "factor"),
    [
        ("3,1,1", "coarse along Z by 3.0", 3),
        ("1,1,4", "coarse along X by 4.0", 4),
        ("1,2,1", "coarse along Y by 2.0", 2),
        ("1,1,1", "isotropic", None),
        ("0.2,1,1", "finer along Z", None),
    ],
)
def test_which_axis_is_coarse(cli: Cli, stack_file, size, told, factor) -> None:
    assert lines(cli("info", stack_file, "--voxel-size", size).out)["sampling"] == told
    found = json.loads(cli("info", stack_file, "--voxel-size", size, "--json").out)
    assert found["factor"] == factor


def test_images_of_a_file_are_listed(cli: Cli, tmp_path, monkeypatch) -> None:
    series = (
        Series("overview", "YX", (16, 16), "uint8"),
        Series(None, "ZYX", (5, 40, 44), "uint8"),
    )

    def read_raw(path, asked=None):
        from isoslice.io.series import choose_series

        chosen = choose_series(path, series, asked)
        one = series[chosen]
        return Raw(texture(*one.shape), one.axes, series=series, chosen=chosen)

    monkeypatch.setattr("isoslice.io.reading.read_raw", read_raw)
    code, out, err = cli("info", tmp_path / "a.tif")
    assert (code, err) == (0, [])  # that the first one is shown needs no warning here
    assert lines(out)["series.0"] == "overview, YX 16 x 16, uint8, shown here"
    assert lines(out)["series.1"] == "ZYX 5 x 40 x 44, uint8"
    found = json.loads(cli("info", tmp_path / "a.tif", "--series", 1, "--json").out)
    assert [one["shown"] for one in found["series"]] == [False, True]
    assert found["shape"] == [5, 40, 44]


class Counting:
    """Voxels that count how many were read."""

    def __init__(self, data: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.data, self.chunks, self.read, self.most = data, chunks, 0, 0
        self.shape, self.dtype = data.shape, data.dtype

    def __getitem__(self, index):
        found = self.data[index]
        self.read += found.size
        self.most = max(self.most, found.size)
        return found


@pytest.mark.parametrize("shape", [(200, 30, 40), (1, 6000, 40), (4, 600, 400)])
def test_little_of_a_large_volume_is_read(monkeypatch, shape) -> None:
    monkeypatch.setattr(intensities, "MAX_BYTES", 20_000)
    monkeypatch.setattr(intensities, "BYTES_AT_ONCE", 4_000)
    data = texture(*shape)
    stored = Counting(data, (1, *shape[1:]))
    found = intensity_range(Volume(LazyArray(stored), "ZYX"))
    assert 10_000 <= stored.read <= 20_000
    assert stored.most <= 4_000
    assert data.min() <= found["min"] < found["max"] <= data.max()
    assert found["planes"].startswith(f"{min(shape[0], 20_000 // (shape[1] * 40) or 1)} of ") or (
        found["planes"].endswith("in part")
    )


def test_all_of_a_small_volume_is_read_in_any_order(monkeypatch) -> None:
    monkeypatch.setattr(intensities, "BYTES_AT_ONCE", 300)
    data = np.zeros((3, 2, 20, 30), np.float32)
    data[2, 1, 19, 29], data[0, 0, 0, 0], data[1, 1, 5, 5] = 7, -3, np.nan
    volume = Volume(data, "ZCYX")
    assert intensity_range(volume) == {"min": -3, "max": 7}
    assert intensity_range(replace(volume, data=np.full_like(data, np.nan))) == {
        "min": None,
        "max": None,
    }


def test_what_planes_are_stated_to_see(cli: Cli, tmp_path) -> None:
    data, spacing = texture(5, 40, 44), {"Z": 4.0, "Y": 0.5, "X": 0.5}
    optics = Optics(0.8, 1.333, (520.0,), "widefield")
    thick = Metadata(slice_thickness=5.0)
    for name, unit, metadata in (
        ("ct", "millimeter", thick),
        ("cells", "micrometer", Metadata(optics=optics)),
    ):
        volume = Volume(data, "ZYX", spacing, unit, metadata=metadata)
        write_volume(tmp_path / f"{name}.ome.zarr", volume)
    ran = cli("info", tmp_path / "ct.ome.zarr")
    assert lines(ran.out)["slice thickness"] == "5 millimeter"
    told = "planes are stated to be 5 mm thick: --slice-profile slab:5"
    assert lines(ran.out)["stated"] == told
    ran = cli("info", tmp_path / "cells.ome.zarr")
    expected = "widefield, numerical aperture 0.8, refractive index 1.333, emission 520 nm"
    assert lines(ran.out)["optics"] == expected
    assert re.search(r"more than in XY: --slice-profile gaussian:1\.6\d$", ran.out, re.MULTILINE)
    found = json.loads(cli("info", tmp_path / "cells.ome.zarr", "--json").out)
    assert found["optics"]["numerical_aperture"] == 0.8
    assert found["stated_profile"].startswith("gaussian:1.6")
    assert (found["slice_thickness"], found["z_positions"]) == (None, None)
