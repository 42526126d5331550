"""Planes that a user says are missing: ``12,40-42``, or that none is."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from isoslice.data.survey import format_planes
from isoslice.errors import SettingsError

#: What the words say: whether isoslice looks for missing and damaged planes by itself.
WORDS = {"auto": True, "none": False}
#: Most planes of a range: larger numbers are no planes of any stack.
MOST = 10**7

MissingLike = str | int | Sequence[int]


@dataclass(frozen=True)
class Missing:
    """Which planes are taken as missing.

    Attributes
    ----------
    planes
        Numbers of planes, counted from 0, that are missing at all time points, in all channels.
    find
        Whether blank and damaged ones are looked for, and left out, too.
    """

    planes: tuple[int, ...] = ()
    find: bool = True

    def __str__(self) -> str:
        """Return the text that says the same."""
        told = format_planes(self.planes).replace(" ", "")
        if self.find:
            return told or "auto"
        return f"none,{told}" if told else "none"

    def check(self, count: int, source: str, *, restored: bool = True) -> None:
        """Refuse planes that there are not among `count`; if they are restored, those at the ends.

        Raises
        ------
        SettingsError
            Says which.
        """
        beyond = [z for z in self.planes if z >= count]
        if beyond:
            raise SettingsError(
                f"{source}: got missing planes {format_planes(beyond)}, expected numbers from 0 "
                f"to {count - 1}, of the {count} planes there are"
            )
        ends = sorted({0, count - 1} & set(self.planes))
        if ends and restored:
            raise SettingsError(
                f"{source}: got missing plane{'s' if len(ends) > 1 else ''} {format_planes(ends)}, "
                f"at an end of the {count} planes, expected some with others on both sides, from "
                "which they are restored; cut the ends off the stack"
            )

    def within(self, first: int, count: int) -> Missing:
        """Return the same for `count` planes from `first` on; their ends count as measured."""
        inner = range(first + 1, first + count - 1)
        return Missing(tuple(z - first for z in self.planes if z in inner), self.find)


#: Those that are found.
FOUND = Missing()
#: All planes count as measured, blank ones too.
NONE_MISSING = Missing(find=False)


def parse_missing(value: MissingLike | Missing | None) -> Missing:
    """Parse ``12,40-42``, beside which others are found; ``none`` (or ``none,12``): no others are.

    Parameters
    ----------
    value
        Text; or numbers of planes, counted from 0; None or ``auto``: those that are found.

    Raises
    ------
    SettingsError
        If it is neither.
    """
    if isinstance(value, Missing):
        return value
    if not isinstance(value, str | None):
        return Missing(_numbers(value))
    words = [word.strip().lower() for word in (value or "auto").split(",")]
    find, planes = WORDS.get(words[0], True), set[int]()
    for word in words[1:] if words[0] in WORDS else words:
        match = re.fullmatch(r"(\d{1,8})(?:\s*-\s*(\d{1,8}))?", word, re.ASCII)
        first, last = (int(end or match[1]) for end in match.groups()) if match else (1, 0)
        if not first <= last < MOST:
            raise _refusal(value)
        planes.update(range(first, last + 1))
    return Missing(tuple(sorted(planes)), find)


def _numbers(value: int | Sequence[int]) -> tuple[int, ...]:
    try:
        each = [operator.index(one) for one in value]  # type: ignore[union-attr]
    except TypeError:
        try:
            each = [operator.index(value)]  # type: ignore[arg-type]
        except TypeError:
            raise _refusal(value) from None
    if not all(0 <= one < MOST for one in each):
        raise _refusal(value)
    return tuple(sorted(set(each)))


def _refusal(value: object) -> SettingsError:
    return SettingsError(
        f"got missing planes {value!r}, expected numbers counted from 0 such as 12,40-42, none "
        "(all planes are sound), or auto (those that are found)"
    )
