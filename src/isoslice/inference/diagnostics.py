"""Reasons to doubt a result before it is made.

Strange images, uneven directions, other pixels, a model that was trained too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Region
from isoslice.data.units import METRES, convert
from isoslice.data.volume import VoxelSize
from isoslice.inference.detail.patches import Read, reader
from isoslice.models.config import AnyConfig
from isoslice.models.reliability.isotropy import Isotropy, compare_directions
from isoslice.models.reliability.out_of_distribution import OodReference, OodScore, score
from isoslice.models.reliability.undertrained import undertrained

#: Parts of a stack that are looked at: so many, of so many planes, with sides of so many pixels.
PARTS, DEPTH, SIDE = 8, 32, 192
#: Pixels of the training images and of the stack may differ by this factor.
PIXELS = 1.2


@dataclass(frozen=True)
class Doubts:
    """Reasons to doubt a result; likeness and isotropy per channel.

    Attributes
    ----------
    likeness
        To the training images; nothing where they are not known, or planes are too small.
    isotropy
        Z against Y and X.
    pixels
        Size of the stack's pixels over that of the training images'; None where not known.
    messages
        What the user should know; nothing if all is well.
    """

    likeness: tuple[OodScore, ...]
    isotropy: tuple[Isotropy, ...]
    pixels: float | None
    messages: tuple[str, ...]

    def without_blur(self) -> Doubts:
        """Return the same without what is said of blur along Z, which a slice profile undoes."""
        said = tuple(one.message for one in self.isotropy if one.is_blurred and one.message)
        kept = tuple(text for text in self.messages if not (said and text.endswith(said)))
        return replace(self, messages=kept)

    def preceded_by(self, messages: tuple[str, ...]) -> Doubts:
        """Return the same with other messages before its own."""
        return replace(self, messages=(*messages, *self.messages))


def places(shape: tuple[int, int, int]) -> list[Region]:
    """Spread parts over planes (n, Y, X): all of a small stack, `PARTS` of a large one."""
    boxes = []
    for i in range(PARTS):
        box = []
        # Fractions that no two axes share; a side that fits begins at 0 each time.
        for whole, most, step in zip(shape, (DEPTH, SIDE, SIDE), (0.5, 0.618, 0.382), strict=True):
            part = min(whole, most)
            share = (i + 0.5) / PARTS if step == 0.5 else step * (i + 1) % 1
            start = round(share * (whole - part))
            box.append(slice(start, start + part))
        place = (box[0], box[1], box[2])
        if place not in boxes:
            boxes.append(place)
    return boxes


def doubts_of(
    planes: NDArray[np.float32] | Read,
    factor: int,
    config: AnyConfig,
    familiar: OodReference | None = None,
    voxel_size: VoxelSize | None = None,
    unit: str | None = None,
    shape: tuple[int, int, int] | None = None,
    record: Mapping[str, Any] | None = None,
) -> Doubts:
    """Look for reasons to doubt what a model will make of a stack.

    Parameters
    ----------
    planes
        Measured planes, normalised, (C, n, Y, X); or what reads a part of them.
    factor
        Output planes per measured plane.
    config
        The model's settings.
    familiar
        What its training images look like, where that is known.
    voxel_size, unit
        Of the stack, where known.
    shape
        Of all planes, (n, Y, X), where `planes` reads them.
    record
        Of the model's training, which tells whether it is better than linear interpolation.
    """
    if isinstance(planes, np.ndarray):
        shape, read = planes.shape[1:], reader(planes)
    else:
        assert shape is not None
        read = planes
    parts = [read(place) for place in places(shape)]
    with ThreadPoolExecutor(1) as beside:  # both take about as long
        scored = None if familiar is None else beside.submit(score, familiar, parts)
        isotropy = compare_directions(parts, factor)
        likeness = () if scored is None else scored.result()
    pixels = pixel_ratio(config, voxel_size, unit)
    messages = []
    weak = undertrained(config, record or {}, factor)
    if weak is not None:
        messages.append(weak)
    many = len(isotropy) > 1
    for channel, message in (
        *((c, one.message) for c, one in enumerate(likeness)),
        *((c, one.message) for c, one in enumerate(isotropy)),
    ):
        if message is not None:
            messages.append(f"channel {channel}: {message}" if many else message)
    if pixels is not None and not 1 / PIXELS <= pixels <= PIXELS:
        messages.append(pixels_message(pixels))
    return Doubts(likeness, isotropy, pixels, tuple(messages))


def pixels_message(ratio: float) -> str:
    """Say that pixels are `ratio` times as large as those of the training images."""
    said = f"pixels are {ratio:.3g} times as large as those of the training images"
    thousands = np.log(ratio) / np.log(1000)
    if round(thousands) and abs(thousands - round(thousands)) < 0.03:
        return f"{said}: a unit is wrong; check the voxel sizes of both"
    return (
        f"{said}: the model knows structures at another size; use a model for these pixels, or "
        "resample the stack"
    )


def pixel_ratio(config: AnyConfig, voxel_size: VoxelSize | None, unit: str | None) -> float | None:
    """Size of a stack's pixels over that of the training images'; None where not comparable."""
    if config.pixel_size is None or voxel_size is None:
        return None
    trained = float(np.sqrt(config.pixel_size[0] * config.pixel_size[1]))
    ours = float(np.sqrt(voxel_size.y * voxel_size.x))
    if unit != config.unit:
        if unit is None or config.unit is None or not {unit, config.unit} <= METRES.keys():
            return None
        ours = convert(ours, unit, config.unit)
    return ours / trained
