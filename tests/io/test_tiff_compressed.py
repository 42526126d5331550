"""TIFF that is compressed, in strips and tiles."""

import numpy as np
import pytest
import tifffile

from isoslice.errors import DataError
from isoslice.io import read_volume
from tiff_stacks import STACK


@pytest.mark.parametrize("compression", ["zlib", None])
@pytest.mark.parametrize("tile", [(16, 16), None])
def test_compressed_and_tiled(tmp_path, compression, tile):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, compression=compression, tile=tile, metadata={"axes": "TZYX"})
    assert np.array_equal(read_volume(path).data, STACK)


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
