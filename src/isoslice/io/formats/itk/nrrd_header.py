"""The text header of an NRRD file: its fields, and lists and vectors in them.

Format: http://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from isoslice.io.limits import MAX_JSON

#: Spellings of voxel types, by NumPy's name.
TYPE_NAMES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "int64": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "uint64": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "float32": ("float",),
    "float64": ("double",),
}
#: Fields that may be written as one word.
_SPACED = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
#: A vector of a header, or None for ``none``.
Vector = tuple[float, ...] | None


@dataclass(frozen=True)
class Header:
    """A parsed header.

    Attributes
    ----------
    fields
        Values by field name in lower case.
    pairs
        Values of key/value pairs.
    end
        Offset in bytes of what follows the header.
    """

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    end: int


def parse_header(stream: BinaryIO) -> Header:
    """Parse the header at the beginning of a file.

    Raises
    ------
    ValueError
        If it is no NRRD header, too long, or has a field twice.
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
        # Fields are tried first: their values may contain ":=", which marks key/value pairs.
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


def quoted(text: str) -> list[str]:
    """Split a field into words, in quotation marks or without."""
    return [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', text)]


def vectors(text: str, max_count: int = 8) -> list[Vector]:
    """Parse the vectors of a field, ``(1,0,0) none (0,1,0)``; None for those not finite.

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
    if len({len(vector) for vector in parsed if vector is not None}) > 1 or len(parsed) > max_count:
        raise ValueError(f"its header has vectors of different lengths ({text[:80]!r})")
    return parsed
