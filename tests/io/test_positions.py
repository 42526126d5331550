"""Positions of planes and optics in files: OME-XML, Imaris, NRRD, isoslice's note, text files."""

import json

import numpy as np
import pytest
import tifffile

from isoslice.data.metadata import Metadata, Optics
from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceWarning, SettingsError
from isoslice.io import read_volume, write_volume
from isoslice.io.positions import read_positions
from isoslice.io.reading import open_volume

STACK = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
UNEVEN = (0.0, 2.0, 4.5, 6.5, 10.5)


def ome(path, positions, unit="µm", data=STACK, axes="ZYX", z=2.0, **options):
    """Write an OME-TIFF as other programs do, with a position for each plane."""
    planes = int(np.prod(data.shape[:-2]))
    metadata = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, **options}
    if z is not None:
        metadata["PhysicalSizeZ"] = z
    if positions is not None:
        metadata["Plane"] = {
            "PositionZ": list(np.ravel(positions)),
            "PositionZUnit": [unit] * planes,
        }
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("positions", "unit"),
    [
        (np.add(UNEVEN, 100), "µm"),
        (np.subtract(7, UNEVEN), "µm"),  # a stage that goes down
        (np.multiply(UNEVEN, 1000), "nm"),
        (np.divide(UNEVEN, 1000), "mm"),
    ],
)
def test_uneven_planes_of_ome(tmp_path, positions, unit):
    volume = read_volume(ome(tmp_path / "a.ome.tif", positions, unit))
    assert volume.z_positions == pytest.approx(UNEVEN)
    assert volume.spacing["Z"] == pytest.approx(2.25)
    assert np.array_equal(volume.data, STACK)


@pytest.mark.parametrize(
    "positions",
    [
        None,
        np.zeros(5),
        np.full(5, 41.25),
        41.25 + 1e-3 * np.array([0, 1, -1, 0, 2]),  # a stage that stayed
        2.0 * np.arange(5) + 1e-3 * np.array([0, 1, -2, 3, 0]),  # jitter of nanometres
        2.0 * np.arange(5),
        [0.0, 1.9, 4.0, 6.0, 8.1],  # of one digit
    ],
)
def test_even_planes_of_ome(tmp_path, positions):
    volume = read_volume(ome(tmp_path / "a.ome.tif", positions))
    assert volume.z_positions is None
    assert volume.spacing["Z"] == 2.0


def test_positions_without_a_unit_of_length_say_nothing(tmp_path):
    volume = read_volume(ome(tmp_path / "a.ome.tif", UNEVEN, "reference frame"))
    assert (volume.z_positions, volume.spacing["Z"]) == (None, 2.0)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ((0, 2, 2, 4, 6), "go back, or stay, at plane 2"),
        ((0, 2, 4, 3, 6), "go back, or stay, at plane 3"),
        (np.divide(UNEVEN, 1000), r"0\.00225 apart, where PhysicalSizeZ is 2"),
    ],
)
def test_positions_that_cannot_be_believed(tmp_path, positions, message):
    with pytest.warns(IsosliceWarning, match=message):
        volume = read_volume(ome(tmp_path / "a.ome.tif", positions))
    assert (volume.z_positions, volume.spacing["Z"]) == (None, 2.0)


def test_positions_give_a_spacing_that_is_not_stated(tmp_path):
    volume = read_volume(ome(tmp_path / "a.ome.tif", 3.0 * np.arange(5), z=None))
    assert volume.spacing["Z"] == pytest.approx(3.0)
    assert "Z" not in read_volume(ome(tmp_path / "b.ome.tif", None, z=None)).spacing


