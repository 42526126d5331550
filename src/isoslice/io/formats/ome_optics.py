"""Optics in OME's model: numerical aperture, refractive index, wavelengths, kind of microscope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from isoslice.data.metadata import Microscope, Optics
from isoslice.data.units import convert, unit_name
from isoslice.io.formats.text_numbers import positive

#: Refractive index of immersion media by OME's names, where none is stated.
IMMERSION = {"Oil": 1.515, "Water": 1.333, "WaterDipping": 1.333, "Air": 1.0, "Glycerol": 1.45}
#: Values of AcquisitionMode whose blur is known.
_MODES: dict[str, Microscope] = {
    "WideField": "widefield",
    "LaserScanningConfocalMicroscopy": "confocal",
    "SpinningDiskConfocal": "confocal",
    "SlitScanConfocal": "confocal",
}


def optics_of(
    aperture: object,
    index: object,
    immersion: object,
    emission: Sequence[float | None],
    modes: Sequence[object],
) -> Optics | None:
    """Gather what is known, or return None of nothing.

    Parameters
    ----------
    aperture, index, immersion
        Numerical aperture, refractive index and immersion of the objective.
    emission
        Of each channel, in nanometres.
    modes
        OME's AcquisitionMode of each channel.
    """
    stated = {str(mode) for mode in modes if mode}
    kinds = {_MODES.get(mode, "other") for mode in stated}
    known = Optics(
        positive(aperture),
        positive(index) or IMMERSION.get(str(immersion)),
        tuple(emission) if any(emission) else None,
        kinds.pop() if len(kinds) == 1 else "other" if kinds else None,
    )
    return None if known == Optics() else known


def optics_of_xml(
    root: ElementTree.Element, image: ElementTree.Element, channels: Sequence[ElementTree.Element]
) -> Optics | None:
    """Return the optics of an image in OME-XML."""
    settings = image.find("{*}ObjectiveSettings")
    wanted = None if settings is None else settings.get("ID")
    objectives = [o for o in root.iterfind("{*}Instrument/{*}Objective") if o.get("ID") == wanted]
    objective = objectives[0] if wanted and objectives else None
    return optics_of(
        None if objective is None else objective.get("LensNA"),
        None if settings is None else settings.get("RefractiveIndex"),
        None if objective is None else objective.get("Immersion"),
        [
            _nanometres(c.get("EmissionWavelength"), c.get("EmissionWavelengthUnit", "nm"))
            for c in channels
        ],
        [c.get("AcquisitionMode") for c in channels],
    )


def optics_of_types(ome: Any, scene: int) -> Optics | None:
    """Return the optics of an image as `ome_types` has it, which bioio's plugins give."""
    image = ome.images[scene]
    settings, channels = image.objective_settings, image.pixels.channels
    objective = None
    if settings is not None:
        objectives = [o for each in ome.instruments for o in each.objectives]
        objective = next((o for o in objectives if o.id == settings.id), None)
    return optics_of(
        None if objective is None else objective.lens_na,
        None if settings is None else settings.refractive_index,
        None if objective is None else _value(objective.immersion),
        [_nanometres(c.emission_wavelength, _value(c.emission_wavelength_unit)) for c in channels],
        [_value(c.acquisition_mode) for c in channels],
    )


def _value(choice: Any) -> Any:
    return getattr(choice, "value", choice)


def _nanometres(length: object, unit: object) -> float | None:
    stated, name = positive(length), unit_name(unit)
    return None if stated is None or name is None else convert(stated, name, "nanometer")
