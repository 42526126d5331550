"""NRRD and MetaImage against SimpleITK and pynrrd; MGH, Analyze and pairs against nibabel."""

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from isoslice.data.metadata import Metadata, Orientation, as_matrix
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume
from isoslice.io.lazy_array import LazyArray
from isoslice.io.reading import open_volume

SHARED = Path(__file__).parents[3] / "shared"
DATA = np.random.default_rng(0).integers(-500, 3000, (4, 5, 6)).astype(np.int16)
DIRECTION = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
SPACING, ORIGIN = (0.7, 0.5, 3.0), (-90.5, 12.0, 300.25)
#: The same in RAS, columns times spacing, rows X and Y turned round.
AFFINE = np.diag([-1, -1, 1]) @ np.reshape(DIRECTION, (3, 3)) @ np.diag(SPACING)


@pytest.fixture
def sitk():
    return pytest.importorskip("SimpleITK")


def by_itk(sitk, path, data=DATA, compressed=False, vector=False):
    image = sitk.GetImageFromArray(data, isVector=vector)
    if image.GetDimension() == 3:
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        image.SetDirection(DIRECTION)
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def ours(axes="ZYX", data=DATA, unit="millimeter", **metadata):
    matrix = np.eye(4)
    matrix[:3, :3] = AFFINE
    matrix[:3, 3] = 90.5, -12.0, 300.25
    orientation = Orientation(as_matrix(matrix.tolist()), None, 1, 0)
    spacing = dict(zip("XYZ", SPACING, strict=True))
    return Volume(data, axes, spacing, unit, metadata=Metadata({}, orientation, **metadata))


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_written_by_itk(tmp_path, sitk, suffix, compressed, dtype):
    path = by_itk(sitk, tmp_path / f"a{suffix}", DATA.astype(dtype), compressed)
    volume = read_volume(path)
    assert volume.axes == "ZYX"
    assert volume.data.dtype == dtype
    assert np.array_equal(volume.data, DATA.astype(dtype))
    assert volume.voxel_size == pytest.approx(SPACING[::-1])
    assert volume.unit == "millimeter"
    affine = np.array(volume.metadata.orientation.affine)
    assert np.allclose(affine[:3, :3], AFFINE)
    assert np.allclose(affine[:3, 3], (90.5, -12.0, 300.25))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float64"])
def test_read_by_itk(tmp_path, sitk, suffix, dtype):
    write_volume(tmp_path / f"a{suffix}", ours(data=DATA.astype(dtype)))
    image = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(image), DATA.astype(dtype))
    assert image.GetSpacing() == pytest.approx(SPACING)
    assert image.GetOrigin() == pytest.approx(ORIGIN, abs=1e-5)
    assert image.GetDirection() == pytest.approx(DIRECTION, abs=1e-6)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_channels_and_time_by_itk(tmp_path, sitk, suffix):
    path = by_itk(sitk, tmp_path / f"a{suffix}", np.stack([DATA, -DATA], -1), vector=True)
    volume = read_volume(path)
    assert volume.axes == "CZYX"
    assert np.array_equal(volume.data, [DATA, -DATA])
    write_volume(tmp_path / f"b{suffix}", volume)
    image = sitk.ReadImage(str(tmp_path / f"b{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(image), np.stack([DATA, -DATA], -1))
    moved = ours("TZYX", np.stack([DATA, -DATA]), time_step=2.5, time_unit="second")
    write_volume(tmp_path / f"c{suffix}", moved)
    image = sitk.ReadImage(str(tmp_path / f"c{suffix}"))
    assert image.GetSize() == (6, 5, 4, 2)
    assert image.GetSpacing() == pytest.approx((*SPACING, 2.5))
    assert np.array_equal(sitk.GetArrayFromImage(image), np.stack([DATA, -DATA]))
    back = read_volume(tmp_path / f"c{suffix}")
    assert back.axes == "TZYX"
    assert (back.metadata.time_step, back.metadata.time_unit) == (2.5, "second")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_micrometres_are_stored_as_millimetres(tmp_path, sitk, suffix):
    volume = ours(unit="micrometer")
    write_volume(tmp_path / f"a{suffix}", volume)
    image = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
    assert image.GetSpacing() == pytest.approx([step / 1000 for step in SPACING])
    assert image.GetOrigin() == pytest.approx([place / 1000 for place in ORIGIN])
    back = read_volume(tmp_path / f"a{suffix}")
    assert back.spacing == volume.spacing
    assert back.unit == "micrometer"
    assert np.allclose(back.metadata.orientation.affine, volume.metadata.orientation.affine)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_note_survives_itk(tmp_path, sitk, suffix):
    provenance = {"seed": 3, "text": 'a \\ "b" ' + "long " * 200}
    volume = Volume(DATA, "ZYX", {"Z": 4.0}, "micrometer", ("µ",), provenance)
    write_volume(tmp_path / f"a{suffix}", volume)
    assert read_volume(tmp_path / f"a{suffix}").provenance == provenance
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / f"a{suffix}")), str(tmp_path / f"b{suffix}"))
    back = read_volume(tmp_path / f"b{suffix}")
    assert back.provenance == provenance
    assert back.channel_names == ("µ",)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii", "hex"])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("order", ["little", "big"])
