"""What a model gives: a restored volume, what is known of its errors, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoslice import __version__
from isoslice.data.frames import Frame
from isoslice.data.measurement import measured_share
from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import SettingsError
from isoslice.inference.asked_profile import record_of
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.plan import Plan
from isoslice.inference.uncertainty import StackScale, record_of_scales
from isoslice.models.reliability.calibration import FactorCalibration, multiple

T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """A restored volume.

    Attributes
    ----------
    volume
        Voxels in the input's axes order and type, the coarse axis longer: (n - 1) factor + 1.
    axes
        The input's axes.
    voxel_size
        True spacing of the output (Z, Y, X), or None if the input's was not given.
    factor
        Output planes per measured plane.
    provenance
        What made it: version, model, mode, evaluations, seed, factor, normalisation.
    std
        Standard deviation of the mean's error, float32, shaped like `volume`, in its intensities;
        0 on measured planes. None unless asked for.
    samples
        Samples that were asked for, like `volume`.
    calibration
        What intervals are made with.
    doubts
        What was warned of: reasons not to trust the model on this stack.
    metadata
        Place, time and display, as of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
    >>> result = isoslice.Model.pretrained().predict(planes, axes="ZYX", factor=2, mode="mean")
    >>> result.factor, result.volume.shape, result.provenance["mode"]
    (2, (7, 40, 40), 'mean')
    """

    volume: NDArray[Any]
    axes: str
    voxel_size: VoxelSize | None
    factor: int
    provenance: Mapping[str, Any]
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
    std: NDArray[np.float32] | None = None
    samples: tuple[NDArray[Any], ...] = ()
    calibration: FactorCalibration | None = None
    doubts: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)

    def interval(self, level: float = 0.9) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Bounds between which a share `level` of the true voxels lies, by calibration.

        On planes that were not measured, of volumes in mode ``mean`` or drawn with `samples`.

        Parameters
        ----------
        level
            0.5 to 0.99.

        Returns
        -------
        Lower and upper bound, float32, shaped like `volume`, in its intensities.

        Raises
        ------
        SettingsError
            If the volume was restored without ``uncertainty`` or ``samples``, or is itself one
            sample, or `level` is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
        >>> model = isoslice.Model.pretrained()
        >>> options = {"axes": "ZYX", "factor": 2, "mode": "mean", "uncertainty": True}
        >>> result = model.predict(planes, **options)
        >>> low, high = result.interval(0.9)
        >>> bool((low <= high).all())
        True
        """
        if self.std is None or self.calibration is None or self.provenance["mode"] != "mean":
            raise SettingsError(
                "got a volume without a standard deviation around its mean, expected one that was "
                "restored with samples=8, or with mode='mean' and uncertainty=True"
            )
        reach = np.float32(multiple(self.calibration, level)) * np.asarray(self.std)
        middle = np.asarray(self.volume).astype(np.float32)
        return middle - reach, middle + reach

    def to_volume(self) -> Volume:
        """Return the same as a `Volume`, to be written with `isoslice.write_volume`.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
        >>> model = isoslice.Model.pretrained()
        >>> result = model.predict(planes, axes="ZYX", voxel_size=(2, 1, 1), mode="mean")
        >>> result.to_volume().voxel_size
        VoxelSize(z=1.0, y=1.0, x=1.0)
        """
        return self._as_volume(self.volume, "restored volume")

    def std_volume(self) -> Volume:
        """Return the standard deviations as a `Volume`, float32.

        Raises
        ------
        SettingsError
            If there are none.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
        >>> model = isoslice.Model.pretrained()
        >>> options = {"axes": "ZYX", "factor": 2, "mode": "mean", "uncertainty": True}
        >>> result = model.predict(planes, **options)
        >>> float(result.std_volume().data[::2].max())  # of measured planes
        0.0
        """
        if self.std is None:
            raise SettingsError(
                "got a volume restored without standard deviations, expected uncertainty=True or "
                "samples; predict again"
            )
        return self._as_volume(self.std, "standard deviation")

    def sample_volumes(self) -> list[Volume]:
        """Return the samples that were kept as volumes.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
        >>> model = isoslice.Model.pretrained()
        >>> options = {"axes": "ZYX", "factor": 2, "samples": 2, "keep_samples": True}
        >>> len(model.predict(planes, **options).sample_volumes())
        2
        """
        count = len(self.samples)
        return [
            self._as_volume(sample, f"sample {number} of {count}")
            for number, sample in enumerate(self.samples, start=1)
        ]

    def _as_volume(self, voxels: NDArray[Any], holds: str) -> Volume:
        spacing = {} if self.voxel_size is None else dict(zip("ZYX", self.voxel_size, strict=True))
        return Volume(
            voxels,
            self.axes,
            spacing,
            self.unit,
            self.channel_names,
            {**self.provenance, "holds": holds},
            source="isoslice",
            metadata=self.metadata,
        )


