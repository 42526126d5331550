"""Zarr folders that hold several images: which there are, which is read, and that it is told."""

import json
import shutil

import numpy as np
import pytest
import zarr

from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import read_raw

STACK = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)


def group(path, version=2, **attributes):
    found = zarr.create_group(store=path, zarr_format=version)
    found.attrs.update(attributes if version == 2 else {"ome": {"version": "0.5", **attributes}})
    return found


def add(inside, path, data, version=2, name=None, **attributes):
    """Add an image to a group."""
    made = inside.create_group(path)
    made.create_array("s0", data=data, chunks=data.shape)
    multiscale = {"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": "s0"}]}
    if name:
        multiscale["name"] = name
    said = {"multiscales": [multiscale], **attributes}
    made.attrs.update(said if version == 2 else {"ome": {"version": "0.5", **said}})


def names(path):
    with pytest.warns(IsosliceWarning, match="choose another, for example with --series 1"):
        return [series.name for series in read_raw(path).series]


@pytest.mark.parametrize("version", [2, 3])
def test_series_of_bioformats2raw(tmp_path, version):
    path = tmp_path / "a.zarr"
    root = group(path, version, **{"bioformats2raw.layout": 3})
    for number in range(11):
        add(root, str(number), STACK + number, version)
    with pytest.warns(IsosliceWarning, match=r"holds 11 images, took 0 '0' \(ZYX, 3 x 6 x 8, uint"):
        assert np.array_equal(read_volume(path).data, STACK)
    # By number, not by name: 10 comes last.
    assert names(path) == [str(number) for number in range(11)]
    assert np.array_equal(read_volume(path, series=10).data, STACK + 10)
    with pytest.raises(DataError, match="no such image"):
        read_volume(path, series="x")


@pytest.mark.parametrize("version", [2, 3])
def test_names_and_order_of_series(tmp_path, version):
    path = tmp_path / "a.zarr"
    root = group(path, version, **{"bioformats2raw.layout": 3})
    for number, place in enumerate(("late", "early")):
        add(root, place, STACK + number, version)
    beside = root.create_group("OME")
    order = {"series": ["early", "late"]}
    beside.attrs.update(order if version == 2 else {"ome": {"version": "0.5", **order}})
    (path / "OME" / "METADATA.ome.xml").write_text(
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" '
        'Name="ovary µ"><Pixels/></Image><Image ID="Image:1" Name="label"/></OME>',
        encoding="utf-8",
    )
    assert names(path) == ["ovary µ", "label"]
    for asked in ("ovary µ", "early", "0", 0):
        assert np.array_equal(read_volume(path, series=asked).data, STACK + 1)
    assert np.array_equal(read_volume(path, series="late").data, STACK)
    # A name goes before a path.
    xml = path / "OME" / "METADATA.ome.xml"
    xml.write_text(xml.read_text(encoding="utf-8").replace("ovary µ", "late"))
    assert np.array_equal(read_volume(path, series="late").data, STACK + 1)


def test_xml_with_entities_is_refused(tmp_path):
    root = group(tmp_path / "a.zarr", **{"bioformats2raw.layout": 3})
    add(root, "0", STACK)
    root.create_group("OME")
    xml = tmp_path / "a.zarr" / "OME" / "METADATA.ome.xml"
    xml.write_text('<!DOCTYPE a [<!ENTITY b "c">]><OME/>', encoding="utf-8")
    with pytest.raises(DataError, match="declares a document type"):
        read_volume(tmp_path / "a.zarr")


def make_plate(path, version):
    wells = [{"path": "A/1"}, {"path": "B/12"}]
    root = group(path, version, plate={"wells": wells, "field_count": 2})
    for number, well in enumerate(wells):
        made = root.create_group(well["path"])
        images = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
        made.attrs.update(images if version == 2 else {"ome": {"version": "0.5", **images}})
        for field in range(2):
            add(made, str(field), STACK + 10 * number + field, version)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_plates_and_wells(tmp_path, version):
    path = make_plate(tmp_path / "a.zarr", version)
    assert names(path) == ["A/1/0", "A/1/1", "B/12/0", "B/12/1"]
    assert np.array_equal(read_volume(path, series="B/12/1").data, STACK + 11)
    assert np.array_equal(read_volume(path, series=2).data, STACK + 10)
    assert names(path / "A" / "1") == ["0", "1"]
    assert read_raw(path / "B" / "12" / "0").series == ()


def test_plates_and_groups_without_images(tmp_path):
    group(tmp_path / "p.zarr", plate={"wells": []})
    with pytest.raises(DataError, match="got a plate without images"):
        read_volume(tmp_path / "p.zarr")
    zarr.create_group(store=tmp_path / "g.zarr", zarr_format=3)
    with pytest.raises(DataError, match="got a group without images"):
        read_volume(tmp_path / "g.zarr")


def test_several_multiscales_of_one_group(tmp_path):
    root = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=2)
    root.create_array("raw", data=STACK)
    root.create_array("sharp", data=STACK + 1)
    axes = [{"name": a} for a in "zyx"]
    root.attrs["multiscales"] = [
        {"name": name, "axes": axes, "datasets": [{"path": path}]}
        for name, path in (("as acquired", "raw"), ("deconvolved", "sharp"))
    ]
    assert names(tmp_path / "a.zarr") == ["as acquired", "deconvolved"]
    assert np.array_equal(read_volume(tmp_path / "a.zarr", series="deconvolved").data, STACK + 1)


