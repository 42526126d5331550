"""Positions of planes as users write them: a text file, one number a line, or a CSV."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from isoslice.errors import DataError
from isoslice.io.decode_errors import explained
from isoslice.io.limits import read_small
from isoslice.runtime.paths import at_home

#: Most bytes of such a file: a million planes.
MAX_BYTES = 2**25


def read_positions(text: str | None) -> tuple[float, ...] | Literal["even"] | None:
    """Read what ``--positions`` names: a file of positions, or the word ``even``.

    Of each line the first of its numbers counts, separated by commas, semicolons or white space;
    what follows a ``#`` is a comment, and a first line of words the heading of a table.

    Raises
    ------
    DataError
        If there is no such file, or a line has no number.
    """
    if text is None:
        return None
    if text == "even":
        return "even"
    path = Path(at_home(text))
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, expected positions of planes along Z, a number a line; check "
            "the path, or say even for planes that are evenly spaced"
        )
    with explained(path):
        lines = read_small(path, MAX_BYTES).decode("utf-8-sig", "replace").splitlines()
    found: list[float] = []
    heading = True
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        place = finite_number(words[0])
        if place is None and not heading:
            raise DataError(
                f"{path}: got {words[0]!r:.40} in line {number}, expected the position of a plane "
                "along Z, a number; correct it, or put # before a comment"
            )
        heading = False
        if place is not None:
            found.append(place)
    if not found:
        raise DataError(
            f"{path}: got no number, expected the position of each plane along Z, one a line"
        )
    return tuple(found)


def finite_number(word: str) -> float | None:
    """Read a finite number; None if a word is none."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
