"""Is an image one of labels? Labels are names, not amounts: between 3 and 7 there is no 5."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.subsampling import evenly_spaced

#: Planes that are looked at.
PLANES = 8
#: Share of neighbours within planes that are equal, beyond which an image holds labels; background,
#: the least value, is not counted. Images reached 0.86 (8-bit fluorescence of few grey values).
EQUAL = 0.93
#: Pairs that it takes to tell.
FEWEST = 200


def looks_like_labels(planes: NDArray[Any]) -> bool:
    """Tell whether planes (n, Y, X) hold labels: areas of one whole number each.

    Images have noise, or at least shading: few neighbours in them are exactly equal.
    """
    if planes.dtype.kind == "f":
        finite = planes[np.isfinite(planes)]
        if not finite.size or not np.array_equal(finite, np.rint(finite)):
            return False
        planes = np.nan_to_num(planes, nan=float(finite.min()))
    if planes.size == 0:
        return False
    background = planes.min()
    if background == planes.max():
        return False
    equal = counted = 0
    for one, other in ((planes[:, 1:], planes[:, :-1]), (planes[..., 1:], planes[..., :-1])):
        pairs = (one != background) & (other != background)
        counted += int(pairs.sum())
        equal += int(((one == other) & pairs).sum())
    return counted >= FEWEST and equal >= EQUAL * counted


def label_messages(planes: NDArray[Any]) -> list[str]:
    """Say which channels of planes (C, n, Y, X) hold labels; empty if none does."""
    messages = []
    some = evenly_spaced(planes.shape[1], PLANES)
    for number, channel in enumerate(planes):
        if looks_like_labels(np.stack([channel[z] for z in some])):
            where = f"channel {number}: " if len(planes) > 1 else ""
            messages.append(
                f"{where}this looks like an image of labels or a mask (areas of one value each), "
                "which must not be interpolated: restore the image it was made from, and segment "
                "the result"
            )
    return messages
