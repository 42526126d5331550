"""HDF5 of ilastik, PlantSeg, Imaris and BigDataViewer, written by h5py as those programs do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import texture
from isoslice.data.metadata import Display
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume
from isoslice.io.reading import open_volume

h5py = pytest.importorskip("h5py")

from hdf5_files import write_bdv, write_ilastik, write_imaris  # noqa: E402
from isoslice.io.formats.hdf5.integrity import attribute  # noqa: E402

FORMATS = Path(__file__).parents[3] / "shared" / "formats"
STACK = texture(5, 12, 16)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, (data, attributes) in datasets.items():
            file[name.replace("__", "/")] = data
            file[name.replace("__", "/")].attrs.update(attributes)
    return path


def refusal(path, *arguments, **options):
    with pytest.raises(DataError) as caught:
        open_volume(path, *arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("axes", ["zyx", "xyz", "tzyxc", "czyx"])
def test_axistags_of_ilastik_name_the_axes(tmp_path, axes):
    sizes = {"t": 1, "c": 2, "z": 5, "y": 12, "x": 16}
    data = texture(*(sizes[a] for a in axes)).astype(np.float32)
    volume = open_volume(write_ilastik(tmp_path / "a.h5", data, axes))
    assert volume.axes == axes.upper()
    assert volume.spacing == {}
    assert np.array_equal(volume.data[...], data)
    assert np.array_equal(volume.data[:, 3:], data[:, 3:])


def test_element_size_is_z_y_x_in_micrometres(tmp_path):
    size = {"element_size_um": [0.25, 0.15, 0.1]}
    volume = read_volume(write(tmp_path / "a.h5", raw=(STACK, size)))
    assert (volume.axes, volume.voxel_size) == ("ZYX", (0.25, 0.15, 0.1))
    assert volume.unit == "micrometer"
    two = np.stack([STACK, STACK])
    path = write(tmp_path / "b.h5", raw=(two, size))
    assert "--axes" in refusal(path)
    assert read_volume(path, "CZYX").voxel_size == (0.25, 0.15, 0.1)


def test_axes_that_nobody_names_are_asked_for(tmp_path):
    path = write(tmp_path / "a.hdf5", raw=(STACK, {}))
    assert "--axes ZYX" in refusal(path)
    assert np.array_equal(read_volume(path, "ZYX").data, STACK)


def test_labels_are_not_taken_unasked_and_told(tmp_path):
    labels = STACK.astype(np.uint64)
    path = write(tmp_path / "a.h5", label=(labels, {}), volumes__raw=(STACK, {}))
    with pytest.warns(IsosliceWarning, match=r"holds 2 images, took 1 'volumes/raw'"):
        volume = read_volume(path, "ZYX")
    assert np.array_equal(volume.data, STACK)
    assert np.array_equal(read_volume(path, "ZYX", series="volumes/raw").data, STACK)
    assert "such files mostly hold labels or masks" in refusal(path, "ZYX", series="label")
    assert "no such image" in refusal(path, "ZYX", series="other")


def test_a_label_of_an_image_type_is_not_the_first_choice(tmp_path):
    path = write(tmp_path / "a.h5", label=(STACK, {}), raw=(STACK + 1, {}))
    with pytest.warns(IsosliceWarning, match="took 1 'raw'"):
        assert np.array_equal(read_volume(path, "ZYX").data, STACK + 1)


def test_voxels_outlive_the_reader_and_are_read_in_parts(tmp_path):
    volume = open_volume(write_ilastik(tmp_path / "a.h5", STACK, "zyx"))
    import gc

    gc.collect()
    assert np.array_equal(volume.data[2:4, :, 3], STACK[2:4, :, 3])
    assert volume.data[:, :, 0:0].shape == (5, 12, 0)


def test_matlab_has_its_dimensions_in_reverse(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["stack"] = STACK
        file["stack"].attrs["MATLAB_class"] = np.bytes_("uint8")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(128))
    with pytest.warns(IsosliceWarning, match="--axes ZXY"):
        volume = read_volume(path, "ZXY")
    assert np.array_equal(volume.tczyx()[0, 0, 1], STACK[1].T)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(3000))
    assert "-v7.3" in refusal(path)


def test_imaris_is_cropped_and_says_all(tmp_path):
    data = texture(3, 2, 5, 12, 19).astype(np.uint16) * 100
    volume = read_volume(write_imaris(tmp_path / "a.ims", data, first=(10.0, 0.0, -4.0)))
    assert volume.axes == "TCZYX"
    assert np.array_equal(volume.data, data)
    assert volume.voxel_size == pytest.approx((2.0, 0.5, 0.25))
    assert volume.unit == "micrometer"
    assert volume.channel_names == ("dye 0", "dye 1")
    assert volume.metadata.displays == (Display("FF8000", (10.0, 200.0)),) * 2
    assert (volume.metadata.time_step, volume.metadata.time_unit) == (15.0, "second")
    # Imaris has the edges of the image, we the centre of the first voxel.
    assert volume.metadata.origin == pytest.approx({"Z": 11.0, "Y": 0.25, "X": -3.875})


def test_a_single_imaris_channel_has_no_axis(tmp_path):
    data = texture(1, 1, 5, 12, 19)
    volume = open_volume(write_imaris(tmp_path / "a.ims", data))
    assert volume.axes == "ZYX"
    assert np.array_equal(volume.data[1:4, 3], data[0, 0, 1:4, 3])
    assert volume.metadata.origin == {}


def test_imaris_with_sizes_beyond_its_data_is_refused(tmp_path):
    path = write_imaris(tmp_path / "a.ims", texture(1, 1, 5, 12, 19))
    with h5py.File(path, "r+") as file:
        group = file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"]
        group.attrs["ImageSizeX"] = np.frombuffer(b"25", "S1")
    assert "expected at least (5, 12, 25)" in refusal(path)


@pytest.mark.parametrize("suffix", [".h5", ".xml"])
@pytest.mark.parametrize("signed", [True, False])
def test_bigdataviewer_has_channels_and_unsigned_voxels(tmp_path, suffix, signed):
    data = texture(2, 3, 5, 12, 16).astype(np.uint16) * 300
    assert data.max() > 2**15
    path = write_bdv(tmp_path / "a.h5", data, signed=signed)
    volume = open_volume(path.with_suffix(suffix))
    assert volume.axes == "TCZYX"
    assert np.array_equal(volume.data[...], data)
    assert np.array_equal(volume.data[1, 1:, 2, 3:5], data[1, 1:, 2, 3:5])
    assert volume.data[0:0].shape == (0, 3, 5, 12, 16)
    assert volume.voxel_size == (2.0, 0.5, 0.25)
    assert volume.unit == "micrometer"
    assert volume.channel_names == ("dye 0", "dye 1", "dye 2")


def test_tiles_of_bigdataviewer_are_images_of_their_own(tmp_path):
    data = texture(1, 4, 5, 12, 16).astype(np.uint16)
    path = write_bdv(tmp_path / "a.h5", data, tiles=2)
    with pytest.warns(IsosliceWarning, match="holds 2 images, took 0 'set-up 0'"):
        assert np.array_equal(read_volume(path).data, data[0, :2])
    volume = read_volume(path, series=1)
    assert np.array_equal(volume.data, data[0, 2:])
    path.with_suffix(".xml").unlink()
    found = read_volume(path, series="set-up 3")
    assert np.array_equal(found.data, data[0, 3])
    assert found.spacing == {}


def test_a_volume_that_is_missing_is_named(tmp_path):
    path = write_bdv(tmp_path / "a.h5", texture(2, 1, 5, 12, 16).astype(np.uint16))
    with h5py.File(path, "r+") as file:
        del file["t00001/s00"]
    assert "t00001/s00/0/cells" in refusal(path)


def test_xml_names_only_what_lies_beside_it(tmp_path):
    path = write_bdv(tmp_path / "a.h5", texture(1, 1, 5, 12, 16).astype(np.uint16))
    xml = path.with_suffix(".xml")
    content = xml.read_text(encoding="utf-8")
    for name in ("../a.h5", "/tmp/a.h5", "b/a.h5"):
        xml.write_text(content.replace(">a.h5<", f">{name}<"), encoding="utf-8")
        assert "expected one beside it" in refusal(xml)
    xml.write_text(content.replace(">a.h5<", ">c.h5<"), encoding="utf-8")
    assert "c.h5, which is not beside it" in refusal(xml)
    (tmp_path / "c.h5").symlink_to(path)
    assert "which is a link" in refusal(xml)
    xml.write_text(content.replace("bdv.hdf5", "bdv.n5"), encoding="utf-8")
    assert "'bdv.n5'" in refusal(xml)
    xml.write_text("<!DOCTYPE a [<!ENTITY b 'c'>]>" + content[38:], encoding="utf-8")
    assert "document type" in refusal(xml)
    xml.write_text("<other/>", encoding="utf-8")
    assert "not BigDataViewer's" in refusal(xml)


def test_no_other_file_is_opened(tmp_path):
    secret = write(tmp_path / "secret.h5", raw=(STACK, {}))
    (tmp_path / "voxels").write_bytes(STACK.tobytes())
    layout = h5py.VirtualLayout(STACK.shape, STACK.dtype)
    layout[...] = h5py.VirtualSource(str(secret), "raw", STACK.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("raw", layout)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        part = [(str(tmp_path / "voxels"), 0, STACK.nbytes)]
        file.create_dataset("raw", STACK.shape, STACK.dtype, external=part)
    for name in ("virtual.h5", "external.h5"):
        assert "lie in other files" in refusal(tmp_path / name, "ZYX")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["raw"] = h5py.ExternalLink(str(secret), "raw")
        file["soft"] = h5py.SoftLink("/raw")
    assert "without an array of numbers" in refusal(tmp_path / "link.h5", "ZYX")
    with h5py.File(tmp_path / "link.ims", "w") as file:
        file["DataSet"] = h5py.ExternalLink(str(secret), "/")
    assert "without an array of numbers" in refusal(tmp_path / "link.ims", "ZYX")


def test_groups_in_circles_end(tmp_path):
    path = write(tmp_path / "a.h5", a__raw=(STACK, {}))
    with h5py.File(path, "r+") as file:
        file["a/again"] = file["a"]
        file["a/top"] = file["/"]
    assert np.array_equal(read_volume(path, "ZYX").data, STACK)


def test_what_is_declared_is_checked(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (2**20, 2**10, 2**10), "u1")  # nothing is stored
    assert "cut off or damaged" in refusal(tmp_path / "a.h5", "ZYX")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("raw", (2**20, 2**10, 2**10), "u1", chunks=(16, 16, 16))
    with pytest.raises(DataError, match="free memory"):
        read_volume(tmp_path / "b.h5", "ZYX")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("raw", (2**10, 2**11, 2**11), "u1", chunks=(2**8, 2**11, 2**11))
    assert "cut off or damaged" in refusal(tmp_path / "c.h5", "ZYX")


def test_compression_that_needs_a_plugin_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((5, 12, 16))
    plist.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (0,))  # LZ4
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple(STACK.shape)
        h5py.h5d.create(file.id, b"raw", h5py.h5t.NATIVE_UINT8, space, plist)
    assert "python -m pip install hdf5plugin" in refusal(tmp_path / "a.h5", "ZYX")


def test_files_that_hold_no_image_are_refused(tmp_path):
    path = write(tmp_path / "a.h5", names=(np.array([b"a", b"b"]), {}), line=(np.arange(9), {}))
    assert "without an array of numbers" in refusal(path)
    path.write_bytes(b"nothing of that kind" * 200)
    assert "no HDF5 signature" in refusal(path)


@pytest.mark.shared
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no shared folder beside the checkout")
def test_a_real_file_of_plantseg_is_read(tmp_path):
    path = shutil.copy(FORMATS / "h5" / "sample_ovule.h5", tmp_path)
    with pytest.warns(IsosliceWarning, match="took 1 'raw'"):
        volume = read_volume(path)
    assert volume.voxel_size == pytest.approx((0.235, 0.15, 0.15))
    with h5py.File(path) as file:
        assert np.array_equal(volume.data, file["raw"][...])


def test_a_heap_that_would_make_the_library_loop_is_refused(tmp_path):
    path = write_ilastik(tmp_path / "a.h5", STACK, "zyx")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    length = int.from_bytes(content[heap + 16 + 8 : heap + 16 + 16], "little")
    free = heap + 16 + 16 + -(-length // 8) * 8
    assert content[free : free + 8] == bytes(8)  # number 0: what is free
    content[free + 8 : free + 16] = bytes(8)
    path.write_bytes(content)
    assert "heap of texts" in refusal(path)


def test_a_chunk_too_short_for_its_checksum_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        raw = file.create_dataset("raw", STACK.shape, "u1", chunks=STACK.shape, fletcher32=True)
        raw.id.write_direct_chunk((0, 0, 0), b"ab")
    assert "too short for its checksum" in refusal(tmp_path / "a.h5", "ZYX")


def test_xml_and_mat_files_are_no_images_of_a_folder(tmp_path):
    from isoslice.io.image_collection import find_images

    write_bdv(tmp_path / "a.h5", texture(1, 1, 5, 12, 16).astype(np.uint16))
    (tmp_path / "parameters.mat").write_bytes(b"x")
    assert find_images(tmp_path) == [tmp_path / "a.h5"]


def test_attributes_of_other_types_than_numbers_and_text_are_not_read(tmp_path):
    """The library crashes over damaged sequences of variable length."""
    path = write(tmp_path / "a.h5", data=(STACK, {"element_size_um": [2.0, 1.0, 1.0], "n": 3}))
    with h5py.File(path, "a") as file:
        attributes = file["data"].attrs
        sequence = np.empty((), object)
        sequence[()] = np.array([1, 2, 3], np.uint8)
        attributes.create("axistags", sequence, dtype=h5py.vlen_dtype(np.uint8))
        attributes["self"] = file["data"].ref
        for name in ("axistags", "self"):
            assert attribute(file["data"], name) is None
        assert attribute(file["data"], "n") == 3
    assert np.array_equal(read_volume(path).data, STACK)
