"""Provenance of a restored volume: which axis was coarse, and which planes were lost.

Provenance is read from files: what is not of the form that `prediction.told_exceptions` writes is
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isoslice.data.volume import Volume


def recorded_axis(restored: Volume) -> str:
    """Return the axis along which a volume was restored: Z unless its provenance says Y or X."""
    along = (restored.provenance or {}).get("along")
    return along if along in ("Y", "X") and along in restored.axes and "Z" in restored.axes else "Z"


def recorded_reasons(
    provenance: Mapping[str, Any] | None, time: int, channel: int
) -> tuple[str, ...]:
    """Return why planes of a channel were taken as lost, each reason once."""
    reasons = (provenance or {}).get("lost_because")
    each = reasons.get(f"{time}/{channel}") if isinstance(reasons, Mapping) else None
    if not isinstance(each, list | tuple):
        return ()
    return tuple(dict.fromkeys(reason for reason in each if isinstance(reason, str)))


def recorded_lost(provenance: Mapping[str, Any] | None, time: int, channel: int) -> tuple[int, ...]:
    """Return the numbers of the measured planes that were lost in a channel at a time point."""
    lost = (provenance or {}).get("lost_planes")
    planes = lost.get(f"{time}/{channel}") if isinstance(lost, Mapping) else None
    if not isinstance(planes, list | tuple):
        return ()
    return tuple(sorted(z for z in planes if type(z) is int and z > 0))
