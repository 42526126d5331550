"""Detection of label images, which must not be interpolated: between labels 3 and 7 lies no 5."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.noise_range import pieces
from isoslice.data.subsampling import evenly_spaced

#: Number of planes per channel that are tested.
LABEL_TEST_PLANES = 8
#: Share of equal neighbours within planes from which an image counts as labels; the background
#: (the smallest value) is left out. Images reached 0.86 (8-bit fluorescence of few grey values).
MIN_EQUAL_SHARE = 0.93
#: Pairs of neighbours that a decision takes.
MIN_PAIRS = 200


def looks_like_labels(planes: NDArray[Any]) -> bool:
    """Tell whether planes (n, Y, X) hold labels: areas of one integer each.

    Images have noise, or at least shading: few of their neighbouring voxels are exactly equal.
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
    return counted >= MIN_PAIRS and equal >= MIN_EQUAL_SHARE * counted


def label_messages(planes: NDArray[Any]) -> list[str]:
    """List messages on the channels of planes (C, n, Y, X) that hold labels.

    Some of the planes are looked at, and pieces of large ones.
    """
    messages = []
    some = evenly_spaced(planes.shape[1], LABEL_TEST_PLANES)
    rows, columns = (np.r_[tuple(pieces(side))] for side in planes.shape[2:])
    for number, channel in enumerate(planes):
        if looks_like_labels(np.stack([channel[z][np.ix_(rows, columns)] for z in some])):
            where = f"channel {number}: " if len(planes) > 1 else ""
            messages.append(
                f"{where}this looks like an image of labels or a mask (areas of one value each), "
                "which must not be interpolated: restore the image it was made from, and segment "
                "the result"
            )
    return messages
