"""Advice to the reader of a restored volume: what to trust, and where to doubt it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isoslice.evaluation.report.data import Advice
from isoslice.evaluation.report.planes import Planes


def advice(
    made_by: Mapping[str, Any],
    planes: Planes,
    step: float,
    unit: str,
    checked: str,
    has_doubt: bool,
) -> tuple[Advice, ...]:
    """Advise the reader of a restored volume: what to trust, and where to doubt it.

    Parameters
    ----------
    made_by
        Record of the volume.
    planes
        Its measured planes.
    step, unit
        Spacing of the output planes.
    checked
        What was found when measured planes were compared with the input's.
    has_doubt
        Whether there is an uncertainty to look at.
    """
    mean = made_by.get("mode") == "mean"
    if mean:
        invented = (
            "This is the expected volume (mode mean): of all that could lie between two planes, "
            "the average. It is the most accurate guess of every voxel, and smoother than the "
            "specimen is: missing fine detail is not proof that there is none."
        )
    else:
        invented = (
            "This is one plausible volume (mode sample), as sharp as the training images. Another "
            "seed invents other detail that fits the measured planes as well. What differs between "
            "seeds is not known from your data."
        )
    far = planes.furthest
    doubt = (
        f"Most of all halfway between measured planes, here {far} "
        f"{'plane' if far == 1 else 'planes'} or {far * step:.4g} {unit} from the nearest. "
    )
    doubt += (
        "The uncertainty volume says how far off each voxel may be; bright is doubtful. "
        if has_doubt
        else ""
    )
    doubt += (
        "The places listed beside the views are where to look first: compare all volumes there."
    )
    return (
        Advice("What is measured", _measured(planes, checked)),
        Advice("What is invented", invented),
        Advice("Where to doubt it", doubt),
        Advice(
            "When the method fails",
            f"It assumes that the specimen looks alike in all directions, and {_assumed(made_by)}, "
            "or a wrong voxel size give wrong volumes that may look right. So does a model trained "
            "on another kind of image. Compare XZ and YZ with XY: texture should look the same.",
        ),
        Advice(
            "What it is good for",
            "Looking, tracing and segmenting in three dimensions, as a start that you check "
            "against measured planes. Numbers that matter should be computed on measured planes "
            "alone, or with an error bar from several seeds.",
        ),
    )


def _measured(planes: Planes, checked: str) -> str:
    if not planes.points:
        return (
            "No plane of this volume is a measured one, unchanged: these are blurred, noisy or "
            "between output planes. Dots in the profile mark them, at the output plane next to "
            "each. The sections below tell how far the result agrees with them, and what they "
            "determine of it."
        )
    if planes.factor is None:
        return f"The planes marked by dots in the profile are your data. {checked}"
    return (
        f"Every {_ordinal(planes.factor)} plane, marked by dots in the profile, is your data. "
        f"{checked}"
    )


def _assumed(made_by: Mapping[str, Any]) -> str:
    """Say what is assumed of planes, and what else there may be."""
    profile = made_by.get("slice_profile")
    if isinstance(profile, Mapping) and profile.get("kind") != "point":
        return "planes that see along Z what the slice profile says. Layered tissue, another blur"
    return "planes that are samples, not thick slabs. Layered tissue, strong blur along Z"


def _ordinal(number: int) -> str:
    small = {
        2: "second",
        3: "third",
        4: "fourth",
        5: "fifth",
        6: "sixth",
        7: "seventh",
        8: "eighth",
    }
    return small.get(number, f"{number}th")