@pytest.mark.parametrize("version", [2, 3])
def test_bare_arrays_in_groups(tmp_path, version):
    path = tmp_path / "a.zarr"
    root = zarr.create_group(store=path, zarr_format=version)
    root.create_group("volumes").create_array("raw", data=STACK, chunks=(3, 6, 8))
    volume = read_volume(path, axes="ZYX")  # the only one
    assert np.array_equal(volume.data, STACK)
    named = {"dimension_names": ["z", "y", "x"]} if version == 3 else {}
    root["volumes"].create_array("other", data=STACK.astype("f4"), chunks=(3, 6, 8), **named)
    assert names(path) == ["volumes/raw", "volumes/other"]
    found = read_volume(path, axes="ZYX", series="volumes/other")
    assert found.data.dtype == np.float32


def test_tables_beside_images_are_none(tmp_path):
    root = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=2)  # as SpatialData has them
    add(root.create_group("images"), "cells", STACK)
    root.create_group("tables").create_array("X", data=STACK[0])
    raw = read_raw(tmp_path / "a.zarr")
    assert (raw.axes, raw.data.shape) == ("ZYX", (3, 6, 8))
    shutil.rmtree(tmp_path / "a.zarr" / "images")
    root["tables"].create_array("index", data=STACK[0, 0])
    assert read_raw(tmp_path / "a.zarr").data.shape == (6, 8)


def test_names_of_dimensions_as_xarray_writes_them(tmp_path):
    root = zarr.create_group(store=tmp_path / "a.zarr", zarr_format=2)
    root.create_array("raw", data=STACK).attrs["_ARRAY_DIMENSIONS"] = ["z", "y", "x"]
    assert read_volume(tmp_path / "a.zarr").axes == "ZYX"
    root["raw"].attrs["_ARRAY_DIMENSIONS"] = ["y", "x"]
    with pytest.raises(DataError, match="names 2 of 3 dimensions"):
        read_volume(tmp_path / "a.zarr")


def test_an_image_that_is_damaged_does_not_hide_the_others(tmp_path):
    root = group(tmp_path / "a.zarr", **{"bioformats2raw.layout": 3})
    add(root, "0", STACK)
    add(root, "1", STACK + 1)
    (tmp_path / "a.zarr" / "0" / ".zattrs").write_text("{", encoding="utf-8")
    assert np.array_equal(read_volume(tmp_path / "a.zarr", series=1).data, STACK + 1)
    with pytest.raises(DataError, match="cannot be read"):
        read_volume(tmp_path / "a.zarr", series=0)


def test_labels_are_told(tmp_path):
    root = group(tmp_path / "a.zarr")
    made = root.create_group("labels")
    made.attrs["labels"] = ["cells"]
    add(made, "cells", STACK, **{"image-label": {"version": "0.4"}})
    for path in (tmp_path / "a.zarr" / "labels" / "cells", tmp_path / "a.zarr" / "labels"):
        with pytest.warns(IsosliceWarning, match="holds labels, not intensities"):
            assert np.array_equal(read_volume(path).data, STACK)
    with pytest.warns(IsosliceWarning):
        assert read_raw(tmp_path / "a.zarr" / "labels" / "cells").labels
    # Beside an image, labels are never what is taken unasked.
    add(root, "z image", STACK + 1)
    with pytest.warns(IsosliceWarning, match="took 1 'z image'"):
        assert np.array_equal(read_volume(tmp_path / "a.zarr").data, STACK + 1)


def test_labels_of_a_type_that_is_refused(tmp_path):
    root = group(tmp_path / "a.zarr")
    add(root, "0", STACK.astype(np.int64), **{"image-label": {}})
    with pytest.raises(DataError, match="hold labels or masks, which must not be interpolated"):
        read_volume(tmp_path / "a.zarr")


def test_links_and_paths_out_of_the_folder_are_no_series(tmp_path):
    write_volume(tmp_path / "secret.zarr", Volume(STACK, "ZYX"))
    root = group(tmp_path / "a.zarr", **{"bioformats2raw.layout": 3})
    add(root, "0", STACK)
    (tmp_path / "a.zarr" / "1").symlink_to(tmp_path / "secret.zarr")
    with pytest.raises(DataError, match="leads out of the folder"):
        read_volume(tmp_path / "a.zarr", series="1")
    (tmp_path / "a.zarr" / "1").unlink()
    root.create_group("OME").attrs["series"] = ["0", "../secret.zarr"]
    with pytest.raises(DataError, match="leads out of the folder"):
        read_volume(tmp_path / "a.zarr", series=0)


def test_a_well_within_a_plate_that_is_missing_is_left_out(tmp_path):
    path = make_plate(tmp_path / "a.zarr", 2)
    shutil.rmtree(path / "A")
    assert names(path) == ["B/12/0", "B/12/1"]


@pytest.mark.parametrize(
    "plate", [3, {"wells": 3}, {"wells": [3]}, {"wells": [{"path": 3}]}, {"wells": [{}]}]
)
def test_malformed_plates(tmp_path, plate):
    group(tmp_path / "a.zarr", plate=plate)
    with pytest.raises(DataError) as caught:
        read_volume(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)
    assert (
        json.loads((tmp_path / "a.zarr" / ".zattrs").read_text(encoding="utf-8"))["plate"] == plate
    )
