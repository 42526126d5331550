"""Who is to blame when a file cannot be read: the file, isoslice, a library, or nobody knows."""

import json
import platform
import struct
import zlib

import numpy as np
import pytest
import tifffile

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.cli.entry import BUG, explain
from isoslice.errors import WHERE_TO_REPORT, DataError, UnhandledError
from isoslice.io import read_volume
from isoslice.io.decode_errors import PROGRAMMING_ERRORS, reading

DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    OSError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    UnicodeError,
)


def library(source: str, name: str = "tifffile.made_up"):
    """A function of somebody else's module."""
    names: dict[str, object] = {"__name__": name}
    exec(f"def call():\n    {source}", names)
    return names["call"]


def own(source: str):
    return library(source, "isoslice.io.made_up")


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("where", ["isoslice.io.made_up", "tifffile.made_up"])
def test_what_damaged_files_raise_blames_the_file(tmp_path, kind, where):
    names = {"__name__": where, "kind": kind}
    exec("def call():\n    raise kind('broken\\nhere')", names)
    with (
        pytest.raises(
            DataError, match=r"cannot be read as a TIFF .*broken.*; send it anew"
        ) as told,
        reading(tmp_path / "a.tif", "a TIFF", "send it anew"),
    ):
        names["call"]()
    assert "report" not in str(told.value)


@pytest.mark.parametrize("kind", [kind for kind in PROGRAMMING_ERRORS if kind is not ImportError])
def test_our_own_mistakes_are_told_as_ours(tmp_path, kind):
    names = {"__name__": "isoslice.io.made_up", "kind": kind, "tifffile": tifffile}
    exec("def call():\n    raise kind('oops')", names)
    with pytest.raises(UnhandledError) as told, reading(tmp_path / "a.tif", "a TIFF"):
        names["call"]()
    assert str(told.value) == (
        f"{tmp_path / 'a.tif'}: isoslice met something that it does not handle "
        f"({kind.__name__}: oops; isoslice {isoslice.__version__}, tifffile "
        f"{tifffile.__version__}, numpy {np.__version__}, Python {platform.python_version()}), "
        "which is no fault of the file as far as it can tell; report it "
        f"{WHERE_TO_REPORT} with the output of 'isoslice env' and, if you can, the file"
    )
    assert explain(told.value) == (f"error: {told.value}", BUG)


@pytest.mark.parametrize("kind", [kind for kind in PROGRAMMING_ERRORS if kind is not ImportError])
def test_mistakes_inside_a_library_leave_both_possible(tmp_path, kind):
    names = {"__name__": "tifffile.made_up", "kind": kind}
    exec("def call():\n    raise kind('oops')", names)
    with (
        pytest.raises(DataError, match="damaged, or isoslice met") as told,
        reading(tmp_path / "a.tif", "a TIFF"),
    ):
        names["call"]()
    assert f"tifffile {tifffile.__version__}" in str(told.value)
    with pytest.raises(DataError) as told, reading(tmp_path / "a", "a TIFF", surprises=(kind,)):
        names["call"]()
    assert "report" not in str(told.value)


def test_what_c_raises_counts_for_its_caller(tmp_path):
    with pytest.raises(UnhandledError), reading(tmp_path / "a", "a TIFF"):
        own("int(None)")()
    with pytest.raises(DataError), reading(tmp_path / "a", "a TIFF"):
        library("int(None)")()


def test_an_inner_reader_decides_and_an_outer_one_agrees(tmp_path):
    with (
        pytest.raises(UnhandledError, match="inner"),
        reading(tmp_path / "outer", "an image"),
        reading(tmp_path / "inner", "a TIFF"),
    ):
        own("None.shape")()


def test_memory_and_the_systems_errors_pass(tmp_path):
    for error in (MemoryError(), PermissionError(13, "Permission denied")):
        with pytest.raises(type(error)), reading(tmp_path / "a", "a TIFF"):
            raise error


