import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isoslice.data.display import srh_colours
from isoslice.data.srh import SRH_CHANNELS, srh_channels
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume
from isoslice.io.srh import read_srh, read_srh_images

counts = arrays(np.uint16, (2, 3, 4), elements=st.integers(0, 65535))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)


def by_hand(lipid: np.ndarray, protein: np.ndarray) -> np.ndarray:
    """Exact channels, in integers as far as that goes."""
    difference = np.clip(protein.astype(int) - lipid.astype(int) + 5000, 0, 65536)
    return np.stack([difference, lipid, protein]) / 65536


@given(counts)
def test_channels_are_difference_ch2_ch3(data: np.ndarray) -> None:
    found = srh_channels(Volume(data, "CYX"))
    assert found.data.dtype == np.float32
    assert found.channel_names == SRH_CHANNELS == ("CH3-CH2", "CH2", "CH3")
    # All are multiples of 2^-16 below 2: float32 holds them exactly.
    np.testing.assert_array_equal(found.data, by_hand(*data))


@given(st.permutations("TCZYX"), st.integers(0, 100))
def test_any_order_of_axes(axes: list[str], seed: int) -> None:
    data = noise(2, 2, 3, 4, 5, seed=seed)  # T, C, Z, Y, X
    volume = Volume(data.transpose(["TCZYX".index(a) for a in axes]), "".join(axes))
    found = srh_channels(volume)
    assert found.axes == volume.axes
    expected = np.moveaxis(by_hand(data[:, 0], data[:, 1]), 0, 1)
    np.testing.assert_array_equal(found.tczyx(), expected)