def test_encodings_of_pynrrd(tmp_path, encoding, detached, order):
    nrrd = pytest.importorskip("nrrd")
    header = {"encoding": encoding, "endian": order, "spacings": [0.5, 0.25, 2.0]}
    data = DATA.astype("<i2" if order == "little" else ">i2")
    if encoding == "hex":
        if detached:
            pytest.skip("pynrrd writes no hex")
        order_of_bytes = f"endian: {order}\nencoding: hex\n\n"
        head = "NRRD0001\ntype: short\ndimension: 3\nsizes: 6 5 4\nspacings: 0.5 0.25 2\n"
        (tmp_path / "a.nrrd").write_text(
            head + order_of_bytes + data.tobytes().hex(), encoding="utf-8"
        )
    else:
        name = "a.nhdr" if detached else "a.nrrd"
        nrrd.write(str(tmp_path / name), data.T, header, detached_header=detached)
    volume = read_volume(next(tmp_path.glob("a.n*")))
    assert np.array_equal(volume.data, DATA)
    assert volume.data.dtype.isnative
    assert volume.spacing == {"X": 0.5, "Y": 0.25, "Z": 2.0}
    assert volume.unit is None
    assert volume.metadata.orientation is None


def test_ours_read_by_pynrrd(tmp_path):
    nrrd = pytest.importorskip("nrrd")
    write_volume(tmp_path / "a.nrrd", ours("TZYX", np.stack([DATA, -DATA]), time_step=2.0))
    data, header = nrrd.read(str(tmp_path / "a.nrrd"), index_order="C")
    assert np.array_equal(data, [DATA, -DATA])
    assert header["space"] == "left-posterior-superior-time"
    assert np.allclose(np.linalg.norm(header["space directions"], axis=1), (*SPACING, 2.0))


def nrrd_text(path, *lines, dtype="int16", sizes="6 5 4", content=None):
    head = ["NRRD0005", f"type: {dtype}", f"dimension: {len(sizes.split())}", f"sizes: {sizes}"]
    text = "\n".join([*head, "endian: little", "encoding: raw", *lines, "", ""])
    path.write_bytes(text.encode() + (DATA.tobytes() if content is None else content))
    return path


@pytest.mark.parametrize(
    ("space", "signs"), [("RAS", (1, 1, 1)), ("LAS", (-1, 1, 1)), ("LPS", (-1, -1, 1))]
)
def test_spaces(tmp_path, space, signs):
    names = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior"}
    for name in (space, "-".join(names[letter] for letter in space)):
        nrrd_text(
            tmp_path / "a.nrrd",
            f"space: {name}",
            "space directions: (2,0,0) (0,3,0) (0,0,4)",
            "space origin: (5,6,7)",
        )
        affine = np.array(read_volume(tmp_path / "a.nrrd").metadata.orientation.affine)
        assert np.allclose(np.diag(affine)[:3], np.multiply(signs, (2, 3, 4)))
        assert np.allclose(affine[:3, 3], np.multiply(signs, (5, 6, 7)))


def test_units_of_a_space(tmp_path):
    path = nrrd_text(
        tmp_path / "a.nrrd",
        "space dimension: 3",
        "space directions: (2,0,0) (0,3,0) (0,0,4)",
        'space units: "microns" "microns" "microns"',
    )
    volume = read_volume(path)
    assert volume.unit == "micrometer"
    assert volume.voxel_size == (4, 3, 2)


def test_lists_of_volumes_are_time(tmp_path):
    path = nrrd_text(
        tmp_path / "a.nrrd",
        "space: right-anterior-superior",
        "kinds: list domain domain domain",
        "space directions: none (1,0,0) (0,1,0) (0,0,2)",
        sizes="2 3 5 4",
    )
    volume = read_volume(path)
    assert volume.axes == "ZYXT"
    assert volume.size("T") == 2
    assert np.array_equal(volume.data, DATA.reshape(4, 5, 3, 2))


