"""Provenance of a restored volume: its coarse axis, lost planes, and how planes were measured.

Provenance is read from files: what is not of the form that `inference.prediction` writes is
ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from isoslice.data.grid import PlaneGrid, check_factor, even_grid
from isoslice.data.volume import Volume
from isoslice.errors import DataError

Record = Mapping[str, Any] | None
#: Deviation of normalised intensities below which there is no noise to compare with.
NO_NOISE = 1e-6
#: Squared differences, in variances of the noise, above which a volume disagrees with its planes.
DISAGREES = 2.0


def recorded_axis(restored: Volume) -> str:
    """Return the axis along which a volume was restored: Z unless its provenance says Y or X."""
    along = (restored.provenance or {}).get("along")
    return along if along in ("Y", "X") and along in restored.axes and "Z" in restored.axes else "Z"


def recorded_reasons(provenance: Record, time: int, channel: int) -> tuple[str, ...]:
    """Return why planes of a channel were taken as lost, each reason once."""
    reasons = (provenance or {}).get("lost_because")
    each = reasons.get(f"{time}/{channel}") if isinstance(reasons, Mapping) else None
    if not isinstance(each, list | tuple):
        return ()
    return tuple(dict.fromkeys(reason for reason in each if isinstance(reason, str)))


def recorded_lost(provenance: Record, time: int, channel: int) -> tuple[int, ...]:
    """Return the numbers of the measured planes that were lost in a channel at a time point."""
    lost = (provenance or {}).get("lost_planes")
    planes = lost.get(f"{time}/{channel}") if isinstance(lost, Mapping) else None
    if not isinstance(planes, list | tuple):
        return ()
    return tuple(sorted(z for z in planes if type(z) is int and z > 0))


def recorded_positions(provenance: Record) -> tuple[float, ...] | None:
    """Return where measured planes lie, in output planes; None where they are evenly spaced."""
    places = (provenance or {}).get("positions")
    if not isinstance(places, list | tuple) or len(places) < 2:
        return None
    if not all(type(z) in (int, float) and math.isfinite(z) for z in places):
        return None
    rising = all(a < b for a, b in pairwise(places))
    return tuple(map(float, places)) if rising and 0 <= places[0] < 1 else None


def recorded_grid(provenance: Record, planes: int) -> PlaneGrid:
    """Return where the measured planes of a stack lie among the output planes made of it.

    Parameters
    ----------
    provenance
        Of the restored volume; it says the factor.
    planes
        Number of planes of the stack.

    Raises
    ------
    DataError
        If the volume was made from another number of planes.
    """
    places = recorded_positions(provenance)
    if places is None:
        return even_grid(planes, check_factor((provenance or {})["factor"]))
    if len(places) != planes:
        raise DataError(
            f"got a stack of {planes} planes and a volume restored from {len(places)}, expected as "
            "many; give the stack that it was made from"
        )
    return PlaneGrid(places)


def are_points(provenance: Record) -> bool:
    """Whether measured planes are output planes, unchanged: not blurred, noisy or between them."""
    made = provenance or {}
    whole = all(z.is_integer() for z in recorded_positions(made) or ())
    return whole and "slice_profile" not in made


@dataclass(frozen=True)
class Agreement:
    """How far a volume, seen as its planes were measured, differs from them, in one channel.

    Attributes
    ----------
    planes
        Their numbers in the stack.
    chi_squared
        Of each, the mean squared difference over the noise's variance.
    """

    planes: tuple[int, ...]
    chi_squared: tuple[float, ...]


def recorded_agreement(
    provenance: Record, time: int, channel: int, channels: int, planes: int
) -> Agreement | None:
    """Return how far a channel of a volume agrees with its planes; None if they are points.

    Parameters
    ----------
    provenance
        Of the restored volume.
    time, channel
        Which of them.
    channels, planes
        How many channels it has, and planes the stack.
    """
    found = _of_channel(provenance, "chi_squared_of_planes", time * channels + channel)
    if found is None or not _has_noise(provenance, channel):
        return None
    lost = [set(recorded_lost(provenance, time, c)) for c in range(channels)]
    # Channels that are restored together do without a plane that one of them lost.
    for without in (lost[channel], set().union(*lost)):
        kept = tuple(z for z in range(planes) if z not in without)
        if len(kept) == len(found):
            return Agreement(kept, found)
    return None


def recorded_share(
    provenance: Record, time: int, channel: int, channels: int, depth: int
) -> tuple[float, ...] | None:
    """Return which share of each output plane was measured: `measurement.measured_share`.

    None where it is not recorded, as of points.
    """
    found = _of_channel(provenance, "measured_share", time * channels + channel)
    return found if found is not None and len(found) == depth else None


def agreement_messages(provenance: Record) -> tuple[str | None, str | None]:
    """Say how far a volume agrees with planes that are no points, and warn if it does not."""
    frames = _profile_record(provenance).get("chi_squared")
    if not isinstance(frames, list | tuple):
        return None, None
    values = [x for frame in frames if isinstance(frame, list | tuple) for x in frame]
    noise = _noise(provenance)
    known = [x for i, x in enumerate(values) if _is_number(x) and noise[i % len(noise)] > NO_NOISE]
    if not known:
        return None, None
    blurred = _profile_record(provenance).get("kind") != "point"
    seen = "seen through the slice profile, the result" if blurred else "the result"
    mean, most = sum(known) / len(known), max(known)
    told = f"{seen} differs from the measured planes by {mean:.2g} of their noise's variance"
    if most <= DISAGREES:
        return told, None
    cause = "the slice profile may be another, or planes are" if blurred else "planes may be"
    return told, (
        f"{seen} differs from the measured planes by {most:.3g} times the variance of their noise, "
        f"expected about 1 or less: {cause} damaged; a report shows which planes (--report)"
    )


def _profile_record(provenance: Record) -> Mapping[str, Any]:
    record = (provenance or {}).get("slice_profile")
    return record if isinstance(record, Mapping) else {}


def _of_channel(provenance: Record, name: str, index: int) -> tuple[float, ...] | None:
    """Return the numbers that are recorded of a channel, counted over all frames."""
    frames = _profile_record(provenance).get(name)
    if not isinstance(frames, list | tuple):
        return None
    channels = [each for frame in frames if isinstance(frame, list | tuple) for each in frame]
    found = channels[index] if index < len(channels) else None
    if not isinstance(found, list | tuple) or not found or not all(map(_is_number, found)):
        return None
    return tuple(map(float, found))


def _noise(provenance: Record) -> list[float]:
    noise = _profile_record(provenance).get("noise")
    known = noise if isinstance(noise, list | tuple) else []
    return [float(x) for x in known if _is_number(x)] or [0.0]


def _has_noise(provenance: Record, channel: int) -> bool:
    noise = _noise(provenance)
    return noise[channel % len(noise)] > NO_NOISE


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
