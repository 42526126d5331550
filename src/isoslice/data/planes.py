"""2D training data: the planes of images and stacks, training and held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isoslice.data.missing import FOUND, NONE_MISSING, Missing
from isoslice.data.normalization import (
    Normalization,
    measure_stack,
    percentile_normalization,
)
from isoslice.data.survey import lost_planes, planes_of
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.runtime.progress import Progress

#: Side of the smallest planes to train on, in pixels; smaller ones hold no context.
MIN_PLANE_SIDE = 32
#: Ratio that matters, of the spacing of restored planes to that of the rows of a training.
OTHER_ROWS = 1.4


@dataclass(frozen=True)
class PlaneStack:
    """Planes of one size and one intensity scale, in their file's voxel type.

    Attributes
    ----------
    data
        Shape (N, C, H, W).
    normalization
        Of these planes' intensities.
    weight
        How often crops of it are drawn, relative to others; by default as often as it has pixels.
    numbers
        Number of each plane in its stack, (N,), if some were left out; all time points are
        counted, one after the other.
    """

    data: NDArray[Any]
    normalization: Normalization
    weight: float | None = None
    numbers: NDArray[np.intp] | None = None

    @property
    def draw_weight(self) -> float:
        """How often crops of it are drawn, relative to others."""
        return float(self.data[:, 0].size) if self.weight is None else self.weight


#: Planes to train on, and planes held out.
SplitPlanes: TypeAlias = tuple[Sequence[PlaneStack], Sequence[PlaneStack]]


def plane_stacks(
    volumes: Sequence[Volume],
    intensities: tuple[float, float] | None = None,
    missing: Missing = FOUND,
    progress: Progress | None = None,
) -> list[PlaneStack]:
    """Collect the XY planes of images and stacks, with their normalisation.

    Each stack (or time series) is normalised by itself, as in prediction; single images are
    normalised together, so that a dark image stays dark among bright ones. With `intensities`, that
    pair becomes 0 and 1 instead, in all channels of all images. Blank, damaged and missing planes
    teach nothing, and are left out.

    Raises
    ------
    DataError
        If there are no images, they differ in their number of channels, or one is too small, not
        finite or constant, or nothing is left of it.
    SettingsError
        If planes are named as missing of several stacks, or there are none of these numbers.
    """
    if not volumes:
        raise DataError("got no images to train on, expected at least one")
    channels = volumes[0].size("C")
    for volume in volumes:
        if volume.size("C") != channels:
            raise DataError(
                f"{volume.source}: got {volume.size('C')} channels, expected {channels} as in "
                f"{volumes[0].source}; train on images with the same channels"
            )
        if min(volume.size("Y"), volume.size("X")) < MIN_PLANE_SIDE:
            raise DataError(
                f"{volume.source}: got planes of {volume.size('Y')} x {volume.size('X')} pixels, "
                f"expected at least {MIN_PLANE_SIDE} x {MIN_PLANE_SIDE} to learn from"
            )
    views = [volume.tczyx() for volume in volumes]
    is_stack = [view.shape[0] * view.shape[2] > 1 for view in views]
    if missing.planes and len(volumes) > 1:
        raise SettingsError(
            f"got missing planes {missing} for {len(volumes)} images, expected one stack, of which "
            "they are; train on that alone, or leave them to be found"
        )
    pooled = None
    if intensities is None and not all(is_stack):
        singles = [
            v[0].reshape(channels, -1) for v, s in zip(views, is_stack, strict=True) if not s
        ]
        source = next(v.source for v, s in zip(volumes, is_stack, strict=True) if not s)
        pooled = percentile_normalization(np.concatenate(singles, axis=1), source)
    stacks = []
    for volume, view, stack in zip(volumes, views, is_stack, strict=True):
        normalization, numbers = pooled, None
        planes = view.swapaxes(1, 2).reshape(-1, *view.shape[1:2], *view.shape[3:])
        if stack or intensities is not None:
            told = missing if view.shape[2] > 1 else NONE_MISSING
            told.check(view.shape[2], volume.source, restored=False)
            normalization, surveyed = measure_stack(
                view, volume.source, intensities, told, progress
            )
            # Nor do planes teach anything that were lost in one channel.
            useless = np.asarray(surveyed.blank.all(axis=1))
            for t, of_channels in enumerate(lost_planes(surveyed, planes_of(view))):
                useless[t, [z for numbers in of_channels for z in numbers]] = True
            filled = ~useless.ravel()
            if told.planes and not filled.any():
                raise DataError(
                    f"{volume.source}: got no plane that is neither missing nor blank, expected "
                    "some to learn from; name fewer as missing"
                )
            if filled.any() and not filled.all():
                numbers = np.flatnonzero(filled)
                planes = planes[numbers]
        assert normalization is not None
        stacks.append(PlaneStack(planes, normalization, numbers=numbers))
    return stacks


def by_channel(stacks: Sequence[PlaneStack]) -> list[PlaneStack]:
    """Take each channel of stacks for a stack of its own, channels first."""
    return [
        replace(
            stack,
            data=stack.data[:, c : c + 1],
            normalization=stack.normalization.of_channels(slice(c, c + 1)),
        )
        for stack in stacks
        for c in range(stack.data.shape[1])
    ]


def split(
    stacks: Sequence[PlaneStack], share: float, seed: int
) -> tuple[list[PlaneStack], list[PlaneStack]]:
    """Split whole planes into training and validation sets.

    Of a stack, consecutive planes in its middle are held out: consecutive, since neighbours look
    alike, and not at an end, which often shows nothing. Of single images (stacks of one plane), a
    random choice. With fewer than two planes the second list is empty.
    """
    train: list[PlaneStack] = []
    held: list[PlaneStack] = []
    singles = [i for i, stack in enumerate(stacks) if len(stack.data) == 1]
    held_singles = max(1, round(share * len(singles))) if share and len(singles) > 1 else 0
    order = np.random.default_rng(seed).permutation(singles)
    chosen = set(order[:held_singles].tolist())
    for index, stack in enumerate(stacks):
        count = len(stack.data)
        if count == 1:
            (held if index in chosen else train).append(stack)
            continue
        aside = min(count - 1, max(1, round(share * count))) if share else 0
        planes = np.arange(count)
        first = (count - aside) // 2
        inside = (planes >= first) & (planes < first + aside)
        train.append(_some_of(stack, ~inside))
        if aside:
            held.append(_some_of(stack, inside))
    return train, held


def _some_of(stack: PlaneStack, chosen: NDArray[np.bool_]) -> PlaneStack:
    numbers = np.arange(len(stack.data)) if stack.numbers is None else stack.numbers
    return replace(stack, data=stack.data[chosen], numbers=numbers[chosen])