def test_skipped_lines_and_bytes(tmp_path):
    (tmp_path / "b.raw").write_bytes(b"two\nlines\n" + b"xxx" + DATA.tobytes())
    options = ("line skip: 2", "byte skip: 3", "data file: ./b.raw")
    assert np.array_equal(read_volume(nrrd_text(tmp_path / "a.nhdr", *options)).data, DATA)
    (tmp_path / "b.raw").write_bytes(b"a header" + DATA.tobytes())
    path = nrrd_text(tmp_path / "a.nhdr", "byte skip: -1", "data file: b.raw")
    assert np.array_equal(read_volume(path).data, DATA)


def test_unpacked_voxels_are_read_where_they_are_indexed(tmp_path):
    for suffix in (".nrrd", ".mha"):
        write_volume(tmp_path / f"a{suffix}", ours())
        volume = open_volume(tmp_path / f"a{suffix}")
        assert isinstance(volume.data, LazyArray)
        assert np.array_equal(volume.data[1:3, 2], DATA[1:3, 2])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["data file: LIST"], "spread over many files"),
        (["data file: a%03d.raw 1 4 1"], "spread over many files"),
        (["data file: ../b.raw"], "same folder"),
        (["data file: /etc/passwd"], "same folder"),
        (["data file: missing.raw"], "no such file"),
        (["byte skip: -7"], "asks to skip"),
        (["space directions: (1,0,0) (0,1)"], "different lengths"),
        (["kinds: domain"], "3 axes throughout"),
        (["nonsense"], "no field"),
        (["sizes: 6 5 4"], "'sizes' twice"),
        (["data file: b.raw", "datafile: c.raw"], "'data file' twice"),
    ],
)
def test_nrrd_refused(tmp_path, lines, message):
    (tmp_path.parent / "b.raw").write_bytes(DATA.tobytes())
    with pytest.raises(DataError, match=message):
        read_volume(nrrd_text(tmp_path / "a.nrrd", *lines))


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.raw").write_bytes(DATA.tobytes())
    (tmp_path / "b.raw").symlink_to(tmp_path / "other" / "b.raw")
    with pytest.raises(DataError, match="no link"):
        read_volume(nrrd_text(tmp_path / "a.nhdr", "data file: b.raw"))
    (tmp_path / "a.mhd").write_text(meta_text("b.raw"), encoding="utf-8")
    with pytest.raises(DataError, match="no link"):
        read_volume(tmp_path / "a.mhd")


def meta_text(file="LOCAL", **fields):
    known = {"ObjectType": "Image", "NDims": "3", "DimSize": "6 5 4", "ElementType": "MET_SHORT"}
    known |= {"ElementSpacing": "0.5 0.25 2", **fields}
    return "".join(f"{k} = {v}\n" for k, v in known.items()) + f"ElementDataFile = {file}\n"


def test_metaimage_variants(tmp_path):
    path = tmp_path / "a.mha"
    for fields, content in (
        ({}, DATA.tobytes()),
        ({"BinaryDataByteOrderMSB": "True"}, DATA.astype(">i2").tobytes()),
        ({"ElementByteOrderMSB": "True"}, DATA.astype(">i2").tobytes()),
        ({"CompressedData": "True"}, zlib.compress(DATA.tobytes())),
        ({"CompressedData": "True"}, gzip.compress(DATA.tobytes())),
        ({"BinaryData": "False"}, " ".join(map(str, DATA.ravel())).encode()),
    ):
        path.write_bytes(meta_text(**fields).encode() + content)
        volume = read_volume(path)
        assert np.array_equal(volume.data, DATA)
        assert volume.spacing == {"X": 0.5, "Y": 0.25, "Z": 2.0}
    (tmp_path / "b.raw").write_bytes(b"12" + DATA.tobytes())
    (tmp_path / "b.mhd").write_text(meta_text("b.raw", HeaderSize="-1"), encoding="utf-8")
    assert np.array_equal(read_volume(tmp_path / "b.mhd").data, DATA)


@pytest.mark.parametrize("more", [0, 5])
def test_skipped_bytes_of_a_metaimage_count_from_the_files_first(tmp_path, sitk, more):
    start = len(meta_text(HeaderSize="000")) + more
    head = meta_text(HeaderSize=f"{start:03}").encode()
    (tmp_path / "a.mha").write_bytes(head + b"x" * more + DATA.tobytes())
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha"))), DATA)
    assert np.array_equal(read_volume(tmp_path / "a.mha").data, DATA)
    (tmp_path / "b.raw").write_bytes(b"x" * 9 + DATA.tobytes())
    (tmp_path / "b.mhd").write_text(meta_text("b.raw", HeaderSize="9"), encoding="utf-8")
    assert np.array_equal(read_volume(tmp_path / "b.mhd").data, DATA)


