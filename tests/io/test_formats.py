"""The smaller formats: .npy, pictures, vendors' files; and what is refused."""

import json
import pickle
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from isoslice.data.units import common_unit, convert, unit_name
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io import read_volume, write_volume

STACK = np.random.default_rng(0).integers(0, 256, (3, 20, 24), dtype=np.uint8)


def test_a_file_that_is_not_there_is_looked_for_among_its_neighbours(tmp_path, monkeypatch):
    (tmp_path / "nuclei 1.tif").touch()
    asked = {
        "nuclei 1": '; did you mean "nuclei 1.tif"?',  # a file manager hides suffixes
        "nuclei_1.tif": '; did you mean "nuclei 1.tif"?',
        "Nuclei 1.TIF": '; did you mean "nuclei 1.tif"?',
        "STACK.tif": "; give its whole path, or go to its folder with cd first",
        "none/STACK.tif": "; give its whole path, or go to its folder with cd first",
    }
    monkeypatch.chdir(tmp_path)
    for name, advice in asked.items():
        with pytest.raises(DataError) as told:
            read_volume(name)
        assert str(told.value).endswith(advice)
        assert f"no such file in {tmp_path}, expected an image" in str(told.value)
    with pytest.raises(DataError, match=r"no such file, expected an image; check the path"):
        read_volume(tmp_path / "STACK.tif")


def test_missing_empty_unknown(tmp_path):
    with pytest.raises(DataError, match=r"no\.tif: no such file"):
        read_volume(tmp_path / "no.tif")
    for name in ("a.tif", "a.nii.gz", "a.npy", "a.png", "a.nd2"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match="got an empty file"):
            read_volume(tmp_path / name)
    (tmp_path / "a.xyz").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="unknown format"):
        read_volume(tmp_path / "a.xyz")


def test_npy_and_its_json(tmp_path):
    volume = Volume(STACK, "ZYX", {"Z": 4.0}, "micrometer", provenance={"seed": 1})
    write_volume(tmp_path / "a.npy", volume)
    assert np.array_equal(np.load(tmp_path / "a.npy"), STACK)
    described = json.loads((tmp_path / "a.npy.json").read_text(encoding="utf-8"))
    assert described["axes"] == "ZYX"
    assert described["provenance"] == {"seed": 1}
    assert read_volume(tmp_path / "a.npy").spacing == {"Z": 4.0}
    np.save(tmp_path / "a.npy", STACK[:2])
    with pytest.raises(DataError, match=r"a\.npy\.json: got a description that does not fit"):
        read_volume(tmp_path / "a.npy")
    (tmp_path / "a.npy.json").write_text("nonsense", encoding="utf-8")
    with pytest.raises(DataError, match="delete it"):
        read_volume(tmp_path / "a.npy")


def test_npy_without_json_needs_axes(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    with pytest.raises(DataError, match="--axes ZYX"):
        read_volume(tmp_path / "a.npy")
    assert read_volume(tmp_path / "a.npy", axes="zyx").axes == "ZYX"


def test_npy_without_its_array_is_not_overwritten(tmp_path):
    (tmp_path / "a.npy.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Exception, match="exists"):
        write_volume(tmp_path / "a.npy", Volume(STACK, "ZYX"))
    assert not (tmp_path / "a.npy").exists()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(DataError, match=r"plain \.npy array"):
            read_volume(tmp_path / name, axes="YX")


def test_npy_truncated(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, STACK)
    content = path.read_bytes()
    for kept in (1, 8, 60, 127, 128, 700, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError) as caught:
            read_volume(path, axes="ZYX")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".PNG"])
def test_pictures(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    iio.imwrite(path, STACK[0])
    volume = read_volume(path)
    assert volume.axes == "YX"
    assert volume.data.shape == (20, 24)
    assert volume.spacing == {}
    if "jp" not in suffix:
        assert np.array_equal(volume.data, STACK[0])


@pytest.mark.parametrize("channels", [3, 4])
def test_coloured_picture(tmp_path, channels):
    data = np.random.default_rng(0).integers(0, 256, (20, 24, channels), dtype=np.uint8)
    iio.imwrite(tmp_path / "a.png", data)
    volume = read_volume(tmp_path / "a.png")
    assert volume.axes == "CYX"
    assert np.array_equal(volume.data, np.moveaxis(data[..., :3], -1, 0))
    assert volume.data.flags.c_contiguous


def test_sixteen_bit_picture(tmp_path):
    data = np.arange(480, dtype=np.uint16).reshape(20, 24) * 100
    iio.imwrite(tmp_path / "a.png", data)
    volume = read_volume(tmp_path / "a.png")
    assert volume.data.dtype == np.uint16
    assert np.array_equal(volume.data, data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_truncated_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    iio.imwrite(path, STACK.reshape(60, 24))
    content = path.read_bytes()
    for kept in (4, 20, len(content) // 4, len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError) as caught:
            read_volume(path)
        assert "\n" not in str(caught.value)


def test_units():
    assert unit_name("Å") == "angstrom"
    assert unit_name("pixel") is None
    assert unit_name(None) is None
    assert unit_name("micrometers") == "micrometer"
    assert convert(250.0, "nanometer", "micrometer") == 0.25
    assert convert(0.25, "micrometer", "nanometer") == 250.0
    mixed = common_unit({"Z": 1.0, "X": 250.0}, {"Z": "micrometer", "X": "nanometer"})
    assert mixed == ({"Z": 1000.0, "X": 250.0}, "nanometer")


def test_import_is_light():
    heavy = (
        "torch",
        "zarr",
        "yaozarrs",
        "tifffile",
        "nibabel",
        "bioio",
        "imageio",
        "mrcfile",
        "h5py",
    )
    code = f"import isoslice.io, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert out.stdout.strip() == "[]"


def test_another_version_of_a_library_is_told_as_a_bug(tmp_path, monkeypatch, cli):
    """It happened: tifffile 2026.9 has no `get_shape`, and the file was blamed."""
    write_volume(tmp_path / "a.tif", Volume(STACK, "ZYX"))
    monkeypatch.delattr(tifffile.TiffPageSeries, "dataoffset")
    code, _, err = cli("info", tmp_path / "a.tif")
    assert code == 70
    assert "no attribute 'dataoffset'" in err[-1]
    assert "no fault of the file" in err[-1]
