"""OME-Zarr: ours by the specification, and others' read right."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import yaozarrs
import zarr
from yaozarrs import v04

from isoslice.data.metadata import Display
from isoslice.data.volume import DTYPES, Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.formats.omezarr.pyramid import block_mean
from isoslice.io.formats.omezarr.pyramid import levels as pyramid_levels

SHARED = Path(__file__).parents[3] / "shared"
RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 2**16, (3, 6, 8), dtype=np.uint16)


def metadata(path):
    return json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX", "TCZYX", "ZCYX", "XYZT"])
def test_ours_is_valid(tmp_path, axes):
    volume = Volume(
        RNG.random([3, 4, 5, 6, 7][: len(axes)]),
        axes,
        {"Z": 4.0, "X": 0.5},
        "micrometer",
        tuple("abcd"[: 3 if axes[0] == "C" else 4]) if "C" in axes else None,
        {"seed": 1},
    )
    write_volume(tmp_path / "a.ome.zarr", volume)
    yaozarrs.validate_zarr_store(str(tmp_path / "a.ome.zarr"))
    attributes = metadata(tmp_path / "a.ome.zarr")
    assert attributes["ome"]["version"] == "0.5"
    assert attributes["isoslice"]["provenance"] == {"seed": 1}
    listed = attributes["ome"]["multiscales"][0]["axes"]
    assert [a["name"] for a in listed] == [a for a in "tczyx" if a.upper() in axes]
    units = {a["name"]: a.get("unit") for a in listed}
    assert units["x"] == "micrometer"
    assert units["y"] is None


def test_pyramid_in_the_file(tmp_path):
    data = RNG.integers(0, 2**16, (2, 40, 600, 520), dtype=np.uint16)
    spacing = {"Z": 2.0, "Y": 0.5, "X": 0.5}
    path = tmp_path / "a.zarr"
    write_volume(path, Volume(data, "CZYX", spacing, "micrometer", ("a", "b")))
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == 3
    datasets = metadata(path)["ome"]["multiscales"][0]["datasets"]
    assert [group[d["path"]].shape for d in datasets] == [
        (2, 40, 600, 520),
        (2, 40, 300, 260),
        (2, 40, 150, 130),
    ]
    scale, translation = (t for t in datasets[2]["coordinateTransformations"])
    assert scale["scale"] == [1.0, 2.0, 2.0, 2.0]
    # The first coarse voxel is the mean of voxels 0 to 3, whose centre is 1.5 voxels in.
    assert translation["translation"] == [0.0, 0.0, 0.75, 0.75]
    assert group["0"].chunks == (1, 40, 64, 64)
    assert group["0"].metadata.dimension_names == ("c", "z", "y", "x")
    assert np.array_equal(group["0"][...], data)
    exact = data.reshape(2, 40, 300, 2, 260, 2).mean((3, 5))
    assert np.abs(group["1"][...] - exact).max() <= 0.5
    labels = [c["label"] for c in metadata(path)["ome"]["omero"]["channels"]]
    assert labels == ["a", "b"]


def test_pyramid_halves_z_once_voxels_are_isotropic():
    found = pyramid_levels((64, 128, 128), "ZYX", {"Z": 2.0, "Y": 1.0, "X": 1.0}, 16)
    assert [level.factors for level in found] == [(1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 8, 8)]
    assert found[3].offset == (1.5, 3.5, 3.5)
    # Halving goes on along the long axis even where the finest axis cannot be halved any more.
    long = pyramid_levels((1, 1, 1000), "ZYX", {"Z": 0.1, "X": 50.0})
    assert [level.shape[2] for level in long] == [1000, 500, 250]


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_mean(dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        data = (RNG.random((5, 4, 6)) * 2e4 - 1e4).astype(dtype)
    else:
        data = RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max, (5, 4, 6), kind, endpoint=True)
    exact = data[:4].reshape(2, 2, 4, 3, 2).astype(np.float64).mean((1, 4))
    found = block_mean(data, (0, 2))
    assert found.dtype == data.dtype
    if kind.kind == "f":
        assert np.allclose(
            found, exact, rtol=float(np.finfo(kind).eps), atol=1e4 * np.finfo(kind).eps
        )
    else:
        assert np.array_equal(found, np.rint(exact))


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_mean_of_extremes_is_the_extreme(dtype):
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    for extreme in (limits.min, limits.max):
        assert (block_mean(np.full((2, 2), extreme, kind), (0, 1)) == extreme).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_block_mean_leaves_out_nan(dtype):
    data = (RNG.random((6, 8)) * 100).astype(dtype)
    data[0, :3] = data[1, :2] = data[4:, 6:] = np.nan
    found = block_mean(data, (0, 1))
    blocks = data.reshape(3, 2, 4, 2).transpose(0, 2, 1, 3).reshape(3, 4, 4).astype(np.float64)
    empty = np.isnan(blocks).all(2)
    assert empty.sum() == 2
    assert np.array_equal(np.isnan(found), empty)
    exact = np.nanmean(blocks[~empty], axis=1)
    assert np.allclose(found[~empty], exact, rtol=2 * float(np.finfo(dtype).eps))


def test_block_mean_of_infinities():
    data = np.array([[np.inf, 1.0], [np.inf, -np.inf]])
    assert np.array_equal(block_mean(data, (1,)), [[np.inf], [np.nan]], equal_nan=True)


def make_v04(path, scale, unit, outer=None, data=STACK, axes="zyx", compressor="auto"):
    transforms = [{"type": "scale", "scale": scale}]
    multiscale: dict[str, Any] = {
        "version": "0.4",
        "name": "x",
        "axes": [
            {"name": a, "type": "space" if a in "zyx" else {"c": "channel", "t": "time"}[a]}
            | ({"unit": unit} if unit and a in "zyx" else {})
            for a in axes
        ],
        "datasets": [
            {"path": "s0", "coordinateTransformations": transforms},
            {
                "path": "s1",
                "coordinateTransformations": [{"type": "scale", "scale": [2 * s for s in scale]}],
            },
        ],
    }
    if outer:
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": outer}]
    group = zarr.create_group(store=path, zarr_format=2)
    for name, level in (("s0", data), ("s1", data[..., ::2, ::2])):
        group.create_array(name, data=level, chunks=(2,) * data.ndim, compressors=compressor)
    group.attrs["multiscales"] = [multiscale]
    v04.Image.model_validate(dict(group.attrs))
    return path


def test_version_04(tmp_path):
    path = make_v04(tmp_path / "a.zarr", [4.0, 0.5, 0.25], "nanometer", [1.0, 2.0, 2.0])
    volume = read_volume(path)
    assert volume.axes == "ZYX"
    assert np.array_equal(volume.data, STACK)
    assert volume.voxel_size == (4.0, 1.0, 0.5)
    assert volume.unit == "nanometer"
    assert volume.provenance is None


def test_scale_one_without_unit_is_unknown(tmp_path):
    assert read_volume(make_v04(tmp_path / "a.zarr", [1.0] * 3, None)).spacing == {}
    assert read_volume(make_v04(tmp_path / "b.zarr", [1.0] * 3, "micrometer")).voxel_size
    volume = read_volume(make_v04(tmp_path / "c.zarr", [2.0, 1.0, 1.0], None))
    assert volume.voxel_size == (2.0, 1.0, 1.0)
    assert volume.unit is None


def test_axis_override_renames_the_spacing_too(tmp_path):
    path = make_v04(tmp_path / "a.zarr", [4.0, 0.5, 0.25], "micrometer")
    volume = read_volume(path, axes="XYZ")
    assert volume.spacing == {"X": 4.0, "Y": 0.5, "Z": 0.25}


def test_bioformats2raw_layout(tmp_path):
    root = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    data = STACK[None, None]
    make_v04(
        tmp_path / "a.zarr" / "0", [1.0, 1.0, 4.0, 0.5, 0.5], "micrometer", data=data, axes="tczyx"
    )
    volume = read_volume(tmp_path / "a.zarr")
    assert volume.axes == "TCZYX"
    assert volume.unit == "micrometer"
    assert np.array_equal(volume.data, data)


def test_bioformats2raw_layout_05(tmp_path):
    write_volume(tmp_path / "image.zarr", Volume(STACK, "ZYX", {"Z": 2.0}, "micrometer"))
    root = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=3)
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    shutil.copytree(tmp_path / "image.zarr", tmp_path / "a.zarr" / "0")
    assert read_volume(tmp_path / "a.zarr").spacing == {"Z": 2.0}


def test_plain_array(tmp_path):
    zarr.create_array(store=tmp_path / "a.zarr", data=STACK)
    with pytest.raises(DataError, match="--axes ZYX"):
        read_volume(tmp_path / "a.zarr")
    assert np.array_equal(read_volume(tmp_path / "a.zarr", axes="ZYX").data, STACK)
    zarr.create_array(store=tmp_path / "b.zarr", data=STACK, dimension_names=["z", "y", "x"])
    assert read_volume(tmp_path / "b.zarr").axes == "ZYX"


def test_folder_that_is_no_zarr(tmp_path):
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(DataError, match="folder without Zarr metadata"):
        read_volume(tmp_path / "x.zarr")
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match=r"without an image, expected.*zarr.json.*DICOM.*TIFF"):
        read_volume(tmp_path / "x")


@pytest.mark.parametrize("dtype", DTYPES)
def test_voxel_types_as_zarr_reads_them(tmp_path, dtype):
    data = (RNG.random((3, 6, 8)) * 200 - (100 if np.dtype(dtype).kind != "u" else 0)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        data[0, 0, :2] = np.nan, -np.inf
    path = tmp_path / "a.ome.zarr"
    write_volume(path, Volume(data, "ZYX", channel_names=("a",)))
    yaozarrs.validate_zarr_store(str(path))
    stored = zarr.open_group(path, mode="r")["0"]
    assert stored.dtype == dtype
    assert stored[...].tobytes() == data.tobytes()
    assert read_volume(path).data.tobytes() == data.tobytes()


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64"])
def test_masks_and_labels_are_refused(tmp_path, dtype):
    path = make_v04(tmp_path / "a.zarr", [4.0, 0.5, 0.25], None, data=STACK.astype(dtype))
    with pytest.raises(DataError, match="hold labels or masks, which must not be interpolated"):
        read_volume(path)


@pytest.mark.parametrize(
    "options",
    [
        {"order": "F"},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"compressors": None},
        {"compressors": numcodecs.Blosc("zstd", shuffle=numcodecs.Blosc.BITSHUFFLE)},
        {"compressors": numcodecs.Zstd()},
        {"compressors": numcodecs.GZip()},
        {"compressors": numcodecs.LZ4()},
    ],
)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", ">f4", "|i1"])
def test_how_others_store_zarr_2(tmp_path, options, dtype):
    data = (STACK % 100).astype(dtype)
    data[:2, :4] = 7
    group = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=2)
    array = group.create_array(
        "0", shape=data.shape, dtype=dtype, chunks=(2, 4, 8), fill_value=7, **options
    )
    array[...] = data  # the first chunk is all fill value: no file has it
    axes = [{"name": a} for a in "zyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Zarr 3, where they are no standard
        zarr.consolidate_metadata(tmp_path / "a.zarr")
    volume = read_volume(tmp_path / "a.zarr")
    assert volume.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(volume.data, data)


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("order", [None, (2, 1, 0)])
def test_how_others_store_zarr_3(tmp_path, endian, order):
    from zarr.codecs import BytesCodec, TransposeCodec

    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=STACK.shape,
        chunks=(2, 4, 8),
        dtype="uint16",
        filters=[TransposeCodec(order=order)] if order else None,
        serializer=BytesCodec(endian=endian),
        dimension_names=["z", "y", "x"],
        fill_value=3,
    )
    array[:2] = STACK[:2]
    expected = np.concatenate([STACK[:2], np.full_like(STACK[:1], 3)])
    assert np.array_equal(read_volume(tmp_path / "a.zarr").data, expected)


def test_axes_before_they_were_listed_and_as_names(tmp_path):
    for number, axes in enumerate([None, ["t", "c", "z", "y", "x"]]):
        path = tmp_path / f"{number}.zarr"
        group = zarr.create_group(store=path, zarr_format=2)
        group.create_array("0", data=STACK[None, None])
        listed = {} if axes is None else {"axes": axes}
        group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}], **listed}]
        group.attrs["omero"] = {"channels": [{"label": "GFP", "color": "00FF00"}]}
        volume = read_volume(path)
        assert (volume.axes, volume.channel_names) == ("TCZYX", ("GFP",))
        assert volume.metadata.displays == (Display("00FF00"),)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shape", "names"),
    [
        ("ome-zarr/blobs_image_v04.ome.zarr", (3, 12, 12), ("0", "1", "2")),
        ("ome-zarr/blobs_image_v05.ome.zarr", (3, 12, 12), ("0", "1", "2")),
        ("bioformats-zarr/data.zarr", (1, 3, 1, 167, 439), None),
    ],
)
def test_files_of_viv(name, shape, names):
    folder = SHARED / "formats/omezarr_viv/packages/loaders/tests/fixtures"
    if not folder.exists():
        pytest.skip("needs shared/formats")
    volume = read_volume(folder / name)
    assert volume.data.shape == shape
    assert volume.channel_names == names
    assert volume.data.std() > 0


@pytest.mark.parametrize(("version", "compressor"), [(2, "auto"), (2, None), (3, None)])
def test_damaged(tmp_path, version, compressor):
    path = tmp_path / "a.zarr"
    if version == 3:
        write_volume(path, Volume(STACK, "ZYX"))
    else:
        make_v04(path, [1.0] * 3, None, compressor=compressor)
    files = [p for p in path.rglob("*") if p.is_file() and "s1" not in p.parts]
    assert len(files) > 2
    for file in files:
        content = file.read_bytes()
        if len(content) < 3:
            continue
        for kept in (1, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:kept])
            with pytest.raises(DataError) as caught:
                read_volume(path)
            assert "\n" not in str(caught.value)
        file.write_bytes(content)
    assert np.array_equal(read_volume(path).data, STACK)


@pytest.mark.parametrize(
    "attributes",
    [
        {"multiscales": []},
        {"multiscales": [{"datasets": []}]},
        {"multiscales": [{"datasets": [{"path": "nowhere"}]}]},
        {"multiscales": [{"datasets": [{"path": "0"}], "axes": ["y", "x"]}]},
        {"multiscales": "x"},
        {"ome": "x"},
        {"ome": {"multiscales": 3}},
    ],
)
def test_malformed_metadata(tmp_path, attributes):
    group = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=3)
    group.create_array("0", data=STACK)
    group.attrs.update(attributes)
    with pytest.raises(DataError) as caught:
        read_volume(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)
