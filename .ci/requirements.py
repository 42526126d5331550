"""Print what pyproject.toml requires, one requirement a line, for pip's ``-r`` or ``-c``.

requirements.py                   as they are, with all extras but napari, and the group dev
requirements.py --lowest          each pinned to the lowest version promised
requirements.py --without torch   but those whose names are given
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

#: The extra that has an environment of its own: see .ci/window.
OF_A_WINDOW = "napari"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(pyproject: str) -> list[str]:
    """Return what the text of a pyproject.toml requires, but a window's and its own extras."""
    read = tomllib.loads(pyproject)
    project = read["project"]
    lists = (
        project["dependencies"],
        *(some for name, some in project["optional-dependencies"].items() if name != OF_A_WINDOW),
        read["dependency-groups"]["dev"],
    )
    own = project["name"]
    return [one for some in lists for one in some if name_of(one) != own]


def name_of(requirement: str) -> str:
    """Return the name that a requirement begins with."""
    return re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]


def lowest(requirement: str) -> str:
    """Turn ``name>=version`` into ``name==version``; a requirement without a floor is an error."""
    found = re.search(r">=([\w.]+)", requirement)
    if not found:
        raise SystemExit(f"got {requirement!r} in pyproject.toml, expected a lowest version (>=)")
    return f"{name_of(requirement)}=={found[1]}"


def _lines(pin: bool, without: list[str]) -> Iterator[str]:
    for requirement in requirements(PYPROJECT.read_text(encoding="utf-8")):
        if name_of(requirement) not in without:
            yield lowest(requirement) if pin else requirement


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    asked = parser.parse_args()
    sys.stdout.writelines(f"{line}\n" for line in _lines(asked.lowest, asked.without))
