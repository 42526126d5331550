"""The text header of an NRRD file: fields, and lists and vectors in them.

Format: http://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from isoslice.io.limits import MAX_JSON

#: Fields that may be written as one word.
_SPACED = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
#: A vector of a header, or None where it says that there is none.
Vector = tuple[float, ...] | None


@dataclass(frozen=True)
class Header:
    """A header: its fields in lower case, its key/value pairs, and the byte behind it."""

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    end: int


def parse_header(stream: BinaryIO) -> Header:
    """Parse the header at the beginning of a file.

    Raises
    ------
    ValueError
        If it is none, too long, or says the same thing twice.
    """
    if not re.fullmatch(rb"NRRD000[1-9]\r?\n", stream.readline(16)):
        raise ValueError("it does not begin with NRRD0001 or a later version")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    while True:
        line = stream.readline(MAX_JSON)
        if (not line.endswith(b"\n") and len(line) == MAX_JSON) or stream.tell() > 2 * MAX_JSON:
            raise ValueError(f"its header is longer than {2 * MAX_JSON} bytes")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return Header(fields, pairs, stream.tell())
        if text.startswith("#"):
            continue
        # Fields go first: a value may well contain the sign of pairs.
        name, separator, value = text.partition(":")
        if not separator:
            raise ValueError(f"a line of its header is no field ({text[:40]!r})")
        if value.startswith("="):
            pairs[name] = re.sub(r"\\(n|\\)", lambda m: "\n" if m[1] == "n" else "\\", value[1:])
        elif value.startswith(" "):
            name = name.strip().lower()
            name = _SPACED.get(name, name)
            if name in fields:
                raise ValueError(f"its header has the field {name[:40]!r} twice")
            fields[name] = value.strip()
        else:
            raise ValueError(f"a line of its header is no field ({text[:40]!r})")


def numbers(text: str) -> list[float]:
    """Return the numbers of a field, NaN where it has none."""
    return [float(word) for word in text.split()]


def quoted(text: str) -> list[str]:
    """Return the words of a field, in quotation marks or without."""
    return [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', text)]


def vectors(text: str, most: int = 8) -> list[Vector]:
    """Return the vectors of a field, ``(1,0,0) none (0,1,0)``; None for one that is not finite.

    Raises
    ------
    ValueError
        If it holds anything else, or vectors of different lengths.
    """
    parsed: list[Vector] = []
    for word in re.findall(r"\([^()]*\)|[^\s()]+", text):
        if word.startswith("("):
            vector = tuple(float(part) for part in word[1:-1].split(","))
            parsed.append(vector if all(map(math.isfinite, vector)) else None)
        elif word.lower() == "none":
            parsed.append(None)
        else:
            raise ValueError(f"its header has {word[:40]!r} where a vector is expected")
    if len({len(vector) for vector in parsed if vector is not None}) > 1 or len(parsed) > most:
        raise ValueError(f"its header has vectors of different lengths ({text[:80]!r})")
    return parsed
