"""Series: several images in one file (scenes, positions, data sets), and the choice of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isoslice.errors import DataError, warn
from isoslice.runtime.text import as_typed

#: Images that a message names.
_MAX_NAMED = 8


@dataclass(frozen=True)
class Series:
    """One image of several in a file.

    Attributes
    ----------
    name
        Its name in the file, or None.
    axes, shape, dtype
        Of its voxels, as far as the file tells without reading them.
    """

    name: str | None
    axes: str
    shape: tuple[int, ...]
    dtype: str

    def describe(self, number: int) -> str:
        """Describe the image in a few words: ``0 'overview' (ZYX, 2 x 16 x 16, uint8)``."""
        name = f" {self.name!r}" if self.name else ""
        size = " x ".join(map(str, self.shape))
        return f"{number}{name} ({self.axes}, {size}, {self.dtype})"


def choose_series(
    path: Path, series: Sequence[Series], requested: str | None, default: int = 0
) -> int:
    """Return the number of the image to read, counted from 0.

    Parameters
    ----------
    path
        The file, for messages.
    series
        The images in it.
    requested
        Number or name, as given by ``--series``; None takes `default`, with a warning if there are
        others.

    Raises
    ------
    DataError
        If there is no such image, or two have that name.
    """
    if requested is None:
        if len(series) > 1:
            other = 1 if default == 0 else 0
            warn(
                f"{path}: holds {len(series)} images, took {series[default].describe(default)}; "
                f"choose another, for example with --series {other}: {listed(series)}"
            )
        return default
    named = [number for number, one in enumerate(series) if one.name == requested]
    if len(named) == 1:
        return named[0]
    if requested.isdecimal() and int(requested) < len(series):
        return int(requested)
    problem = f"{len(named)} images of that name" if named else "no such image"
    raise DataError(
        f"{path}: got series {requested!r}, {problem}, expected a number or name of "
        f"{listed(series)}; for example --series {default} "
        f"('isoslice info {as_typed(path)}' lists all)"
    )


def listed(series: Sequence[Series]) -> str:
    """List images in one line, the first few of many."""
    named = [one.describe(number) for number, one in enumerate(series[:_MAX_NAMED])]
    more = len(series) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
