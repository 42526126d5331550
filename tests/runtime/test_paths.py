"""A leading ``~/`` is the home folder, unless there is something of that very name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isoslice.runtime.paths import at_home

pytestmark = pytest.mark.skipif(os.name == "nt", reason="homes are found otherwise on Windows")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_home_folder_is_meant_by_strings_and_paths(home: Path):
    assert at_home("~/a/b.tif") == f"{home}/a/b.tif"
    assert at_home(Path("~/a/b.tif")) == home / "a" / "b.tif"
    assert at_home("~/images/") == f"{home}/images/"
    assert at_home("~/*.tif") == f"{home}/*.tif"


def test_a_user_is_known():
    import pwd

    name = pwd.getpwuid(os.getuid())
    assert at_home(f"~{name.pw_name}/b.tif") == f"{name.pw_dir}/b.tif"
    assert at_home("~nobody-of-that-name/b.tif") == "~nobody-of-that-name/b.tif"


@pytest.mark.parametrize("path", ["a/~/b.tif", "~", "~a.tif", "b~/c", "./~/b.tif", "", "/~/b"])
def test_other_paths_stay(path: str):
    assert at_home(path) == path


def test_what_is_literally_there_is_meant(tmp_path: Path, home: Path):
    (tmp_path / "~" / "a").mkdir(parents=True)
    assert at_home("~/a") == "~/a"
    assert at_home("~/a/new.tif") == "~/a/new.tif"
    assert at_home("~/b/new.tif") == f"{home}/b/new.tif"
    (tmp_path / "settings" / "~").mkdir(parents=True)
    assert at_home("~/b", tmp_path / "settings") == "~/b"
