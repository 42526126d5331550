"""Blur along Z from optics, against the field's own numbers; what metadata state of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from isoslice.data.metadata import Metadata, Optics
from isoslice.data.optics import excess_fwhm, stated_message, stated_profile
from isoslice.data.profile import parse_profile
from isoslice.data.volume import Volume

OIL = Optics(1.4, 1.515, (520.0,), "widefield")


def stack(metadata, unit="micrometer", **changes):
    spacing = {"Z": 0.5, "Y": 0.1, "X": 0.1}
    return Volume(np.zeros((3, 4, 5), np.uint8), "ZYX", spacing, unit, metadata=metadata, **changes)


@pytest.mark.parametrize("microscope", ["widefield", "confocal"])
def test_at_low_apertures_the_familiar_paraxial_width(microscope):
    """1.77 n wavelengths over NA squared, 1.28 with a closed pinhole, less 0.51 or 0.37 in XY."""
    for aperture in (0.05, 0.1, 0.2):
        axial = {"widefield": 1.76, "confocal": 1.28}[microscope] * 1.33 * 0.5 / aperture**2
        lateral = {"widefield": 0.51, "confocal": 0.37}[microscope] * 0.5 / aperture
        found = excess_fwhm(microscope, aperture, 1.33, 0.5)
        assert found == pytest.approx(math.sqrt(axial**2 - lateral**2), rel=0.01)


def test_an_oil_objective():
    """Of 1.4/1.515 at 520 nm: 489 nm along Z, 189 nm in XY; a closed pinhole takes 27% off."""
    assert excess_fwhm("widefield", 1.4, 1.515, 520) == pytest.approx(
        math.sqrt(488.9**2 - 189.4**2), abs=0.2
    )
    assert excess_fwhm("confocal", 1.4, 1.515, 520) < excess_fwhm("widefield", 1.4, 1.515, 520)


def test_stated_optics():
    volume = stack(Metadata(optics=OIL))
    kind, width = parse_profile(stated_profile(volume))
    assert kind == "gaussian"
    assert width == pytest.approx(excess_fwhm("widefield", 1.4, 1.515, 0.52), rel=0.005)
    assert "1.4, refractive index 1.515, 520 nm, widefield" in stated_message(volume)
    assert stated_message(volume).endswith(f": --slice-profile {stated_profile(volume)}")
    nanometres = replace(
        volume, unit="nanometer", spacing={a: 1000 * s for a, s in volume.spacing.items()}
    )
    assert parse_profile(stated_profile(nanometres))[1] == pytest.approx(1000 * width, rel=0.005)
    several = Optics(1.4, 1.515, (None, 700.0, 520.0), "widefield")
    assert stated_profile(stack(Metadata(optics=several))) == stated_profile(volume)
    unknown = stack(Metadata(optics=replace(OIL, microscope=None)))
    assert stated_profile(unknown) == stated_profile(
        stack(Metadata(optics=replace(OIL, microscope="confocal")))
    )
    assert "taken for confocal" in stated_message(unknown)


@pytest.mark.parametrize(
    "optics",
    [
        replace(OIL, numerical_aperture=None),
        replace(OIL, refractive_index=None),
        replace(OIL, emission=None),
        replace(OIL, emission=(None,)),
        replace(OIL, numerical_aperture=1.6),  # beyond the medium
        replace(OIL, microscope="other"),
        None,
    ],
)
def test_too_little_is_known(optics):
    volume = stack(Metadata(optics=optics))
    assert stated_profile(volume) is None
    assert stated_message(volume) is None


def test_stated_thickness():
    thick = Metadata(slice_thickness=5.0, optics=OIL)
    volume = replace(stack(thick), unit="millimeter", spacing={"Z": 4.0, "Y": 0.5, "X": 0.5})
    assert stated_profile(volume) == "slab:5"
    assert stated_message(volume) == ("planes are stated to be 5 mm thick: --slice-profile slab:5")
    thin = replace(volume, metadata=Metadata(slice_thickness=0.4))
    assert stated_profile(thin) is None  # finer than pixels


def test_restored_volumes_state_nothing():
    volume = stack(Metadata(optics=OIL), provenance={"factor": 4})
    assert stated_profile(volume) is None
    assert Metadata(slice_thickness=5.0).refined("Z", 4).slice_thickness is None
    assert Metadata(slice_thickness=5.0).refined("X", 4).slice_thickness == 5.0


def test_metadata_through_changes():
    metadata = Metadata(slice_thickness=5.0, optics=replace(OIL, emission=(500.0, 600.0, None)))
    assert metadata.in_unit(1000).slice_thickness == 5000
    assert metadata.of_channels([2, 0]).optics.emission == (None, 500.0)
    assert metadata.of_channels([3]).optics.emission is None
    assert metadata.with_channels(3) == metadata
    assert metadata.with_channels(2).optics == replace(OIL, emission=None)
    assert metadata.renamed({"Z": "X", "X": "Z"}).slice_thickness is None
    assert metadata.renamed({"Y": "X", "X": "Y"}).slice_thickness == 5.0
