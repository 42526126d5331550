"""Training for the planes that will be restored, where their slice profile is known.

A network for all profiles, distances and noise shares its capacity among them. One that is trained
for a single stack sees that stack's own planes in many of its examples.
"""

from __future__ import annotations

import math

from isoslice.data.profile import POINT
from isoslice.data.volume import Volume
from isoslice.models.config import OwnPlanes, StoredProfile, TrainingSettings

#: Share of examples with measured planes, in place of rows that are known as they are.
MEASURED_SHARE = 0.7
#: Distances of planes, in rows, that are of use to learn from.
DISTANCES = (1.2, 32.0)


def with_own_planes(
    settings: TrainingSettings, stored: StoredProfile | None, volume: Volume
) -> TrainingSettings:
    """Return settings by which planes are learned from as a model's stored profile says.

    Unchanged where that is none or a point, planes are of several spacings, the size of pixels is
    unknown, or crops are too small for two planes.

    Parameters
    ----------
    settings
        With the crop and the spacing of rows that count.
    stored
        What the model stores of the profile of its training stacks.
    volume
        One of these.
    """
    if settings.own_planes is not None or stored is None or stored.profile in (None, POINT):
        return settings
    assert stored.profile is not None
    y, x = (volume.spacing.get(axis) for axis in "YX")
    if not y or not x or len(stored.spacings) > 1 or stored.unit != volume.unit:
        return settings
    row = math.sqrt(y * x) * settings.row_spacing
    distance = stored.spacings[0] / row
    least, most = DISTANCES
    if not least <= distance <= min(most, settings.crop - 2):
        return settings
    own = OwnPlanes(distance=distance, profile=stored.profile.scaled(1 / row))
    return settings.updated(own_planes=own, measured_share=MEASURED_SHARE)
