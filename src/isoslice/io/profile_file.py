"""Slice profiles that were measured: text, arrays, and images of a point spread function.

- Text: a line a sample, its place along Z and its weight, separated by commas, semicolons or white
  space; or its weight alone, and FILE:STEP says how far samples are apart. What follows a # is a
  comment, and a first line of words the heading of a table.
- An array or image with one row of values: weights that are STEP apart.
- A stack with one bead, many in focus together, or a computed point spread function: its sum over
  Y and X along Z. The background goes, a straight line between the medians of the outer planes; and
  what lies beyond the stretch around the peak that is above `FLOOR`. It is the whole blur along Z:
  the blur of XY is not taken off.

A profile says how much a plane sees of what lies at z from it, z to later planes being positive. A
stack of a bead shows that turned over, since planes before the bead see it beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.profile import EXPECTED, Profile, sampled_profile
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.io.decode_errors import explained
from isoslice.io.decoded import to_volume
from isoslice.io.formats.by_suffix import reader_by_suffix
from isoslice.io.limits import check_memory, read_small
from isoslice.io.options import ReadOptions
from isoslice.io.positions import finite_number
from isoslice.io.reading import read_raw
from isoslice.runtime.paths import at_home

#: Most bytes of a text of samples.
MAX_BYTES = 2**22
#: Share of a stack at either end in which only background is, and of the peak that ends a profile.
OUTER, FLOOR = 0.1, 0.01


@dataclass(frozen=True)
class MeasuredProfile:
    """A profile as a file holds it.

    Attributes
    ----------
    profile
        Its samples, lengths in `unit`.
    unit
        The file's own; None where it is that of the stack to be restored.
    """

    profile: Profile
    unit: str | None


def profile_path(text: str) -> Path:
    """Return the path of what ``--slice-profile`` names: ``FILE`` or ``FILE:STEP``."""
    return _path_and_step(text)[0]


def read_profile(text: str) -> MeasuredProfile:
    """Read the profile that ``--slice-profile`` names: ``FILE`` or ``FILE:STEP``.

    Raises
    ------
    DataError, SettingsError
        If it holds no profile, or there is no such file.
    """
    path, step = _path_and_step(text)
    if not path.exists():
        raise SettingsError(
            f"got slice profile {text!r}, {EXPECTED}; there is no file of that name"
        )
    if path.is_file() and reader_by_suffix(path) is None:
        return MeasuredProfile(_from_text(path, step), None)
    raw = read_raw(path)
    if raw.data.size == 0 or not raw.data.shape or raw.data.dtype.kind not in "iuf":
        raise _no_stack(str(path), raw.data.shape)
    with explained(path):
        check_memory(path, raw.data.shape, raw.data.dtype)
        row = np.asarray(raw.data).squeeze() if max(raw.data.shape) == raw.data.size else None
    if row is not None:
        return MeasuredProfile(_in_steps(row.reshape(-1), step, path), None)
    sides = sum(n > 1 for n in raw.data.shape)
    unnamed = "Z" not in raw.axes and not set(raw.axes) & set("TCS")
    if unnamed and sides != 3:
        raise _no_stack(str(path), raw.data.shape)
    stack = to_volume(raw, path, ReadOptions(axes="ZYX" if unnamed else None))
    return _from_stack(stack, step)


def _no_stack(source: str, shape: Sequence[int]) -> DataError:
    return DataError(
        f"{source}: got an image of shape {' x '.join(map(str, shape)) or 'none'}, expected a "
        "z-stack of one channel with the image of a point, or one row of weights, as numbers; save "
        "that channel and time point alone"
    )


def _path_and_step(text: str) -> tuple[Path, float | None]:
    text = at_home(text.strip())
    name, _, number = text.rpartition(":")
    if name and not Path(text).exists():
        step = finite_number(number)
        if step is not None and step > 0:
            return Path(name), step
    return Path(text), None


def _from_text(path: Path, step: float | None) -> Profile:
    with explained(path):
        lines = read_small(path, MAX_BYTES).decode("utf-8-sig", "replace").splitlines()
    found: list[list[float]] = []
    heading = True
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        values = [value for value in map(finite_number, words) if value is not None]
        columns = len(found[0]) if found else len(values)
        if words and not (heading and not values):
            if len(values) != len(words) or len(words) != columns or columns > 2:
                raise DataError(
                    f"{path}: got {line.strip()!r:.40} in line {number}, expected a place along Z "
                    "and a weight in each line, or a weight alone; correct it, or put # before a "
                    "comment"
                )
            found.append(values)
        heading = heading and not words
    if not found:
        raise DataError(
            f"{path}: got no number, expected the samples of a slice profile, a line each: place "
            "along Z and weight"
        )
    if len(found[0]) == 1:
        return _in_steps(np.array(found)[:, 0], step, path)
    if step is not None:
        raise DataError(
            f"{path}: got places along Z and a step of {step:g}, expected one of them; name the "
            "file alone, or leave out its first column"
        )
    z, weights = zip(*found, strict=True)
    return sampled_profile(z, weights, str(path))


def _in_steps(weights: NDArray[Any], step: float | None, path: Path) -> Profile:
    if step is None:
        raise DataError(
            f"{path}: got {len(weights)} weights of a slice profile without their places along Z, "
            "expected how far they are apart, in the unit of the voxel size; give it behind the "
            f"name, for example --slice-profile {path}:0.1"
        )
    return sampled_profile(np.arange(len(weights)) * step, weights, str(path))


def _from_stack(stack: Volume, step: float | None) -> MeasuredProfile:
    """Sum a stack of a point spread function over its planes; see above."""
    if stack.size("Z") < 3 or stack.size("T") * stack.size("C") > 1:
        raise _no_stack(stack.source, stack.data.shape)
    planes = stack.tczyx()[0, 0]
    spacing, unit = (stack.spacing.get("Z"), stack.unit) if step is None else (step, None)
    if spacing is None:
        raise DataError(
            f"{stack.source}: got a stack without spacing of its planes, expected one; give it "
            f"behind the name, for example --slice-profile {stack.source}:0.1"
        )
    places = stack.z_positions if step is None and stack.z_positions is not None else None
    z = np.asarray(places if places is not None else np.arange(len(planes)) * spacing)
    sums = np.array([np.asarray(plane, np.float64).sum() for plane in planes])
    if not np.all(np.isfinite(sums)):
        raise DataError(
            f"{stack.source}: got planes with voxels that are no finite numbers, expected the "
            "image of a point; crop it to where it was measured"
        )
    weights = _above_background(sums)
    if not (weights > 0).any():
        raise DataError(
            f"{stack.source}: got {len(planes)} planes that are brightest at an end, plane "
            f"{int(sums.argmax())}, or all alike, expected the image of a point within them, with "
            "background before and behind; take more planes around it, or give the profile as text"
        )
    return MeasuredProfile(sampled_profile(-z[::-1], weights[::-1], stack.source), unit)


def _above_background(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    outer = max(1, round(OUTER * len(sums)))
    low, high = np.median(sums[:outer]), np.median(sums[-outer:])
    ends = (outer - 1) / 2, len(sums) - 1 - (outer - 1) / 2
    left = sums - np.interp(np.arange(len(sums)), ends, (low, high))
    peak = int(np.argmax(left))
    if not (outer <= peak < len(sums) - outer and left[peak] > 0):
        return np.zeros(len(sums))
    quiet = np.flatnonzero(left <= FLOOR * left[peak])
    start = max(quiet[quiet < peak], default=-1) + 1
    stop = min(quiet[quiet > peak], default=len(sums))
    inside = np.zeros(len(sums))
    inside[start:stop] = left[start:stop]
    return inside
