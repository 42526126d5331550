"""Restore hidden planes as a model would restore a coarser stack, wherever they lie."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.measurement import Measurement
from isoslice.data.output_spacing import RATIOS
from isoslice.data.profile import POINT, Profile
from isoslice.data.volume import Volume, from_tczyx
from isoslice.errors import DoubtWarning, SettingsError
from isoslice.evaluation.holdout.hide import places_around, restore_hidden
from isoslice.inference.prediction import Prediction
from isoslice.runtime.progress import Progress

#: `Model.predict` with the options that are the same for every stack.
Predict = Callable[..., Prediction]


@dataclass(frozen=True)
class Spaced:
    """How the planes of a stack were measured.

    Attributes
    ----------
    factor
        Output planes per measured plane; of uneven ones, the median.
    positions
        Of uneven planes, in output planes; of even ones, none.
    profile
        What each sees along Z, in output planes.
    """

    factor: int
    positions: tuple[float, ...] = ()
    profile: Profile = POINT

    @property
    def are_even_points(self) -> bool:
        """Whether planes are evenly spaced, and not blurred."""
        return not self.positions and self.profile == POINT

    def places(self, count: int) -> tuple[float, ...]:
        """Return where `count` planes lie, in output planes."""
        return self.positions or tuple(float(z * self.factor) for z in range(count))


def restored_planes(
    volume: Volume, spaced: Spaced, predict: Predict, progress: Progress
) -> NDArray[Any]:
    """Restore hidden planes from those kept, (T, C, n - 2, Y, X).

    Planes that are uneven or blurred come in single precision: what a plane at that place would
    see of the restored volume, through the slice profile.

    Raises
    ------
    DataError, SettingsError
        As `Model.predict`; also if the planes kept are too far apart.
    """
    places = spaced.places(volume.size("Z"))

    def restore(kept: NDArray[Any], start: int) -> NDArray[Any]:
        around = places_around(places, start)
        stack, wanted = _coarser(volume, kept, around, spaced)
        with warnings.catch_warnings():  # the whole stack's were given already
            warnings.simplefilter("ignore", DoubtWarning)
            result = predict(stack, progress=_Round(progress, start), **wanted)
        made = result.to_volume().tczyx()
        if spaced.are_even_points:
            return made[:, :, spaced.factor :: 2 * spaced.factor]
        matrix = Measurement(around, made.shape[2], spaced.profile).matrix[1::2].astype(np.float32)
        columns = made.astype(np.float32).reshape(*made.shape[:3], -1)
        seen: NDArray[Any] = (matrix @ columns).reshape(*made.shape[:2], -1, *made.shape[3:])
        return seen

    return restore_hidden(volume.tczyx(), restore)


def _coarser(
    volume: Volume, kept: NDArray[Any], around: tuple[float, ...], spaced: Spaced
) -> tuple[Volume, dict[str, Any]]:
    """Make a stack of the planes kept, and say what is to be made of it.

    Lengths are in output planes of the whole stack, so that the output grid is as fine.
    """
    stack = replace(volume, data=from_tczyx(kept, volume.axes), spacing={}, z_positions=None)
    if spaced.are_even_points:
        return stack, {"factor": 2 * spaced.factor, "slice_profile": "point"}
    places, profile = around[::2], spaced.profile
    gaps = np.diff(places)
    gap = float(np.median(gaps))
    if gap > RATIOS[1]:
        raise SettingsError(
            f"{volume.source}: got planes of which every other one is {gap:.3g} output planes from "
            f"the next, expected at most {RATIOS[1]:g} to restore those between; check it with a "
            f"smaller factor, for example --factor {max(2, int(spaced.factor * RATIOS[1] / gap))}"
        )
    even = bool((gaps == gap).all())
    stack = replace(stack, spacing={"Z": gap}, z_positions=None if even else places)
    wanted: dict[str, Any] = {"factor": int(gap)} if even and gap.is_integer() else {"spacing": 1.0}
    return stack, {**wanted, "slice_profile": profile}  # in the unit of that stack


class _Round(Progress):
    """Progress of one of two rounds, without the notes, which are of a coarser stack."""

    def __init__(self, progress: Progress, number: int) -> None:
        self.progress, self.number = progress, number

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        self.progress.update("restoring hidden planes", (self.number + fraction) / 2, detail)
