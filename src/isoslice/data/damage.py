"""Damaged planes: those that are unlike both planes around, although these are alike.

A plane, or two or three in a row, is judged by the planes on both sides. These tell what it has to
look like where they agree with each other; what they cannot tell is not judged: planes at the ends,
and planes of stacks so coarse that neighbours have little in common. Thresholds were chosen on the
volumes that `benchmarks/damaged.py` calls "chosen on", and tested on the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.likeness import LAGS, Likeness
from isoslice.data.missing import Missing
from isoslice.data.survey import MISSING, Damage, PlaneIndex, Survey

FROZEN = "frozen: the same as the plane beside"
SATURATED = "saturated, unlike the planes around"
BRIGHT = "far brighter than the planes around"
DARK = "far darker than the planes around"
CONTRAST = "of another contrast than the planes around"
UNLIKE = "unlike the planes around, which are alike"
BLURRED = "blurred, unlike the planes around"
NOISY = "noisier than the planes around"

#: Fewest planes of a stack to judge by, and fewest pairs of neighbours to tell what is usual.
LEAST_PLANES, LEAST_PAIRS = 6, 8
#: Most planes in a row, and how often damage is looked for once some was found.
LONGEST, PASSES = LAGS - 1, 2
#: Added to what two planes do not have in common, so that little is not infinitely more than none.
SLACK = 0.02
#: Where more than this share of the planes seemed damaged, the stack is unlike what is judged by.
MOST_DAMAGED = 0.2
#: Content: correlation of the planes around with each other, from which they can tell; from how
#: much more a plane differs from them (a logarithm) than these from each other it is damaged or in
#: doubt, and from how many times as much as neighbours usually do.
COARSE_TELLS, COARSE_DAMAGED, COARSE_DOUBTFUL = 0.5, (0.7, 1.5), (0.5, 1.2)
FINE_TELLS, FINE_DAMAGED, FINE_DOUBTFUL = 0.4, (0.5, 2.0), (0.4, 1.5)
#: Brightness, contrast, sharpness: how alike planes must be for their content to be the same.
SAME_CONTENT, MUCH_THE_SAME, SOMEWHAT_THE_SAME = 0.8, 0.7, 0.5
#: Steps to both planes around from which a plane is damaged or in doubt, each with how many times a
#: usual step between neighbours that is. Levels are in standard deviations, the rest logarithms.
LEVEL_DAMAGED, LEVEL_DOUBTFUL = (0.3, 5.0), (0.2, 4.0)
CONTRAST_DAMAGED = 0.35, 8.0
BLUR_DAMAGED, BLUR_DOUBTFUL = (1.0, 5.0), (0.7, 4.0)
NOISE_DOUBTFUL = 0.7, 8.0
#: What is usual: nine of ten neighbours differ by less.
USUAL = 0.9
#: Share of a plane at the ceiling that is saturated, and how many times that of its neighbours.
SATURATED_SHARE, SATURATED_TIMES = 0.05, 10.0
#: Change from plane to plane over that nearby, of a plane that is frozen but for noise; neighbours
#: of which so many voxels are equal tell nothing (masks, labels, objects in an empty field).
FROZEN_DAMAGED, FROZEN_DOUBTFUL, MOSTLY_EQUAL = 0.05, 0.1, 0.9
#: How many times as much the stack changes before equal planes as after, if the first is wrong.
WIDER = 1.5


@dataclass(frozen=True)
class _Channel:
    """One channel at a time point: see `Likeness`, of whose arrays these are the rows.

    `sound` tells of which planes the change from the one before is usual, as far as is known.
    """

    level: NDArray[np.float64]
    contrast: NDArray[np.float64]
    detail: NDArray[np.float64]
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64]
    same: NDArray[np.float64]
    change: NDArray[np.float64]
    saturated: NDArray[np.float64]
    sound: NDArray[np.bool_]

    def near(self, first: int, last: int, lags: NDArray[np.float64]) -> float:
        """Return how like the planes around the most unlike one of a run is."""
        run = np.arange(first, last + 1)
        return float(np.fmax(lags[run, run - first], lags[last + 1, last - run]).min())

    def is_unlike(
        self, first: int, last: int, lags: NDArray[np.float64], least: tuple[float, float]
    ) -> bool:
        """Tell whether a run differs from the planes around by that much more than these do.

        At both edges that is also more than neighbours usually differ: what is alike in planes far
        apart may change in between, but step by step.
        """
        far = lags[last + 1, last + 1 - first]
        more = np.log((1 - self.near(first, last, lags) + SLACK) / (1 - far + SLACK))
        if not more >= least[0]:
            return False
        edges = 1 - lags[[first, last + 1], 0]
        return bool(edges.min() >= least[1] * self.usual(1 - lags[:, 0], first, last))

    def step(
        self, first: int, last: int, values: NDArray[np.float64], least: tuple[float, float]
    ) -> int:
        """Tell whether a run is far above (1) or below (-1) both planes around; else 0."""
        steps = values[first : last + 1, None] - values[[first - 1, last + 1]]
        size = float(np.abs(steps).min())
        if not size >= least[0] or not (np.all(steps > 0) or np.all(steps < 0)):
            return 0
        changes = np.abs(np.diff(values, prepend=np.nan))
        if not size >= least[1] * self.usual(changes, first, last):
            return 0
        return 1 if steps.flat[0] > 0 else -1

    def usual(self, changes: NDArray[np.float64], first: int, last: int) -> float:
        """Return what nine of ten changes from the plane before do not exceed, a run left out.

        Infinite where too few are known.
        """
        others = np.where(self.sound, changes, np.nan)
        others[first : last + 2] = np.nan
        others = others[np.isfinite(others)]
        return float(np.quantile(others, USUAL)) if len(others) >= LEAST_PAIRS else np.inf


def find_damage(surveyed: Survey, likeness: Likeness, missing: Missing) -> Damage:
    """Collect planes that were said to be missing, and find damaged ones between others.

    Parameters
    ----------
    surveyed
        Statistics of whole planes.
    likeness
        How planes look beside their neighbours.
    missing
        What was said.
    """
    times, channels, count = surveyed.least.shape
    certain: dict[PlaneIndex, str] = {}
    doubtful: dict[PlaneIndex, str] = {}
    for t, c in np.ndindex(times, channels):
        if missing.find and count >= LEAST_PLANES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # all unknown: nothing is found
                channel = _channel(surveyed, likeness, t, c)
                for first, last, reason, sure in _runs(channel, count):
                    told = dict.fromkeys(((t, c, z) for z in range(first, last + 1)), reason)
                    (certain if sure else doubtful).update(told)
        certain.update(dict.fromkeys(((t, c, z) for z in missing.planes if z < count), MISSING))
    doubtful = {index: reason for index, reason in doubtful.items() if index not in certain}
    return Damage(certain, doubtful, blank=missing.find)


def _channel(surveyed: Survey, likeness: Likeness, t: int, c: int) -> _Channel:
    blank = surveyed.blank[t, c]
    spread = np.where(blank, np.nan, likeness.spread[t, c])
    ceiling = np.nanmax(surveyed.most[t, c]) if surveyed.finite[t, c].any() else np.nan
    at_ceiling = np.where(surveyed.most[t, c] == ceiling, surveyed.at_most[t, c], 0)
    positive = np.where(likeness.detail[t, c] > 0, likeness.detail[t, c], np.nan)
    return _Channel(
        level=np.where(blank, np.nan, likeness.level[t, c]) / np.nanmedian(spread),
        contrast=np.log(np.where(spread > 0, spread, np.nan)),
        detail=np.log(positive),
        coarse=likeness.coarse[t, c],
        fine=likeness.fine[t, c],
        same=likeness.same[t, c],
        change=np.where(blank | np.roll(blank, 1), np.nan, likeness.change[t, c]),
        saturated=at_ceiling / np.maximum(surveyed.count[t, c], 1),
        sound=np.ones(len(blank), np.bool_),
    )


def _runs(channel: _Channel, count: int) -> Iterator[tuple[int, int, str, bool]]:
    """Yield the first and last plane of what is damaged or in doubt, why, and whether sure."""
    judged: set[int] = set()
    found: list[tuple[int, int, str, bool]] = []

    def add(first: int, last: int, reason: str, sure: bool) -> None:
        found.append((first, last, reason, sure))
        judged.update(range(first, last + 1))
        channel.sound[first : last + 2] = False

    for first, last, sure in _frozen(channel, count):
        add(first, last, FROZEN, sure)
    # What is certain first, and again, since what is damaged hides what is usual: then doubts.
    for sure in (*(True,) * PASSES, False):
        for length in range(1, LONGEST + 1):
            for first in range(1, count - length):
                last = first + length - 1
                if judged & set(range(first - 1, last + 2)):
                    continue
                reason = _judge(channel, first, last, sure)
                if reason is not None:
                    add(first, last, reason, sure)
    many = sum(last + 1 - first for first, last, _, sure in found if sure) > MOST_DAMAGED * count
    yield from ((first, last, why, sure and not many) for first, last, why, sure in found)


def _frozen(channel: _Channel, count: int) -> Iterator[tuple[int, int, bool]]:
    """Yield the first and last plane of runs that repeat the one beside, and whether it is sure.

    A camera repeats what it saw before: the later planes are wrong, unless the step before all of
    them is wider than the one after, as where planes that were not recorded come first.
    """
    z = 1
    while z < count - 1:
        first, z = z, z + 1
        if channel.same[first] == 1:
            while z < count and channel.same[z] == 1:
                z += 1
        last = z - 1
        around = [step for step in (first - 1, last + 1) if 1 <= step < count]
        if not (last < count - 1 and np.all(channel.same[around] < MOSTLY_EQUAL)):
            continue
        share = channel.change[first] / _least_change(channel.change, first, last)
        if not share < FROZEN_DOUBTFUL:
            continue
        before = channel.change[first - 1] if first > 1 else 0.0
        later = before < WIDER * channel.change[last + 1]
        wrong = (first, last) if later else (first - 1, last - 1)
        if wrong[0] > 0:
            yield *wrong, bool(share < FROZEN_DAMAGED)


def _least_change(changes: NDArray[np.float64], first: int, last: int) -> float:
    """Return the least of the three changes before a run's and the three after; else not a number.

    Of three, since beside a damaged plane changes are large.
    """
    nearby = np.concatenate([changes[max(1, first - 3) : first], changes[last + 1 : last + 4]])
    known = nearby[nearby > 0]
    return float(known.min()) if len(known) == len(nearby) >= 4 else np.nan


def _judge(channel: _Channel, first: int, last: int, sure: bool) -> str | None:
    """Say what is wrong with the planes from `first` to `last`; None if nothing is."""
    run = first, last
    far = channel.coarse[last + 1, last + 1 - first]
    told = bool(far >= COARSE_TELLS)
    coarse, fine = (COARSE_DAMAGED, FINE_DAMAGED) if sure else (COARSE_DOUBTFUL, FINE_DOUBTFUL)
    saturates = _saturates(channel, first, last)
    if told and channel.is_unlike(*run, channel.coarse, coarse):
        return SATURATED if saturates else UNLIKE
    fine_tells = channel.fine[last + 1, last + 1 - first] >= FINE_TELLS
    if fine_tells and channel.is_unlike(*run, channel.fine, fine):
        return UNLIKE
    if not told:
        return None
    near = channel.near(*run, channel.coarse)
    if near >= (SOMEWHAT_THE_SAME if saturates else SAME_CONTENT):
        up = channel.step(*run, channel.level, LEVEL_DAMAGED if sure else LEVEL_DOUBTFUL)
        if up:
            return SATURATED if saturates else BRIGHT if up > 0 else DARK
        if sure and channel.step(*run, channel.contrast, CONTRAST_DAMAGED):
            return CONTRAST
    if min(near, far) >= MUCH_THE_SAME:
        if channel.step(*run, channel.detail, BLUR_DAMAGED if sure else BLUR_DOUBTFUL) < 0:
            return BLURRED
        if not sure and channel.step(*run, channel.detail, NOISE_DOUBTFUL) > 0:
            return NOISY
    return None


def _saturates(channel: _Channel, first: int, last: int) -> bool:
    shares = channel.saturated[first : last + 1]
    around = max(channel.saturated[first - 1], channel.saturated[last + 1])
    return bool(np.all(shares >= max(SATURATED_SHARE, SATURATED_TIMES * around)))
