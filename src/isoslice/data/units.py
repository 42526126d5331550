"""Units of length: their spellings, OME's names for them, and conversion."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

#: Metres in one unit, by OME's full name; exact, so that 250 nm are exactly 0.25 µm.
METRES: Mapping[str, Fraction] = {
    "angstrom": Fraction("1e-10"),
    "picometer": Fraction("1e-12"),
    "nanometer": Fraction("1e-9"),
    "micrometer": Fraction("1e-6"),
    "millimeter": Fraction("1e-3"),
    "centimeter": Fraction("1e-2"),
    "decimeter": Fraction("1e-1"),
    "meter": Fraction(1),
    "kilometer": Fraction(1000),
    "inch": Fraction("0.0254"),
    "foot": Fraction("0.3048"),
}
#: Short symbol of each unit, as OME-XML spells it.
SYMBOLS: Mapping[str, str] = {
    "angstrom": "Å",
    "picometer": "pm",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "decimeter": "dm",
    "meter": "m",
    "kilometer": "km",
    "inch": "in",
    "foot": "ft",
}
_SPELLINGS: Mapping[str, str] = {
    **{symbol.lower(): name for name, symbol in SYMBOLS.items()},
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "micrometre": "micrometer",
    "\\u00b5m": "micrometer",  # ImageJ writes the escape itself
    "\\u03bcm": "micrometer",
    "\u00b5m": "micrometer",
    "\u03bcm": "micrometer",
    "nanometre": "nanometer",
    "millimetre": "millimeter",
    "centimetre": "centimeter",
    "metre": "meter",
    "å": "angstrom",
    "\u212b": "angstrom",
    '"': "inch",
}


def unit_name(text: object) -> str | None:
    """Return OME's name of a unit of length, or None for pixels and anything else."""
    key = str(text).strip().lower() if text else ""
    name = _SPELLINGS.get(key, key)
    if name not in METRES and name.endswith("s"):
        name = name[:-1]
    return name if name in METRES else None


def convert(value: float, unit: str, into: str) -> float:
    """Convert `value` from one unit of length to another, both by OME's name."""
    ratio = METRES[unit] / METRES[into]
    return value * ratio.numerator / ratio.denominator


def common_unit(
    spacing: Mapping[str, float], units: Mapping[str, str]
) -> tuple[dict[str, float], str | None]:
    """Convert spacings with a unit per axis to one unit, that of X where it has one.

    Parameters
    ----------
    spacing
        Spacing by axis.
    units
        OME's unit name by axis; axes without a known unit are left out.

    Returns
    -------
    tuple
        The spacing by axis, and its unit (None where no axis has one).
    """
    unit = next((units[axis] for axis in "XYZ" if axis in units and axis in spacing), None)
    if unit is None:
        return dict(spacing), None
    steps = {a: convert(step, units.get(a, unit), unit) for a, step in spacing.items()}
    return steps, unit