@pytest.mark.parametrize(("off", "kept"), [(0.0, True), (5.0, True), (None, False)])
def test_channels_must_agree_but_for_an_offset(tmp_path, off, kept):
    second = np.multiply(UNEVEN, 1.1) if off is None else np.add(UNEVEN, off)
    path = ome(tmp_path / "a.ome.tif", [UNEVEN, second], data=np.stack([STACK, STACK]), axes="CZYX")
    volume = read_volume(path)
    assert (volume.z_positions is not None) == kept
    if kept:
        assert read_volume(path, channel=1).z_positions == pytest.approx(UNEVEN)
        renamed = read_volume(path, axes="TZYX")
        assert renamed.z_positions == pytest.approx(UNEVEN)
        assert read_volume(path, axes="ZCYX").z_positions is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (' PositionZ="4.5"', ""),
        (' PositionZ="4.5"', ' PositionZ="high"'),
        ('TheZ="2"', 'TheZ="7"'),
        ('TheZ="2"', 'TheZ="two"'),
        ('TheZ="2"', 'TheZ="-2"'),
    ],
)
def test_planes_without_a_place(tmp_path, before, after):
    path = ome(tmp_path / "a.ome.tif", UNEVEN)
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata
    changed = xml.replace(before, after)
    assert changed != xml
    tifffile.tiffcomment(path, changed.encode())
    assert read_volume(path).z_positions is None


def test_optics_of_ome(tmp_path):
    path = ome(
        tmp_path / "a.ome.tif",
        None,
        data=np.stack([STACK, STACK]),
        axes="CZYX",
        Channel={
            "EmissionWavelength": [520.0, 0.6],
            "EmissionWavelengthUnit": ["nm", "µm"],
            "AcquisitionMode": ["SpinningDiskConfocal"] * 2,
        },
    )
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata
    assert 'EmissionWavelength="520.0"' in xml
    instrument = (
        '<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="0.8" Immersion="Water"/>'
        '<Objective ID="Objective:1" LensNA="1.4" Immersion="Oil"/></Instrument>'
    )
    settings = '<InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:1"{}/>'
    for stated, index in ((' RefractiveIndex="1.52"', 1.52), ("", 1.515)):
        changed = xml.replace("<Image ", instrument + "<Image ", 1)
        changed = changed.replace("<Pixels ", settings.format(stated) + "<Pixels ", 1)
        tifffile.tiffcomment(path, changed.encode())
        expected = Optics(1.4, index, (520.0, pytest.approx(600.0)), "confocal")
        assert read_volume(path).metadata.optics == expected
    assert read_volume(path, channel=0).metadata.optics.emission == (520.0,)
    tifffile.tiffcomment(
        path, xml.replace("SpinningDiskConfocal", "MultiPhotonMicroscopy").encode()
    )
    assert read_volume(path).metadata.optics.microscope == "other"


def test_optics_of_imaris(tmp_path):
    h5py = pytest.importorskip("h5py")
    from hdf5_files import characters, write_imaris

    data = np.arange(2 * 6 * 9 * 10, dtype=np.uint8).reshape(1, 2, 6, 9, 10)
    path = write_imaris(tmp_path / "a.ims", data)
    assert read_volume(path).metadata.optics is None
    with h5py.File(path, "a") as file:
        file["DataSetInfo/Image"].attrs["NumericalAperture"] = characters("1.300")
        channel = file["DataSetInfo/Channel 0"].attrs
        channel["LSMEmissionWavelength"] = characters("525")
        channel["RefractionIndexImmersion"] = characters("1.406")
        channel["MicroscopyMode"] = characters("Confocal")
        file["DataSetInfo/Channel 1"].attrs["LSMEmissionWavelength"] = characters("")
    assert read_volume(path).metadata.optics == Optics(1.3, 1.406, (525.0, None), "confocal")


def test_thickness_of_nrrd(tmp_path):
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 0.5 0.5 3\n"
        "thicknesses: NaN NaN 5\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(24))
    assert read_volume(tmp_path / "a.nrrd").metadata.slice_thickness == 5.0


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".ome.zarr", ".npy", ".nrrd"])
def test_kept_in_what_isoslice_writes(tmp_path, suffix):
    optics = Optics(1.3, 1.406, (525.0,), "widefield")
    metadata = Metadata(origin={"Z": 3.0}, slice_thickness=4.0, optics=optics)
    spacing = {"Z": 2.25, "Y": 0.5, "X": 0.5}
    volume = Volume(STACK, "ZYX", spacing, "micrometer", metadata=metadata, z_positions=UNEVEN)
    path = tmp_path / f"a{suffix}"
    write_volume(path, volume)
    for found in (read_volume(path), open_volume(path)):
        assert found.z_positions == pytest.approx(UNEVEN)
        assert found.spacing["Z"] == 2.25
        assert (found.metadata.slice_thickness, found.metadata.optics) == (4.0, optics)


