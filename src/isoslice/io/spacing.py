"""Voxel sizes as users write them: ``4,0.83,0.83``, ``2.8mm,0.7mm,0.7mm``, ``2.8,0.7,0.7mm``."""

from __future__ import annotations

import re
from fractions import Fraction

from isoslice.data.units import METRES, unit_name
from isoslice.data.volume import VoxelSize
from isoslice.errors import SettingsError

_NUMBER = re.compile(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*")
_EXAMPLE = "--voxel-size 2.8mm,0.7mm,0.7mm"


def parse_spacing(text: str | None, unit: str | None = None) -> tuple[VoxelSize | None, str | None]:
    """Parse a voxel size, and its unit where it has one.

    Parameters
    ----------
    text
        Three numbers, of Z, Y and X, each with a unit, or the last with the unit of all.
    unit
        Unit that was given separately.

    Returns
    -------
    tuple
        The size, converted exactly to the unit of X where units differ, and OME's name of the
        unit, None where none was given.

    Raises
    ------
    SettingsError
        If `text` is no voxel size, a number has two units, or there is a unit without a number.
    """
    given = None if unit is None else _named(unit, "--unit um")
    if text is None:
        if given is not None:
            raise SettingsError(
                f"got --unit {unit} without --voxel-size, expected both; give the voxel size too, "
                f"for example --voxel-size 4,0.83,0.83{unit}"
            )
        return None, None
    parts = [_NUMBER.fullmatch(part) for part in text.split(",")]
    numbers = [part[1] for part in parts if part is not None]
    if len(parts) != 3 or len(numbers) != 3 or not all(0 < float(n) < 1e300 for n in numbers):
        raise SettingsError(
            f"got voxel size {text!r}, expected three positive numbers Z,Y,X, in a unit or not; "
            f"for example {_EXAMPLE} or --voxel-size 4.0,0.83,0.83"
        )
    units = [None if part is None or not part[2] else _named(part[2], _EXAMPLE) for part in parts]
    if units[:2] == [None, None]:
        units = [units[2]] * 3
    if None in units and units != [None] * 3:
        first_unit = next(part[2] for part in parts if part is not None and part[2])
        example = ",".join(numbers) + first_unit
        raise SettingsError(
            f"got voxel size {text!r}, some numbers with a unit and some without, expected one for "
            f"each, or one behind the last for all; for example --voxel-size {example}"
        )
    x_unit = units[2]
    if x_unit is not None and given is not None and x_unit != given:
        raise SettingsError(
            f"got voxel size {text!r} and --unit {unit}, expected one unit; leave out --unit"
        )
    if x_unit is None:
        return VoxelSize(*map(float, numbers)), given
    ratios = [METRES[str(name)] / METRES[x_unit] for name in units]
    # Exact fractions, so that 700um are exactly 0.7 mm.
    exact = [float(Fraction(n) * ratio) for n, ratio in zip(numbers, ratios, strict=True)]
    return VoxelSize(*exact), x_unit


def _named(unit: str, example: str) -> str:
    name = unit_name(unit)
    if name is None:
        raise SettingsError(
            f"got unit {unit!r}, expected a unit of length such as um, nm or mm; for "
            f"example {example}"
        )
    return name
