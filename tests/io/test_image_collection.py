"""Many images for training."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError
from isoslice.io import read_images, write_volume

PLANE = np.arange(80, dtype=np.uint8).reshape(8, 10)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index, name in enumerate(("c.png", "a.tif", "B.PNG")):
        path = folder / name
        if name.endswith("tif"):
            tifffile.imwrite(path, PLANE + index)
        else:
            iio.imwrite(path, PLANE + index)
    write_volume(folder / "d.ome.zarr", Volume(PLANE, "YX"))
    write_volume(folder / "e.npy", Volume(PLANE, "YX"))
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / ".hidden.tif").write_text("x", encoding="utf-8")
    (folder / "subfolder").mkdir()
    tifffile.imwrite(folder / "subfolder" / "z.tif", PLANE)
    return folder


def names(volumes):
    return [volume.source.rsplit("/", 1)[-1] for volume in volumes]


def test_folder(folder):
    volumes = read_images([folder])
    assert names(volumes) == ["B.PNG", "a.tif", "c.png", "d.ome.zarr", "e.npy"]
    assert all(volume.axes == "YX" for volume in volumes)


def test_pattern_file_and_duplicates(folder):
    assert names(read_images([f"{folder}/*.png", folder / "a.tif", folder / "a.tif"])) == [
        "c.png",
        "a.tif",
    ]
    assert names(read_images([str(folder / "?.*")])) == names(read_images([folder]))
    assert names(read_images(folder / "d.ome.zarr")) == ["d.ome.zarr"]
    assert names(read_images([f"{folder}/**/z.tif"])) == ["z.tif"]


def test_brackets_in_a_real_name(folder):
    path = folder / "a[1].tif"
    tifffile.imwrite(path, PLANE)
    assert names(read_images([path])) == ["a[1].tif"]


def test_overrides_reach_every_image(tmp_path):
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.stack([PLANE] * 5), photometric="minisblack")
    with pytest.raises(DataError, match="--axes"):
        read_images([tmp_path])
    volumes = read_images([tmp_path], axes="ZYX", voxel_size=VoxelSize(4, 1, 1))
    assert [volume.voxel_size for volume in volumes] == [(4, 1, 1)] * 2


def test_channels_must_agree(tmp_path):
    iio.imwrite(tmp_path / "a.png", PLANE)
    iio.imwrite(tmp_path / "b.png", np.stack([PLANE] * 3, -1))
    with pytest.raises(DataError, match=r"b\.png: got 3 channel\(s\), expected 1 as in .*a\.png"):
        read_images([tmp_path])


def test_nothing_found(tmp_path):
    for inputs, message in (
        ([], "got no input"),
        ([tmp_path], "folder without readable images"),
        ([f"{tmp_path}/*.tif"], "matches no file"),
        ([tmp_path / "no.tif"], "no such file"),
        ([tmp_path / "nofolder"], "no such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_images(inputs)
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="only files of unknown formats"):
        read_images([f"{tmp_path}/*"])
    with pytest.raises(DataError, match="unknown format"):
        read_images([tmp_path / "a.txt"])
