"""Result of `isoslice check`: scores at hidden planes, maps of errors and a verdict, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.profile import POINT, Profile
from isoslice.data.psnr import pooled_psnr, psnr_from_mse
from isoslice.data.volume import Volume, VoxelSize, from_tczyx
from isoslice.evaluation.metrics import data_range_of, mean_known, ssim
from isoslice.inference.diagnostics import Doubts
from isoslice.models.choices import Mode

#: Methods that restore hidden planes, the model first.
METHODS = ("model", "linear", "cubic")
#: Side in pixels of the squares over which maps of errors are averaged.
BIN = 8
#: Gains in dB above which a model is clearly better, and slightly.
CLEAR_GAIN_DB, SLIGHT_GAIN_DB = 0.5, 0.1


@dataclass(frozen=True)
class PlaneScore:
    """One measured plane, restored from its neighbours two spacings apart.

    Attributes
    ----------
    plane
        Its number in the stack, from 0.
    psnr, ssim
        By ``model``, ``linear`` and ``cubic``; SSIM is None for sides below 11 pixels.
    """

    plane: int
    psnr: Mapping[str, float]
    ssim: Mapping[str, float | None]

    @property
    def gain(self) -> float:
        """PSNR of the model less that of linear interpolation, in dB; 0 where both are exact."""
        return _difference(self.psnr["model"], self.psnr["linear"])


@dataclass(frozen=True)
class ChannelCheck:
    """Scores of one channel at one time point.

    Attributes
    ----------
    data_range
        Range that PSNR and SSIM refer to: 0.1th to 99.9th percentile of the measured planes.
    psnr, ssim
        Of all hidden planes together, and the mean over planes, by method.
    predicted
        PSNR to expect over the planes that were not measured, at the user's factor; None where it
        cannot be extrapolated.
    planes
        Scores of each.
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
    """Result of `check`.

    Attributes
    ----------
    source, model, recipe, mode
        Stack, fingerprint of the model, and how it restored.
    factor
        Output planes per measured plane; planes were hidden at twice the spacing.
    channels
        Each channel at each time point.
    doubts
        How far the stack resembles the training images, and along Z its own XY planes.
    notes
        What the reader of the scores must know.
    error_map
        Root mean squared error of the model over hidden planes, (T, C, Y, X), in units of voxels.
    errors
        The same over squares of `BIN` pixels in each hidden plane, (T, C, n - 2, y, x).
    measured, restored
        Voxels of all planes, (T, C, n, Y, X), and those restored of all but the first and the last.
        `measured` holds lost planes as interpolated linearly from others.
    along
        The stack's name of the coarse axis, which is called Z in all of these.
    lost
        Planes that were lost, for each time point and channel; they are not scored.
    positions
        Of uneven planes, in output planes from the first; of even ones, none.
    profile
        What planes see along Z, in output planes.
    """

    source: str
    model: str
    recipe: str
    mode: Mode
    factor: int
    voxel_size: VoxelSize | None
    unit: str | None
    channels: tuple[ChannelCheck, ...]
    doubts: Doubts
    notes: tuple[str, ...]
    error_map: NDArray[np.float32] = field(repr=False)
    errors: NDArray[np.float32] = field(repr=False)
    measured: NDArray[Any] = field(repr=False)
    restored: NDArray[Any] = field(repr=False)
    along: str = "Z"
    lost: tuple[tuple[tuple[int, ...], ...], ...] = ()
    positions: tuple[float, ...] = ()
    profile: Profile = POINT

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stack checked, (T, C, n, Y, X)."""
        return self.measured.shape

    @property
    def psnr(self) -> dict[str, float]:
        """As in `ChannelCheck`, over all channels and time points."""
        return {m: pooled_psnr([one.psnr[m] for one in self.channels]) for m in METHODS}

    @property
    def ssim(self) -> dict[str, float | None]:
        """As in `ChannelCheck`, over all channels and time points."""
        return {m: mean_known([one.ssim[m] for one in self.channels]) for m in METHODS}

    @property
    def predicted(self) -> dict[str, float | None]:
        """As in `ChannelCheck`, over all channels and time points; None if it is for any."""
        return {m: _pooled_or_none([one.predicted[m] for one in self.channels]) for m in METHODS}

    @property
    def tested(self) -> int:
        """Number of hidden planes."""
        return sum(len(one.planes) for one in self.channels)

    @property
    def better(self) -> int:
        """Number of hidden planes at which the model beats linear interpolation."""
        return sum(plane.gain > 0 for one in self.channels for plane in one.planes)

    @property
    def gain(self) -> float:
        """PSNR of the model less that of linear interpolation at hidden planes, in dB."""
        return _difference(self.psnr["model"], self.psnr["linear"])

    @property
    def predicted_gain(self) -> float | None:
        """The same, to expect of the user's own volume."""
        ours, theirs = self.predicted["model"], self.predicted["linear"]
        return None if ours is None or theirs is None else _difference(ours, theirs)

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return verdict(self)

    def errors_volume(self) -> Volume:
        """Return `errors` as a volume, to be written with `isoslice.write_volume`.

        Its first plane is that of measured plane 1, and pixels are `BIN` times as large; lost
        planes are NaN.
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
            z_positions=self._hidden_places(),
        )
        return turned(volume, self.along)

    def _hidden_places(self) -> tuple[float, ...] | None:
        """Return where hidden planes lie, from the first, if they are uneven."""
        if not self.positions or self.voxel_size is None:
            return None
        step = self.voxel_size.z / self.factor
        inside = self.positions[1:-1]
        return tuple((z - inside[0]) * step for z in inside)

    def summary(self) -> dict[str, Any]:
        """Return everything but planes and maps as plain data."""
        profile = {"kind": self.profile.kind, "width": self.profile.width}
        return {
            "source": Path(self.source).name,
            "model": self.model,
            "recipe": self.recipe,
            "mode": self.mode,
            "factor": self.factor,
            **({} if self.along == "Z" else {"along": self.along}),
            **({"positions": list(self.positions)} if self.positions else {}),
            **({} if self.profile == POINT else {"slice_profile": profile}),
            "shape": list(self.shape),
            "psnr": self.psnr,
            "ssim": self.ssim,
            "gain": self.gain,
            "predicted": self.predicted,
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
        for method in METHODS:
            error = float(np.square(np.subtract(made[method][i], truth, dtype=np.float64)).mean())
            power[method] += error / count
            ratios[method] = psnr_from_mse(error, peak)
            alike[method] = ssim(made[method][i], truth, peak)
        scores.append(PlaneScore(i + 1, ratios, alike))
    expected = {m: power[m] * ratio[m] if power[m] or np.isnan(ratio[m]) else 0.0 for m in METHODS}
    return ChannelCheck(
        time,
        channel,
        name,
        peak,
        {m: psnr_from_mse(power[m], peak) for m in METHODS},
        {m: mean_known([score.ssim[m] for score in scores]) for m in METHODS},
        {m: psnr_from_mse(e, peak) if np.isfinite(e) else None for m, e in expected.items()},
        tuple(scores),
    )


def verdict(result: Fidelity) -> str:
    """Put the result into plain words."""
    gain, expected = result.gain, result.predicted_gain
    against = "linear interpolation"
    if gain >= CLEAR_GAIN_DB:
        first = f"the model is {gain:.1f} dB better than {against}"
    elif gain >= SLIGHT_GAIN_DB:
        first = f"the model is slightly better than {against} ({gain:+.1f} dB)"
    elif gain > -SLIGHT_GAIN_DB:
        first = f"the model is no better than {against}"
    else:
        first = f"the model is {-gain:.1f} dB worse than {against}"
    text = f"at hidden planes of this stack {first}, better at {result.better} of {result.tested}"
    if expected is not None and result.predicted["model"] is not None:
        text += (
            f"; between your measured planes expect about {result.predicted['model']:.1f} dB "
            f"({expected:+.1f} dB against linear)"
        )
    decisive = gain if expected is None else min(gain, expected)
    if result.mode == "sample":
        advice = "a sample trades accuracy for realism: see what --mode mean reaches"
    elif decisive >= SLIGHT_GAIN_DB and not result.doubts.messages:
        advice = "it may be used here; detail between planes is still invented"
    elif decisive >= SLIGHT_GAIN_DB:
        advice = "heed the warnings"
    else:
        advice = "do not trust it here: train it on such images, or interpolate"
    return f"{text}; {advice}"


def binned(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average squares of `BIN` pixels, smaller at the ends: (n, Y, X) to (n, y, x)."""
    summed: Any = planes
    counts: Any = np.ones(planes.shape[1:], np.float32)[None]
    for axis in (1, 2):
        edges = np.arange(0, planes.shape[axis], BIN)
        summed = np.add.reduceat(summed, edges, axis=axis)
        counts = np.add.reduceat(counts, edges, axis=axis)
    return np.asarray(summed / counts, np.float32)


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _pooled_or_none(values: Sequence[float | None]) -> float | None:
    """Pool PSNRs as `pooled_psnr` does; None if any is None."""
    known = [value for value in values if value is not None]
    return pooled_psnr(known) if len(known) == len(values) else None
