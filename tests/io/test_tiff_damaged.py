"""TIFF that is cut off, changed, or none at all: an error that names the file, or voxels."""

import logging
from contextlib import suppress

import numpy as np
import pytest
import tifffile

from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from tiff_stacks import imagej


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
