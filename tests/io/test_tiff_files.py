"""OME-TIFF in several files, renamed, copied, with files missing: the right voxels, or none."""

import shutil

import numpy as np
import pytest
import tifffile

from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume, read_raw
from tiff_inputs import (
    STACK,
    ome_image,
    ome_xml,
    position,
    tiff_data,
    uuid,
    write_companion,
    write_micromanager,
    write_pages,
    write_positions,
)


@pytest.mark.parametrize("verbatim", [False, True])
def test_each_position_by_its_own_file(tmp_path, verbatim):
    """Every file holds the XML of all, in some programs with the same UUID."""
    for number, path in enumerate(write_positions(tmp_path, 3, verbatim)):
        volume = read_volume(path)
        assert np.array_equal(volume.data, position(number))
        assert volume.voxel_size == (4, 1, 1)


def test_a_position_alone(tmp_path):
    write_positions(tmp_path, 3)
    (tmp_path / "Pos0.ome.tif").unlink()
    assert np.array_equal(read_volume(tmp_path / "Pos1.ome.tif").data, position(1))


def test_renamed_positions_are_known_by_their_uuid(tmp_path):
    for number, path in enumerate(write_positions(tmp_path, 2)):
        path.rename(tmp_path / f"new{number}.tif")
    for number in range(2):
        assert np.array_equal(read_volume(tmp_path / f"new{number}.tif").data, position(number))


def test_positions_whose_names_were_exchanged(tmp_path):
    first, second = write_positions(tmp_path, 2)
    first.rename(tmp_path / "a")
    second.rename(first)
    (tmp_path / "a").rename(second)
    assert np.array_equal(read_volume(first).data, position(1))
    assert np.array_equal(read_volume(second).data, position(0))


def test_a_name_and_a_uuid_of_two_files_are_refused(tmp_path):
    first, second = write_positions(tmp_path, 2)
    first.rename(second)
    with pytest.raises(DataError, match=r"the UUID of another \(Pos0\.ome\.tif\)"):
        read_volume(second)


def test_a_copy_that_may_be_of_any_position_is_refused(tmp_path):
    """All files hold the same XML and UUID: which of them was copied?"""
    _, second = write_positions(tmp_path, 2, verbatim=True)
    shutil.copy(second, tmp_path / "copy.tif")
    with pytest.raises(DataError, match=r"the UUID of Pos0\.ome\.tif, which lies beside it"):
        read_volume(tmp_path / "copy.tif")


def test_images_that_all_lie_elsewhere_are_refused_with_their_files(tmp_path):
    for name in ("Pos0.ome.tif", "Pos1.ome.tif"):
        images = "".join(ome_image(i, tiff_data(f"Pos{i}.ome.tif", uuid(i))) for i in range(2))
        write_pages(tmp_path / name, STACK, ome_xml(images))
    (tmp_path / "Pos1.ome.tif").rename(tmp_path / "other.tif")
    with pytest.raises(DataError) as caught:
        read_volume(tmp_path / "other.tif")
    assert "image 0 'Pos0' in Pos0.ome.tif; image 1 'Pos1' in Pos1.ome.tif" in str(caught.value)


@pytest.mark.parametrize("own", [None, uuid(7), uuid(8)])
def test_renamed_micromanager_file(tmp_path, own):
    """Only the name changed: the XML still has the old one, and perhaps no UUID of the file."""
    path = write_micromanager(tmp_path / "cells_MMStack_Pos0.ome.tif", own)
    assert np.array_equal(read_volume(path).data, STACK)
    volume = read_volume(path.rename(tmp_path / "mine.tif"))
    assert np.array_equal(volume.data, STACK)
    assert (volume.axes, volume.voxel_size) == ("ZYX", (4, 1, 1))


def test_a_copy_beside_the_original_has_its_own_voxels(tmp_path):
    """The file that the XML names is there, but it isn't the one that was opened."""
    path = write_micromanager(tmp_path / "a.ome.tif")
    changed = tmp_path / "b.ome.tif"
    write_micromanager(changed, named="a.ome.tif")
    with tifffile.TiffFile(changed) as tif:
        offset = tif.pages[0].dataoffsets[0]
    content = bytearray(changed.read_bytes())
    content[offset] ^= 255
    changed.write_bytes(content)
    assert read_volume(changed).data[0, 0, 0] == STACK[0, 0, 0] ^ 255
    assert read_volume(path).data[0, 0, 0] == STACK[0, 0, 0]


def test_our_own_files_may_be_renamed(tmp_path):
    write_volume(tmp_path / "a.ome.tif", Volume(STACK, "ZYX", {"Z": 4.0}, "micrometer"))
    path = (tmp_path / "a.ome.tif").rename(tmp_path / "b.tif")
    assert np.array_equal(read_volume(path).data, STACK)


def test_companion_and_each_of_its_files(tmp_path):
    files, companion = write_companion(tmp_path)
    for path in (*files, companion):
        volume = read_volume(path)
        assert np.array_equal(volume.data, STACK[:3])
        assert (volume.axes, volume.voxel_size) == ("ZYX", (4, 1, 1))


def test_companion_with_missing_files_is_refused_by_name(tmp_path):
    files, companion = write_companion(tmp_path)
    files[1].unlink()
    for path in (files[0], companion):
        with pytest.raises(DataError, match=r"in 3 file\(s\), of which multi-Z1\.ome\.tiff cannot"):
            read_volume(path)
    companion.unlink()
    with pytest.raises(DataError, match=r"OME-XML is in multi\.companion\.ome, which cannot"):
        read_volume(files[0])