def test_everything_else_stays() -> None:
    volume = Volume(
        noise(4, 2, 5, 6),
        "ZCYX",
        {"Z": 3.0, "Y": 0.5, "X": 0.5},
        "micrometer",
        ("CH2", "CH3"),
        {"seed": 1},
        "here.tif",
    )
    found = srh_channels(volume)
    assert (found.axes, found.spacing, found.unit, found.provenance, found.source) == (
        volume.axes,
        volume.spacing,
        volume.unit,
        volume.provenance,
        volume.source,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_count_as_divided(dtype: str) -> None:
    data = noise(2, 5, 6)
    divided = (data / 65536).astype(dtype)
    np.testing.assert_array_equal(
        srh_channels(Volume(divided, "CYX")).data, srh_channels(Volume(data, "CYX")).data
    )


def test_three_channels_pass_unchanged() -> None:
    once = srh_channels(Volume(noise(2, 5, 6), "CYX"))
    assert srh_channels(once) is once
    assert srh_colours(once.data).shape == (5, 6, 3)


@pytest.mark.parametrize(
    ("data", "axes", "message"),
    [
        (noise(5, 6), "YX", r"got 1 channel\(s\) \(axes YX\)"),
        (noise(4, 5, 6), "CYX", r"got 4 channel\(s\).*--axes CYX"),
        (noise(3, 5, 6), "CYX", "three channels of type uint16"),
        (noise(2, 5, 6).astype(np.uint8), "CYX", "type uint8, expected uint16"),
        (noise(2, 5, 6).astype(np.float32), "CYX", r"expected numbers in \[0, 1\]; divide"),
        (np.full((3, 5, 6), -0.1), "CYX", r"from -0.1 to -0.1.*\[0, 1\]"),
        (np.full((2, 5, 6), np.nan), "CYX", "from nan to nan"),
    ],
)
def test_other_images_are_refused(data: np.ndarray, axes: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        srh_channels(Volume(data, axes))


def test_swapped_channels_are_refused() -> None:
    with pytest.raises(DataError, match="expected CH2 before CH3"):
        srh_channels(Volume(noise(2, 5, 6), "CYX", channel_names=("CH3", "CH2")))


@pytest.mark.parametrize("metadata", [None, {}])
def test_plain_tiff_is_channels_first(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    data = noise(2, 20, 24)
    tifffile.imwrite(tmp_path / "patch.tif", data, metadata=metadata)
    found = read_srh(tmp_path / "patch.tif")
    assert (found.axes, found.spacing) == ("CYX", {})
    np.testing.assert_array_equal(found.data, by_hand(*data))


@pytest.mark.parametrize("name", ["stack.tif", "stack.npy"])
def test_plain_stack_is_planes_of_channels(tmp_path: Path, name: str) -> None:
    data = noise(5, 2, 20, 24)
    write = np.save if name.endswith("npy") else tifffile.imwrite
    write(tmp_path / name, data)
    found = read_srh(tmp_path / name, voxel_size=(4.0, 0.5, 0.5))
    assert found.axes == "ZCYX"
    assert found.voxel_size == (4.0, 0.5, 0.5)
    np.testing.assert_array_equal(found.data, by_hand(data[:, 0], data[:, 1]).swapaxes(0, 1))


def test_three_float_channels_are_read_as_they_are(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((3, 20, 24), np.float32)
    np.save(tmp_path / "done.npy", data)
    np.testing.assert_array_equal(read_srh(tmp_path / "done.npy").data, data)


@pytest.mark.parametrize("shape", [(2, 5, 20, 24), (2, 2, 20, 24)])
def test_ambiguous_axes_are_asked_for(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "stack.tif"
    data = noise(*shape)
    tifffile.imwrite(path, data)
    with pytest.raises(DataError, match=r"either of two could be C.*--axes CZYX or --axes ZCYX"):
        read_srh(path)
    np.testing.assert_array_equal(read_srh(path, axes="CZYX").data, by_hand(*data))


def test_metadata_goes_first(tmp_path: Path) -> None:
    data = noise(2, 5, 20, 24)
    tifffile.imwrite(tmp_path / "ome.ome.tif", data, metadata={"axes": "CZYX"})
    assert read_srh(tmp_path / "ome.ome.tif").axes == "CZYX"
    tifffile.imwrite(tmp_path / "z.ome.tif", data[:, 0], metadata={"axes": "ZYX"})
    with pytest.raises(DataError, match=r"axes ZYX.*--axes CYX"):
        read_srh(tmp_path / "z.ome.tif")
    assert read_srh(tmp_path / "z.ome.tif", axes="CYX").axes == "CYX"


@pytest.mark.parametrize("shape", [(4, 20, 24), (5, 3, 20, 24)])
def test_axes_that_fit_no_srh_are_asked_for(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(tmp_path / "other.tif", noise(*shape), photometric="minisblack")
    with pytest.raises(DataError, match="name them with --axes"):
        read_srh(tmp_path / "other.tif")


def test_folders_and_patterns(tmp_path: Path) -> None:
    for i in range(3):
        tifffile.imwrite(tmp_path / f"{i}.tif", noise(2, 10, 12, seed=i))
    by_folder = read_srh_images([tmp_path])
    by_pattern = read_srh_images([tmp_path / "*.tif", tmp_path / "0.tif"])
    assert [Path(v.source).name for v in by_folder] == ["0.tif", "1.tif", "2.tif"]
    for one, other in zip(by_folder, by_pattern, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    with pytest.raises(DataError, match="no input"):
        read_srh_images([])


class Watched:
    """A stored array in chunks that remembers what was read of it."""

    def __init__(self, data: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.data, self.shape, self.dtype, self.chunks = data, data.shape, data.dtype, chunks
        self.read: list[tuple[int, ...]] = []

    def __getitem__(self, index: tuple[int | slice, ...]) -> np.ndarray:
        found: np.ndarray = self.data[index]
        self.read.append(found.shape)
        return found


def opened(volume: Volume, chunks: tuple[int, ...]) -> tuple[Volume, Watched]:
    stored = Watched(volume.data, chunks)
    return replace(volume, data=LazyArray(stored)), stored  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@given(st.permutations("TCZYX"), st.integers(0, 5), st.data())
def test_on_disk_it_is_computed_where_it_is_indexed(
    dtype: str, order: list[str], dropped: int, data: st.DataObject
) -> None:
    axes = "".join(axis for axis in order if axis in "CYX" or dropped < 3)
    sizes = {"T": 2, "C": 2, "Z": 3, "Y": 4, "X": 5}
    values: np.ndarray = noise(*(sizes[axis] for axis in axes))
    if dtype != "uint16":
        values = (values / 65536).astype(dtype)
    volume = Volume(values, axes)
    expected = srh_channels(volume)
    lazy, stored = opened(volume, (1,) * len(axes))
    found = srh_channels(lazy)
    assert isinstance(found.data, LazyArray)
    assert (found.data.shape, found.data.dtype) == (expected.data.shape, np.float32)
    assert found.channel_names == SRH_CHANNELS
    np.testing.assert_array_equal(np.asarray(found.data), expected.data)
    index = []
    for length in expected.tczyx().shape:
        start = data.draw(st.integers(0, length - 1))
        stop = data.draw(st.integers(start + 1, length))
        index.append(data.draw(st.sampled_from([start, slice(start, stop)])))
    stored.read.clear()
    part = found.tczyx()[tuple(index)]
    np.testing.assert_array_equal(part, expected.tczyx()[tuple(index)])
    (shape,) = stored.read
    channels = index[1] if isinstance(index[1], slice) else slice(index[1], index[1] + 1)
    measured = 2 if channels.start == 0 or channels.stop - channels.start == 2 else 1
    assert math.prod(shape) * (channels.stop - channels.start) == part.size * measured


def test_the_range_of_floats_on_disk_is_checked_part_by_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isoslice.data.blocks.MAX_BLOCK_BYTES", 4 * 60)
    values = noise(5, 2, 6, 10) / np.float32(65536)
    lazy, stored = opened(Volume(values, "ZCYX"), (1, 1, 6, 10))
    srh_channels(lazy)
    assert max(map(math.prod, stored.read)) == 60
    for wrong, message in ((1.5, r"to 1.5 as floats"), (-0.5, "from -0.5"), (np.nan, "nan to nan")):
        values[3, 1, 2, 2] = wrong
        with pytest.raises(DataError, match=message):
            srh_channels(opened(Volume(values, "ZCYX"), (1, 1, 6, 10))[0])


def test_three_channels_on_disk_pass_unchanged() -> None:
    done = srh_channels(Volume(noise(3, 2, 5, 6), "ZCYX"))
    lazy, _ = opened(done, (1, 1, 5, 6))
    assert srh_channels(lazy) is lazy
    with pytest.raises(DataError, match="three channels of type uint16"):
        srh_channels(opened(Volume(noise(3, 5, 6), "CYX"), (1, 5, 6))[0])


def test_a_file_on_disk_can_be_written_as_three_channels(tmp_path: Path) -> None:
    volume = Volume(noise(4, 2, 20, 24), "ZCYX", {"Z": 3.0, "Y": 0.5, "X": 0.5}, "micrometer")
    write_volume(tmp_path / "measured.ome.zarr", volume)
    found = srh_channels(open_volume(tmp_path / "measured.ome.zarr"))
    write_volume(tmp_path / "three.tif", found)
    np.testing.assert_array_equal(
        read_volume(tmp_path / "three.tif").tczyx(), srh_channels(volume).tczyx()
    )
