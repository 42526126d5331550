"""Libraries that are not always installed, and the advice on how to install them."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import isoslice
from isoslice.errors import DataError, SettingsError
from isoslice.io.extras import require, require_installed

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ADVICE = re.compile(r"pip install ((?:--[a-z-]+ )*)([^\"'`;,)]+)")


def test_what_is_there_is_imported():
    assert require("json.decoder", "json", "a file").JSONDecoder
    require_installed("json", "json", "a file")


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    line = "got a NIfTI file, which needs the package nibabel; run: python -m pip install nibabel"
    for fails in (require, require_installed):
        with pytest.raises(SettingsError) as caught:
            fails("nibabel", "nibabel", "a NIfTI file", SettingsError)
        assert str(caught.value) == line
    with pytest.raises(DataError) as refused:
        require("no_such_a.b", "a b", "a .b file", path=Path("x.b"))
    assert str(refused.value) == (
        "x.b: got a .b file, which needs the packages a and b; run: python -m pip install a b"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("from json import no_such_name", "ImportError: cannot import name 'no_such_name'"),
        ("import json\njson.no_such_name", "AttributeError: module 'json' has no attribute"),
        ("import broken_one.missing", "ModuleNotFoundError: No module named 'broken_one.missing'"),
    ],
)
def test_what_is_broken_is_not_called_missing(tmp_path, monkeypatch, content, reason):
    """The library is there: what fails is something it imports itself."""
    (tmp_path / "broken_one").mkdir()
    (tmp_path / "broken_one" / "__init__.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError) as caught:
        require("broken_one", "broken-one", "a file")
    line = str(caught.value)
    assert f"the library broken_one, which it needs, cannot be imported ({reason}" in line
    assert line.endswith("run: python -m pip install --force-reinstall broken-one")
    assert "\n" not in line


def requirements() -> set[str]:
    """Return the names that pyproject.toml asks for, as dependencies or as extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.split(r"[^\w.-]", one)[0].lower() for some in lists for one in some}


def packages_advised() -> dict[str, set[str]]:
    """Return the packages that our source says to install, by file."""
    found: dict[str, set[str]] = {}
    root = Path(isoslice.__file__).parent
    call = re.compile(r"\brequire(?:_installed)?\(\s*f?\"([^\"]+)\",\s*\"([^\"]+)\"")
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        names = {name for _, some in call.findall(text) for name in some.split()}
        for _, some in ADVICE.findall(re.sub(r"\"\s*\n\s*f?\"", "", text)):
            names |= {name for name in some.split() if "{" not in name}
        if names:
            found[path.relative_to(root).as_posix()] = names
    return found


def test_what_is_advised_to_install_is_what_we_ask_for():
    advised = packages_advised()
    assert {"nibabel"} == advised["io/formats/nifti/reader.py"]
    assert len(advised) >= 5
    # isoslice itself is on no index until it is released.
    advised.pop("io/decode_errors.py")  # names the library that is broken
    for path, names in advised.items():
        assert {name.lower() for name in names} <= requirements() - {"isoslice"}, path


def test_all_is_all_extras():
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    named = {name for one in ("all", "formats") for name in re.findall(r"[a-z\d]+", extras[one][0])}
    # napari has its own environment: a viewer and Qt are needed on no cluster.
    assert named == set(extras) - {"all", "napari"} | {"isoslice"}


def test_vendor_packages_are_asked_for():
    assert {f"bioio-{kind}" for kind in ("czi", "nd2", "lif")} <= requirements()