def test_another_file_of_the_right_name_is_told(tmp_path):
    files, companion = write_companion(tmp_path)
    shutil.copy(files[0], files[1])
    with pytest.warns(IsosliceWarning, match=r"gives multi-Z1\.ome\.tiff another UUID"):
        volume = read_volume(companion)
    assert np.array_equal(volume.data, STACK[[0, 0, 2]])


def test_links_are_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    files, companion = write_companion(tmp_path / "data")
    (tmp_path / "data" / "real").mkdir()
    moved = files[2].rename(tmp_path / "data" / "real" / files[2].name)
    files[2].symlink_to(moved)
    with pytest.raises(DataError, match="a link"):
        read_volume(companion)


@pytest.mark.parametrize("name", ["../x.ome.tif", "/etc/passwd", "a\\b.tif", ""])
def test_files_elsewhere_are_not_followed(tmp_path, name):
    xml = ome_xml(ome_image(0, tiff_data(name or " /", uuid(1))))
    with pytest.raises(DataError, match="expected one beside it"):
        read_volume(write_pages(tmp_path / "a.ome.tif", STACK, xml))


def test_master_file(tmp_path):
    """Micro-Manager's later files refer to the first one, which holds the XML of all."""
    names = ["m.ome.tif", "m_1.ome.tif"]
    planes = tiff_data(names[0], uuid(0), 4) + tiff_data(names[1], uuid(1), 5, 4)
    write_pages(tmp_path / names[0], STACK[:4], ome_xml(ome_image(0, planes), uuid(0)))
    only = f'<BinaryOnly MetadataFile="{names[0]}" UUID="{uuid(0)}"/>'
    write_pages(tmp_path / names[1], STACK[4:], ome_xml(only, uuid(1)))
    for name in names:
        assert np.array_equal(read_volume(tmp_path / name).data, STACK)


def test_missing_planes_are_refused(tmp_path):
    xml = ome_xml(ome_image(0, tiff_data(None, "", 8)))
    with pytest.raises(DataError, match="1 of 9 planes are missing"):
        read_volume(write_pages(tmp_path / "a.ome.tif", STACK, xml))
    xml = ome_xml(ome_image(0, tiff_data(None, "")))
    with pytest.raises(DataError, match="plane 9 of 9 is missing"):
        read_volume(write_pages(tmp_path / "b.ome.tif", STACK[:8], xml))


def test_series_of_an_ome_tiff(tmp_path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(STACK[:2, :16, :16], metadata={"axes": "ZYX", "Name": "overview"})
        tif.write(STACK, metadata={"axes": "ZYX", "Name": "stack"})
    with pytest.warns(IsosliceWarning, match=r"holds 2 images, took 0 'overview'.*1 'stack'"):
        assert read_volume(path).data.shape == (2, 16, 16)
    for asked in ("stack", 1):
        assert np.array_equal(read_volume(path, series=asked).data, STACK)
    raw = read_raw(path, "1")
    assert raw.chosen == 1
    assert [(s.name, s.axes, s.shape, s.dtype) for s in raw.series] == [
        ("overview", "ZYX", (2, 16, 16), "uint8"),
        ("stack", "ZYX", STACK.shape, "uint8"),
    ]


def test_levels_of_a_pyramid_are_no_series(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(STACK, subifds=1, metadata={"axes": "ZYX"}, photometric="minisblack")
        tif.write(STACK[:, ::2, ::2], subfiletype=1, metadata=None, photometric="minisblack")
    assert np.array_equal(read_volume(path).data, STACK)


def test_series_of_a_plain_tiff(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(STACK[0], metadata=None)
        tif.write(STACK[0, :8, :8].astype(np.uint16), metadata=None)
    with pytest.warns(IsosliceWarning, match="holds 2 images"):
        assert read_volume(path).data.shape == STACK.shape[1:]
    assert read_volume(path, series=1).data.shape == (8, 8)


@pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYTCZ"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_orders_of_planes(tmp_path, order, compression):
    """Planes lie in the order of the XML, whatever it is; ours is found by indices."""
    data = np.arange(2 * 3 * 4 * 6 * 8, dtype=np.uint16).reshape(2, 3, 4, 6, 8)  # TCZYX
    axes = order[:1:-1]
    stored = data.transpose(["TCZYX".index(a) for a in axes + "YX"])
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(stored, metadata={"axes": axes + "YX"}, compression=compression)
    volume = read_volume(path)
    assert volume.axes == axes + "YX"
    assert np.array_equal(volume.tczyx(), data)


def test_planes_that_lie_apart_are_read_where_they_are_indexed(tmp_path):
    path = write_positions(tmp_path)[1]
    opened = open_volume(path)
    assert isinstance(opened.data, LazyArray)
    assert np.array_equal(opened.data[2:5, 3, 4:9], position(1)[2:5, 3, 4:9])
    assert np.array_equal(opened.data[7], position(1)[7])
    assert opened.data[1, 2, 3] == position(1)[1, 2, 3]
    assert opened.data[4:4].shape == (0, *STACK.shape[1:])


def test_modulo_is_an_axis_of_its_own(tmp_path):
    data = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata={"axes": "ZAYX"}
    )
    with pytest.raises(DataError, match=r"2 x 3 x 4 x 5.* --axes ZCYX"):
        read_volume(tmp_path / "a.ome.tif")
    assert np.array_equal(read_volume(tmp_path / "a.ome.tif", axes="ZTYX").data, data)


def test_colours_in_ome(tmp_path):
    data = np.arange(9 * 6 * 8 * 3, dtype=np.uint8).reshape(9, 6, 8, 3)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric="rgb", metadata={"axes": "ZYXS"}
    )
    volume = read_volume(tmp_path / "a.ome.tif")
    assert np.array_equal(volume.tczyx()[0], np.moveaxis(data, -1, 0))