def test_other_programs_find_positions(tmp_path):
    volume = Volume(STACK, "ZYX", {"Z": 2.25}, "micrometer", z_positions=UNEVEN)
    write_volume(tmp_path / "a.ome.tif", volume)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        planes = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]["Plane"]
    assert [plane["PositionZ"] for plane in planes] == list(UNEVEN)


def test_the_users_voxel_size(tmp_path):
    path = ome(tmp_path / "a.ome.tif", UNEVEN)
    nanometres = read_volume(path, voxel_size=(2250, 500, 500), unit="nm")
    assert nanometres.z_positions == pytest.approx(np.multiply(UNEVEN, 1000))
    twice = read_volume(path, voxel_size=(4.5, 0.5, 0.5))
    assert twice.z_positions == pytest.approx(np.multiply(UNEVEN, 2))


def test_the_users_positions(tmp_path):
    path = ome(tmp_path / "a.ome.tif", UNEVEN)
    given = read_volume(path, positions=[3, 4, 6, 7, 10.0])
    assert given.z_positions == (0, 1, 3, 4, 7)
    assert given.spacing["Z"] == 1.5
    even = read_volume(path, positions="even")
    assert (even.z_positions, even.spacing["Z"]) == (None, pytest.approx(2.25))
    both = read_volume(path, voxel_size=(1.4, 0.5, 0.5), positions=[3, 4, 6, 7, 10.0])
    assert both.spacing == {"Z": 1.5, "Y": 0.5, "X": 0.5}
    with pytest.raises(SettingsError, match="apart, and a voxel size of 1400 along Z"):
        read_volume(path, voxel_size=(1400, 500, 500), positions=[3, 4, 6, 7, 10.0])
    with pytest.raises(DataError, match="got 4 positions, expected one for each of 5 planes"):
        read_volume(path, positions=[3, 4, 6, 7])
    with pytest.raises(SettingsError, match="expected a number for each plane, or 'even'"):
        read_volume(path, positions="uneven")
    flat = ome(tmp_path / "b.ome.tif", None, data=STACK[0], axes="YX")
    with pytest.raises(DataError, match="got 2 positions, expected one for each of 1 planes"):
        read_volume(flat, positions=[0, 1])


@pytest.mark.parametrize(
    "text",
    [
        "0\n2\n4.5\n6.5\n10.5\n",
        "# from the log\n0 # first\n\n2\n4.5\n6.5\n1.05e1",
        "z,plane\n0,1\n2,2\n4.5,3\n6.5,4\n10.5,5\n",
        "\ufeffposition;name\r\n0;a\r\n2;b\r\n4.5;c\r\n6.5;d\r\n10.5;e\r\n",
        "0\t9\n2\t9\n4.5\t9\n6.5\t9\n10.5\t9\n",
    ],
)
def test_files_of_positions(tmp_path, text):
    (tmp_path / "z.csv").write_text(text, encoding="utf-8")
    assert read_positions(str(tmp_path / "z.csv")) == UNEVEN


def test_files_that_are_none_of_positions(tmp_path):
    path = tmp_path / "z.txt"
    assert read_positions(None) is None
    assert read_positions("even") == "even"
    with pytest.raises(DataError, match=r"no such file, expected positions.*or say even"):
        read_positions(str(path))
    for text, message in (
        ("", "got no number"),
        ("# nothing\n", "got no number"),
        ("z\nplane\n", "got 'plane' in line 2"),
        ("0\n1\nx 3\n", "got 'x' in line 3"),
        ("0\nnan\n", "got 'nan' in line 2"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_positions(str(path))
    path.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="got "):
        read_positions(str(path))


@pytest.mark.parametrize(
    "stated", [[0, 1, 2], [0, 2, 1, 3, 4], [1, 2, 3, 4, 5], "0", [0, 1, 2, 3, "x"], [0] * 5]
)
def test_a_note_that_was_tampered_with(tmp_path, stated):
    path = tmp_path / "a.ome.zarr"
    write_volume(path, Volume(STACK, "ZYX", {"Z": 2.25}, "micrometer", z_positions=UNEVEN))
    file = path / "zarr.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["attributes"]["isoslice"]["z_positions"] == list(UNEVEN)
    content["attributes"]["isoslice"]["z_positions"] = stated
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_volume(path).z_positions is None
