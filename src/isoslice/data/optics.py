"""What a stack's own metadata state of the blur along Z: slice thickness, or optics.

Nothing takes these for the slice profile by itself: they are told, with the option that would.
"""

from __future__ import annotations

import math
from typing import Literal

from isoslice.data.metadata import Optics
from isoslice.data.units import METRES, SYMBOLS, convert
from isoslice.data.volume import Volume

#: Full widths at half maximum of a point's image, in wavelengths: along Z over
#: n - sqrt(n^2 - NA^2), in XY over NA. Of the light's own image (a widefield microscope, or a
#: confocal one with its pinhole open), and of the product of two (the pinhole closed): S. Wilhelm,
#: B. Groebler, M. Gluch, H. Heinz, "Confocal Laser Scanning Microscopy: Principles", Carl Zeiss.
#: With NA << n the first is the familiar 1.77 n wavelengths over NA^2.
AXIAL = {"widefield": 0.88, "confocal": 0.64}
LATERAL = {"widefield": 0.51, "confocal": 0.37}


def excess_fwhm(
    microscope: Literal["widefield", "confocal"],
    numerical_aperture: float,
    refractive_index: float,
    wavelength: float,
) -> float:
    """Return the width of a microscope's blur along Z in excess of that in XY.

    Widths of Gaussians one after the other add in squares, so that the excess is the root of the
    difference of squares. Of a confocal microscope it is that of a small pinhole and of the light
    that is emitted alone, the least there can be but for a few percent; real ones, with pinholes
    of one Airy disk, lie between both.

    Parameters
    ----------
    microscope
        Its kind.
    numerical_aperture, refractive_index
        Of the objective and of the medium; the first is the smaller one.
    wavelength
        Of the light that is emitted; the width is in its unit.

    Returns
    -------
    The full width at half maximum.
    """
    depth = refractive_index - math.sqrt(refractive_index**2 - numerical_aperture**2)
    axial = AXIAL[microscope] * wavelength / depth
    lateral = LATERAL[microscope] * wavelength / numerical_aperture
    return math.sqrt(max(axial**2 - lateral**2, 0.0))


def stated_profile(volume: Volume) -> str | None:
    """Return the slice profile that a stack's metadata state, as ``--slice-profile`` takes it.

    ``slab:THICKNESS`` of a slice thickness, ``gaussian:FWHM`` of optics, in the unit of the
    spacing; of several channels that of the shortest wavelength, and of an unknown kind of
    microscope that of a confocal one: a width that is too small does no harm, one that is too
    large does. None where too little is known, of blur finer than the pixels in XY, and of volumes
    that were restored.
    """
    found = _stated(volume)
    return None if found is None else found[0]


def stated_message(volume: Volume) -> str | None:
    """Tell what a stack's metadata state of its planes' blur, and the option for it; or None."""
    found = _stated(volume)
    return None if found is None else f"{found[1]}: --slice-profile {found[0]}"


def _stated(volume: Volume) -> tuple[str, str] | None:
    if volume.provenance is not None or volume.size("Z") < 2:
        return None
    unit = SYMBOLS.get(str(volume.unit), volume.unit or "")
    thickness, optics = volume.metadata.slice_thickness, volume.metadata.optics
    finest = min((volume.spacing[axis] for axis in "YX" if axis in volume.spacing), default=0.0)
    if thickness is not None:
        text = f"slab:{thickness:.4g}"
        told = f"planes are stated to be {thickness:.4g} {unit}".rstrip() + " thick"
        return (text, told) if thickness > finest else None
    if optics is None or volume.unit is None or volume.unit not in METRES:
        return None
    width = _width(optics, volume.unit)
    if width is None or width <= finest:
        return None
    kind = optics.microscope or "of a kind that is not stated, taken for confocal"
    return f"gaussian:{width:.3g}", (
        f"the optics stated (numerical aperture {optics.numerical_aperture:g}, refractive index "
        f"{optics.refractive_index:g}, {min(filter(None, optics.emission or ())):.4g} nm, {kind}) "
        f"blur along Z by {width:.3g} {unit} more than in XY"
    )


def _width(optics: Optics, unit: str) -> float | None:
    aperture, index = optics.numerical_aperture, optics.refractive_index
    waves = [wave for wave in optics.emission or () if wave is not None]
    kind = optics.microscope or "confocal"
    if aperture is None or index is None or not waves or kind == "other":
        return None
    if not 0 < aperture < index:
        return None
    return convert(excess_fwhm(kind, aperture, index, min(waves)), "nanometer", unit)