#: Planes of which each one's agreement, and how far it was measured, is recorded, at most.
MAX_LISTED = 10_000


def provenance(
    plan: Plan,
    scales: Sequence[StackScale] = (),
    chi_squared: Sequence[NDArray[np.float64]] = (),
    frames: Sequence[Frame] = (),
) -> dict[str, Any]:
    """Record how a volume was made.

    Parameters
    ----------
    plan
        What was settled. Of the stack's path the name alone is kept.
    scales
        What standard deviations were made with, if there are any: one a frame.
    chi_squared
        How far frames differ from planes that are no points; see `agreement.chi_squared`.
    frames
        These frames.
    """
    options, lost = plan.options, _named_planes(plan.lost)
    reasons = _named_planes(plan.reasons)
    return {
        "isoslice": __version__,
        "model": plan.model,
        "recipe": plan.recipe,
        "factor": plan.factor,
        "mode": "mean" if options.samples else options.mode,
        "steps": options.steps,
        "detail": options.detail,
        "direction": options.direction,
        "blur": options.blur,
        "seed": options.seed,
        **({"samples": options.samples} if options.samples else {}),
        **({"uncertainty": record_of_scales(scales)} if scales else {}),
        **({} if plan.along == "Z" else {"along": plan.along}),
        **({"lost_planes": lost, "lost_because": reasons} if lost else {}),
        **({} if options.missing == "auto" else {"missing": options.missing}),
        "source": Path(plan.source).name,
        "normalization": {"low": plan.normalization.low, "high": plan.normalization.high},
        **({"warnings": list(plan.doubts)} if plan.doubts else {}),
        **({"positions": list(plan.positions)} if plan.positions else {}),
        **({"slice_profile_from": plan.profile_from} if plan.profile_from else {}),
        **_measured(plan, chi_squared, frames, but=", but for lost ones" if lost else ""),
    }


def _measured(
    plan: Plan, chi_squared: Sequence[NDArray[np.float64]], frames: Sequence[Frame], but: str
) -> dict[str, Any]:
    """Say what became of the measured planes."""
    if not chi_squared:
        return {
            "measured_planes": f"every output plane i * factor is measured plane i, unchanged{but}"
        }
    few = sum(frame.size for frame in chi_squared) <= MAX_LISTED
    return {
        "slice_profile": {
            **record_of(plan.profile),
            "noise": list(plan.noise),
            "chi_squared": [[round(float(x), 4) for x in f.mean(axis=1)] for f in chi_squared],
            **({"chi_squared_of_planes": _rounded(chi_squared, 4)} if few else {}),
            **_measured_shares(plan, frames),
        },
        "measured_planes": "output planes, seen through the slice profile, are the measured ones "
        f"but for noise{but}",
    }


def _measured_shares(plan: Plan, frames: Sequence[Frame]) -> dict[str, Any]:
    """Say what share of each output plane was measured, unless there are too many."""
    if sum(frame.grid.depth * len(plan.noise[frame.channels]) for frame in frames) > MAX_LISTED:
        return {}
    # Frames that lost the same planes have the same.
    found = {(f.grid.known, f.channels.start): f for f in frames}
    shares = {key: measured_share(plan.measurement(frame)) for key, frame in found.items()}
    each = [shares[f.grid.known, f.channels.start] for f in frames]
    return {"measured_share": _rounded(each, 3)}


def _rounded(frames: Sequence[NDArray[np.float64]], digits: int) -> list[list[list[float]]]:
    return [[[round(float(x), digits) for x in channel] for channel in frame] for frame in frames]


def _named_planes(lost: Sequence[Sequence[Sequence[T]]]) -> dict[str, list[T]]:
    """Name what is known of lost planes by their time point and channel."""
    return {
        f"{t}/{c}": list(each)
        for t, channels in enumerate(lost)
        for c, each in enumerate(channels)
        if each
    }


def holds(name: str, options: ResolvedOptions) -> str:
    """Say what a volume called ``volume``, ``std``, ``sample-1`` ... holds."""
    if name.startswith("sample-"):
        return f"sample {name.partition('-')[2]} of {options.samples}"
    return {"volume": "restored volume", "std": "standard deviation"}[name]
