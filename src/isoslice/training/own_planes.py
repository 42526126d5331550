"""Training for the planes that will be restored, where these are known.

A network for all profiles, distances and noise shares its capacity among them. One that is trained
for a single stack sees planes like that stack's in many of its examples: rows that are known as
they are if its planes are points, and else planes as far apart, seen through its profile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from isoslice.data.output_spacing import on_planes
from isoslice.data.profile import POINT, Profile
from isoslice.data.volume import Volume
from isoslice.models.config import OwnPlanes, StoredProfile, TrainingSettings

#: Share of examples with measured planes, in place of rows that are known as they are: for planes
#: that are blurred or between output planes; and for points on them, where it costs accuracy.
MEASURED_SHARE, POINTS_SHARE = 0.7, 0.1
#: What it is where nothing is known of planes.
DEFAULT_SHARE = TrainingSettings().measured_share
#: Distances of planes, in rows, that are of use to learn from.
DISTANCES = (1.2, 32.0)
#: Relative difference of distances that count as the same.
SAME = 0.01


def for_planes(
    settings: TrainingSettings, positions: Sequence[float], profile: Profile
) -> TrainingSettings:
    """Return settings by which planes like these are learned from.

    Parameters
    ----------
    settings
        Unchanged if they have own planes already, or planes are too close or too far apart.
    positions
        Of the planes, in rows, at least two.
    profile
        Of the planes, in rows.
    """
    if settings.own_planes is not None:
        return settings
    if profile == POINT and all(float(place).is_integer() for place in positions):
        return settings.updated(measured_share=POINTS_SHARE)
    gaps = np.diff(positions)
    distance = float(np.median(gaps))
    if not DISTANCES[0] <= distance <= DISTANCES[1]:
        return settings
    even = bool(np.all(np.abs(gaps / distance - 1) < SAME))
    own = OwnPlanes(distance=distance, profile=profile, even=even)
    return settings.updated(own_planes=own, measured_share=MEASURED_SHARE)


def with_stored(
    settings: TrainingSettings, stored: StoredProfile | None, volume: Volume
) -> TrainingSettings:
    """Return settings by which planes are learned from as a model's stored profile says.

    Unchanged where that is none, planes are of several spacings, the size of pixels is unknown, or
    the share of examples with measured planes is not the default one.

    Parameters
    ----------
    settings
        With the spacing of rows that counts.
    stored
        What the model stores of the profile of its training stacks.
    volume
        One of these.
    """
    y, x = (volume.spacing.get(axis) for axis in "YX")
    if settings.measured_share != DEFAULT_SHARE:  # settled already
        return settings
    if stored is None or stored.profile is None or not y or not x:
        return settings
    if len(stored.spacings) > 1 or stored.unit != volume.unit:
        return settings
    row = math.sqrt(y * x) * settings.row_spacing
    distance = stored.spacings[0] / row
    profile = stored.profile if stored.profile == POINT else stored.profile.scaled(1 / row)
    return for_planes(settings, on_planes((0.0, distance, 2 * distance)), profile)


def that_fit(settings: TrainingSettings) -> TrainingSettings:
    """Return settings without own planes if crops have no room for two of them."""
    own = settings.own_planes
    if own is None or own.distance <= settings.crop - 2:
        return settings
    return settings.updated(own_planes=None, measured_share=DEFAULT_SHARE)