def test_of_a_metaimages_repeated_fields_the_last_one_counts(tmp_path, sitk):
    text = meta_text().replace("ElementSpacing", "DimSize = 5 4 6\nElementSpacing")
    (tmp_path / "a.mha").write_bytes(text.encode() + DATA.tobytes())
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha")))
    assert expected.shape == (6, 4, 5)
    assert np.array_equal(read_volume(tmp_path / "a.mha").data, expected)


def test_metaimage_that_knows_no_spacing(tmp_path):
    (tmp_path / "a.mha").write_bytes(meta_text(ElementSpacing="1 1 1").encode() + DATA.tobytes())
    volume = read_volume(tmp_path / "a.mha")
    assert volume.spacing == {}
    text = meta_text(ElementSpacing="1 1 1", Offset="0 0 5")
    (tmp_path / "a.mha").write_bytes(text.encode() + DATA.tobytes())
    assert read_volume(tmp_path / "a.mha").voxel_size == (1, 1, 1)


@pytest.mark.parametrize(
    ("fields", "file", "message"),
    [
        ({"ObjectType": "Mesh"}, "LOCAL", "holds a 'Mesh'"),
        ({"ElementType": "MET_STRING"}, "LOCAL", "type 'MET_STRING'"),
        ({}, "LIST", "many files"),
        ({}, "a%03d.raw 1 4 1", "many files"),
        ({}, "/etc/passwd", "same folder"),
        ({"DimSize": "6 5"}, "LOCAL", "3 dimensions of the sizes"),
        ({"DimSize": "6 5 -4"}, "LOCAL", "length from 1"),
        ({"DimSize": "6 5 0"}, "LOCAL", "no voxels"),
        ({"HeaderSize": "-2"}, "LOCAL", "asks to skip -2"),
        ({"HeaderSize": "5"}, "LOCAL", "asks to skip 5 bytes, expected none or at least"),
        ({"HeaderSize": "9999"}, "LOCAL", "outside the file"),
        ({"TransformMatrix": "1 0 0 1"}, "LOCAL", "3 axes throughout"),
    ],
)
def test_metaimage_refused(tmp_path, fields, file, message):
    (tmp_path / "a.mha").write_bytes(meta_text(file, **fields).encode() + DATA.tobytes())
    with pytest.raises(DataError, match=message):
        read_volume(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_what_is_declared_must_be_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_volume(path, ours())
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="cut off"):
        read_volume(path)
    for kept in range(0, len(content) - 240, 13):
        path.write_bytes(content[:kept] or b"\n")
        with pytest.raises(DataError) as caught:
            read_volume(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "zlib"])
def test_bombs(tmp_path, packer):
    """Small files that unpack to more than they declare, or declare more than they unpack to."""
    pack = {"gzip": gzip.compress, "bzip2": bz2.compress, "zlib": zlib.compress}[packer]
    path = tmp_path / ("a.mha" if packer == "zlib" else "a.nrrd")
    for zeros, message in ((2**24, "more in it than its header says"), (100, "expected 240")):
        content = pack(bytes(zeros))
        if packer == "zlib":
            path.write_bytes(meta_text(CompressedData="True").encode() + content)
        else:
            nrrd_text(path, content=content)
            path.write_bytes(path.read_bytes().replace(b"raw", packer.encode(), 1))
        with pytest.raises(DataError, match=message):
            read_volume(path)


def test_numbers_as_text_are_counted_and_fit(tmp_path):
    for text, message in (
        ("1 " * 119, "119 numbers"),
        ("1 " * 121, "121 numbers"),
        ("1 " * 119 + "1.5", "no integers"),
        ("1 " * 119 + "99999", "out of range"),
        ("1 " * 60 + "x " + "1 " * 59, "60 numbers|unmatched|read to its end"),
    ):
        path = nrrd_text(tmp_path / "a.nrrd", content=text.encode())
        path.write_bytes(path.read_bytes().replace(b"raw", b"txt", 1))
        with pytest.raises(DataError, match=message):
            read_volume(path)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared folder beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "nrrd/Brain.nrrd",
        "nrrd_pynrrd/BallBinary30x30x30.nrrd",
        "mha/CT_2D_head_fixed.mha",
        "mha/CT_3D_lung_fixed_mask.mha",
    ],
)
def test_real_files(sitk, name):
    path = SHARED / "formats" / name
    image = sitk.ReadImage(str(path))
    volume = read_volume(path)
    assert np.array_equal(volume.data, sitk.GetArrayFromImage(image))
    if image.GetDimension() == 3:
        affine = np.array(volume.metadata.orientation.affine)
        assert np.allclose(affine[:3, 3], np.multiply((-1, -1, 1), image.GetOrigin()))
        assert volume.voxel_size == pytest.approx(image.GetSpacing()[::-1])