def test_a_library_that_cannot_be_imported(tmp_path):
    with pytest.raises(UnhandledError) as told, reading(tmp_path / "a.tif", "a TIFF"):
        own("from tifffile import no_such_name")()
    assert "no fault of the file" in str(told.value)
    assert f"tifffile {tifffile.__version__}" in str(told.value)
    assert "pip install --force-reinstall tifffile" in str(told.value)
    with pytest.raises(UnhandledError) as told, reading(tmp_path / "a.tif", "a TIFF"):
        own("from isoslice.io.formats.tiff.reader import no_such_name")()
    assert "force-reinstall" not in str(told.value)
    assert "report it" in str(told.value)


def test_messages_of_files_steer_no_terminal(tmp_path):
    with pytest.raises(UnhandledError) as told, reading(tmp_path / "a", "a TIFF"):
        own(r"raise TypeError('\x1b[31mred\nblue')")()
    assert str(told.value).isprintable()


def test_a_tifffile_without_a_method(cli: Cli, tmp_path, monkeypatch):
    """What newer versions did: no TIFF could be read, and the user's file was blamed."""
    stack = tmp_path / "a.tif"
    tifffile.imwrite(stack, texture(5, 40, 44), imagej=True)
    # isoslice's own code asks for it.
    monkeypatch.delattr(tifffile.TiffPageSeries, "dataoffset")
    code, out, err = cli("info", stack)
    assert (code, out, len(err)) == (BUG, "", 1)
    assert "AttributeError: 'TiffPageSeries' object has no attribute 'dataoffset'" in err[0]
    assert f"tifffile {tifffile.__version__}" in err[0]
    assert "no fault of the file" in err[0]
    assert "copy" not in err[0]


def test_a_tifffile_whose_argument_is_gone(tmp_path, monkeypatch):
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 44))
    monkeypatch.setattr(tifffile, "TiffFile", lambda path: None)
    with pytest.raises(UnhandledError, match=r"TypeError: .*unexpected keyword argument"):
        read_volume(stack)


def test_a_zarr_without_a_function(tmp_path, monkeypatch):
    import zarr

    isoslice.write_volume(tmp_path / "a.ome.zarr", isoslice.Volume(texture(3, 40, 44), "ZYX"))
    monkeypatch.delattr(zarr, "open_array")
    with pytest.raises(UnhandledError, match=f"AttributeError.*zarr {zarr.__version__}"):
        read_volume(tmp_path / "a.ome.zarr")


def test_a_nibabel_without_a_method(tmp_path, monkeypatch):
    nibabel = pytest.importorskip("nibabel")
    isoslice.write_volume(tmp_path / "a.nii", isoslice.Volume(texture(3, 40, 44), "ZYX"))
    monkeypatch.delattr(nibabel.filebasedimages.SerializableImage, "from_stream")
    with pytest.raises(UnhandledError, match=f"AttributeError.*nibabel {nibabel.__version__}"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(
    "ome",
    [
        1,
        [],
        {"multiscales": None},
        {"multiscales": []},
        {"multiscales": {}},
        {"multiscales": [1]},
        {"multiscales": [{"datasets": []}]},
        {"multiscales": [{"datasets": [{"path": 1}]}]},
        {"multiscales": [{"axes": 3, "datasets": [{"path": "0"}]}]},
        {"multiscales": [{"axes": [3], "datasets": [{"path": "0"}]}]},
        {"multiscales": [{"datasets": [{"path": "0", "coordinateTransformations": 1}]}]},
        {
            "multiscales": [
                {"datasets": [{"path": "0", "coordinateTransformations": [{"scale": [None]}]}]}
            ]
        },
        {"multiscales": [{"datasets": [{"path": "0"}]}], "omero": 5},
        {"multiscales": [{"datasets": [{"path": "0"}]}], "omero": {"channels": [7]}},
    ],
)
def test_attributes_of_another_type_are_the_files_fault(tmp_path, ome):
    path = tmp_path / "a.ome.zarr"
    isoslice.write_volume(path, isoslice.Volume(texture(3, 40, 44), "ZYX"))
    content = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    content["attributes"]["ome"] = ome
    (path / "zarr.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError) as told:
        read_volume(path)
    assert "does not handle" not in str(told.value)


def test_control_characters_of_a_file_do_not_reach_the_terminal():
    assert (
        str(DataError("a.tif: got '\x1b[2J\n', expected text"))
        == "a.tif: got '?[2J ', expected text"
    )
