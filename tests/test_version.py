"""One version: pyproject.toml has it, the installed package and CITATION.cff agree with it."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import isoslice

ROOT = Path(__file__).parents[1]


def declared() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["version"]


def test_the_package_has_the_declared_version():
    reinstall = "installed before the version changed? run: python -m pip install --editable ."
    assert isoslice.__version__ == declared(), reinstall


def test_the_citation_has_the_declared_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [declared()]


def test_the_readme_installs_the_wheel_of_the_declared_version():
    """By its name: not all shells know what ``*`` stands for."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"isoslice-(\S+?)-py3-none-any\.whl", readme) == [declared()]


def test_the_version_is_looked_up_on_first_use():
    """Metadata take longer to import than isoslice itself."""
    code = (
        "import sys, isoslice; assert 'importlib.metadata' not in sys.modules; "
        "from isoslice import __version__; assert __version__ == isoslice.__version__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sources_that_are_not_installed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.delitem(vars(isoslice), "__version__", raising=False)
    assert isoslice.__version__ == "unknown"
    monkeypatch.undo()
    vars(isoslice).pop("__version__", None)
    assert isoslice.__version__ == declared()
