"""What leaving out measured planes tells: scores, maps of errors and a verdict, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.psnr import pooled_psnr, psnr_from_mse
from isoslice.data.volume import Volume, VoxelSize, from_tczyx
from isoslice.evaluation.metrics import data_range_of, mean_known, ssim
from isoslice.inference.diagnostics import Doubts
from isoslice.inference.passes import Mode

#: What planes are restored by; the model comes first.
METHODS = ("model", "linear", "cubic")
#: Side of the squares of pixels that one value of the error map stands for.
BIN = 8
#: Gains in dB that are worth speaking of.
CLEAR, SLIGHT = 0.5, 0.1


@dataclass(frozen=True)
class PlaneScore:
    """One measured plane, restored from its neighbours two spacings apart.

    Attributes
    ----------
    plane
        Its number in the stack, from 0.
    psnr, ssim
        By ``model``, ``linear`` and ``cubic``; SSIM is None of planes below 11 pixels a side.
    """

    plane: int
    psnr: Mapping[str, float]
    ssim: Mapping[str, float | None]

    @property
    def gain(self) -> float:
        """PSNR of the model less that of linear interpolation, in dB; 0 where both are exact."""
        return _less(self.psnr["model"], self.psnr["linear"])


@dataclass(frozen=True)
class ChannelCheck:
    """What was found in one channel at one time point.

    Attributes
    ----------
    data_range
        That PSNR and SSIM refer to: 0.1th to 99.9th percentile of the measured planes.
    psnr, ssim
        Of all hidden planes together, and the mean over planes, by method.
    predicted
        PSNR to be expected over the planes that were not measured, at the user's factor; None
        where it cannot be told.
    planes
        Each of them.
    """

    time: int
    channel: int
    name: str | None
    data_range: float
    psnr: Mapping[str, float]
    ssim: Mapping[str, float | None]
    predicted: Mapping[str, float | None]
    planes: tuple[PlaneScore, ...]


@dataclass(frozen=True)
class Fidelity:
    """What `check` found.

    Attributes
    ----------
    source, model, recipe, mode
        Stack, fingerprint of the model, and how it restored.
    factor
        Output planes per measured plane; planes were hidden at twice the spacing.
    shape
        Of what was checked, (T, C, n, Y, X).
    psnr, ssim, predicted
        As in `ChannelCheck`, over all channels and time points.
    tested, better
        Planes that were hidden, and those of them at which the model beats linear interpolation.
    channels
        Each channel at each time point.
    doubts
        How like the training images the stack looks, and how like its XY planes it is along Z.
    notes
        What the reader of the scores must know.
    error_map
        Root mean squared error of the model over hidden planes, (T, C, Y, X), in units of voxels.
    errors
        The same over squares of `BIN` pixels in each hidden plane, (T, C, n - 2, y, x).
    measured, restored
        Voxels of all planes, (T, C, n, Y, X), and what was restored of those between the first and
        the last. Of planes that were lost, `measured` holds what lies on the line between others.
    along
        The stack's name of the coarse axis, which is called Z in all of these.
    lost
        Planes that were lost, for each time point and channel; they are not scored.
    """

    source: str
    model: str
    recipe: str
    mode: Mode
    factor: int
    shape: tuple[int, ...]
    voxel_size: VoxelSize | None
    unit: str | None
    psnr: Mapping[str, float]
    ssim: Mapping[str, float | None]
    predicted: Mapping[str, float | None]
    tested: int
    better: int
    channels: tuple[ChannelCheck, ...]
    doubts: Doubts
    notes: tuple[str, ...]
    error_map: NDArray[np.float32] = field(repr=False)
    errors: NDArray[np.float32] = field(repr=False)
    measured: NDArray[Any] = field(repr=False)
    restored: NDArray[Any] = field(repr=False)
    along: str = "Z"
    lost: tuple[tuple[tuple[int, ...], ...], ...] = ()

    @property
    def gain(self) -> float:
        """PSNR of the model less that of linear interpolation at hidden planes, in dB."""
        return _less(self.psnr["model"], self.psnr["linear"])

    @property
    def predicted_gain(self) -> float | None:
        """The same to be expected of the user's own volume."""
        ours, theirs = self.predicted["model"], self.predicted["linear"]
        return None if ours is None or theirs is None else _less(ours, theirs)

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return verdict(self)

    def errors_volume(self) -> Volume:
        """Return `errors` as a volume, to be written with `isoslice.write_volume`.

        Its first plane is that of measured plane 1, and pixels are `BIN` times as large; NaN in
        planes that were lost.
        """
        size = self.voxel_size
        spacing = {} if size is None else {"Z": size.z, "Y": size.y * BIN, "X": size.x * BIN}
        times, channels = self.errors.shape[:2]
        axes = "".join(a for a, n in (("T", times), ("C", channels)) if n > 1) + "ZYX"
        names = tuple(c.name or "" for c in self.channels if c.time == 0)
        volume = Volume(
            from_tczyx(self.errors, axes),
            axes,
            spacing,
            self.unit,
            names if channels > 1 and all(names) else None,
            {**self.summary(), "content": f"RMS error of {BIN} x {BIN} pixels of hidden planes"},
            source="isoslice",
        )
        return turned(volume, self.along)

    def summary(self) -> dict[str, Any]:
        """Return everything but planes and maps as plain data."""
        return {
            "source": Path(self.source).name,
            "model": self.model,
            "recipe": self.recipe,
            "mode": self.mode,
            "factor": self.factor,
            **({} if self.along == "Z" else {"along": self.along}),
            "shape": list(self.shape),
            "psnr": dict(self.psnr),
            "ssim": dict(self.ssim),
            "gain": self.gain,
            "predicted": dict(self.predicted),
            "predicted_gain": self.predicted_gain,
            "tested": self.tested,
            "better": self.better,
            "verdict": self.verdict,
            "warnings": list(self.doubts.messages),
            "notes": list(self.notes),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything but the maps as plain data."""
        channels = [asdict(channel) for channel in self.channels]
        return {**self.summary(), "doubts": asdict(self.doubts), "channels": channels}


def score_planes(
    time: int,
    channel: int,
    name: str | None,
    measured: NDArray[Any],
    made: Mapping[str, NDArray[Any]],
    ratio: Mapping[str, float],
    lost: Sequence[int] = (),
) -> ChannelCheck:
    """Score restored planes (n - 2, Y, X) of one channel against measured ones (n, Y, X).

    Those numbered in `lost` were not measured, and are not scored.
    """
    peak = data_range_of(measured)
    scores, power = [], dict.fromkeys(METHODS, 0.0)
    count = len(measured) - 2 - len(lost)
    for i, truth in enumerate(measured[1:-1]):
        if i + 1 in lost:
            continue
        ratios, alike = {}, {}
        for way in METHODS:
            error = float(np.square(np.subtract(made[way][i], truth, dtype=np.float64)).mean())
            power[way] += error / count
            ratios[way] = psnr_from_mse(error, peak)
            alike[way] = ssim(made[way][i], truth, peak)
        scores.append(PlaneScore(i + 1, ratios, alike))
    expected = {way: power[way] * ratio[way] if power[way] else 0.0 for way in METHODS}
    return ChannelCheck(
        time,
        channel,
        name,
        peak,
        {way: psnr_from_mse(power[way], peak) for way in METHODS},
        {way: mean_known([score.ssim[way] for score in scores]) for way in METHODS},
        {way: psnr_from_mse(e, peak) if np.isfinite(e) else None for way, e in expected.items()},
        tuple(scores),
    )


def verdict(found: Fidelity) -> str:
    """Say in plain words what was found."""
    gain, expected = found.gain, found.predicted_gain
    against = "linear interpolation"
    if gain >= CLEAR:
        first = f"the model is {gain:.1f} dB better than {against}"
    elif gain >= SLIGHT:
        first = f"the model is slightly better than {against} ({gain:+.1f} dB)"
    elif gain > -SLIGHT:
        first = f"the model is no better than {against}"
    else:
        first = f"the model is {-gain:.1f} dB worse than {against}"
    text = f"at hidden planes of this stack {first}, better at {found.better} of {found.tested}"
    if expected is not None and found.predicted["model"] is not None:
        text += (
            f"; between your measured planes expect about {found.predicted['model']:.1f} dB "
            f"({expected:+.1f} dB against linear)"
        )
    decisive = gain if expected is None else min(gain, expected)
    if found.mode == "sample":
        advice = "a sample trades accuracy for realism: see what --mode mean reaches"
    elif decisive >= SLIGHT and not found.doubts.messages:
        advice = "it may be used here; detail between planes is still invented"
    elif decisive >= SLIGHT:
        advice = "heed the warnings"
    else:
        advice = "do not trust it here: train it on such images, or interpolate"
    return f"{text}; {advice}"


def binned(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of squares of `BIN` pixels, those at the end as far as they go: (n, y, x)."""
    summed: Any = planes
    counts: Any = np.ones(planes.shape[1:], np.float32)[None]
    for axis in (1, 2):
        edges = np.arange(0, planes.shape[axis], BIN)
        summed = np.add.reduceat(summed, edges, axis=axis)
        counts = np.add.reduceat(counts, edges, axis=axis)
    return np.asarray(summed / counts, np.float32)


def _less(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def pooled_or_none(values: Sequence[float | None]) -> float | None:
    """Pool PSNRs as `pooled_psnr` does; None if any is None."""
    known = [value for value in values if value is not None]
    return pooled_psnr(known) if len(known) == len(values) else None
