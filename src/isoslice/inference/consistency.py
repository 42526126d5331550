"""Agreement with the measured planes: what a network estimates is corrected to give them again.

Where planes are weighted means of the volume along Z (`data.measurement`), an estimate x of it is
followed by x + K (y - A x): the volume next to it that was measured as y, but for noise. It is
exact, linear, and of some hundredths of the network's arithmetic (compare DDNM, arXiv 2212.00490;
DDS, arXiv 2303.05754).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.measurement import Measurement
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch, unstretch_slope

#: Deviation of the mean's errors, in deviations of those of linear interpolation.
ERROR_SHARE = 0.7
#: Damping of networks that are told the profile and the noise: their estimates agree with planes
#: but for noise already, as an expected volume does, and what is left has little to correct. Found
#: on fib25_a's kind at 4x, without noise and with 3%: 1 and 1/4 cost 0.16 dB with noise.
TOLD_DAMPING = 4.0
#: Limits of the damping. With less, errors of the profile itself are multiplied.
DAMPING = 1e-3, 1.0
#: Measurements of which A and K are kept.
KEPT = 4
#: Most measured planes with a profile: the correction takes memory by their square.
MAX_PLANES = 2000


@dataclass(frozen=True)
class Correction:
    """The correction of slices, whole along Z.

    Attributes
    ----------
    matrix, gain
        A, (n, D), and K of each channel, (C, D, n); see `Measurement`.
    softening
        Of the intensities that the network works on.
    """

    matrix: Tensor
    gain: Tensor
    softening: float | None

    def __call__(self, estimate: Tensor, base: Tensor, planes: Tensor) -> Tensor:
        """Correct a residual.

        Parameters
        ----------
        estimate, base
            The residual and what it is added to, stretched, (N, C, D, W), in single precision.
        planes
            The measured planes, stretched, (N, C, n, W).
        """
        with torch.autocast(estimate.device.type, enabled=False):
            total = unstretch(base + estimate, self.softening)
            missing = unstretch(planes, self.softening) - self.matrix @ total
            corrected = total + self.gain @ missing
            return stretch(corrected, self.softening) - base


def damping_of(
    noise: float,
    planes: NDArray[np.float32],
    sigma: float,
    softening: float | None,
    *,
    told: bool = False,
) -> float:
    """Return the variance of the noise over that of the mean's errors, within `DAMPING`.

    Parameters
    ----------
    noise
        Deviation in normalised intensities.
    planes
        Some of the channel's, normalised.
    sigma
        Deviation of the errors of linear interpolation, of stretched intensities: sigma_data.
    softening
        Of the stretch.
    told
        Whether the network is told how planes were measured.
    """
    slope = unstretch_slope(stretch(torch.from_numpy(planes), softening), softening)
    error = ERROR_SHARE * sigma * float(slope.square().mean().sqrt())
    least, most = DAMPING
    damping = (noise / error) ** 2 * (TOLD_DAMPING if told else 1)
    return float(min(max(damping, least), most))


@lru_cache(maxsize=KEPT)
def operators(measurement: Measurement) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute A, (n, D), and K of each channel, (C, D, n), in single precision."""
    gains = np.empty(
        (len(measurement.damping), measurement.depth, len(measurement.positions)), np.float32
    )
    for gain, damping in zip(gains, measurement.damping, strict=True):
        gain[...] = measurement.correction(damping)
    return measurement.matrix.astype(np.float32), gains


def operator_bytes(measurements: Collection[Measurement]) -> int:
    """Count what A and K of these take in a process, while the last of them is computed.

    A stays in double precision, too; solving for K takes that twice more.
    """
    needing = {each for each in measurements if not each.is_points}
    sizes = [(len(m.positions) * m.depth, len(m.damping)) for m in needing]
    held = sorted((entries * (8 + 4 * (1 + channels)) for entries, channels in sizes), reverse=True)
    solving = max((entries * 2 * 8 for entries, _ in sizes), default=0)
    return sum(held[:KEPT]) + solving


def correction_for(
    measurement: Measurement, softening: float | None, device: torch.device
) -> Correction | None:
    """Return the correction that a measurement needs; None of points, which are put back."""
    if measurement.is_points:
        return None
    matrix, gain = (torch.from_numpy(each).to(device) for each in operators(measurement))
    return Correction(matrix, gain, softening)


def window(measurement: Measurement, rows: slice) -> tuple[slice, slice, Measurement]:
    """Return what is needed to correct some rows of composed planes.

    Returns
    -------
    rows around
        Those rows, widened by some reaches of the profile, beyond which a correction fades.
    planes
        The measured planes that see nothing beyond them.
    measurement
        Of these planes on these rows.
    """
    depth, places = measurement.depth, np.asarray(measurement.positions)
    gap, reach = float(np.diff(places).max()), measurement.profile.reach + 1
    margin = int(np.ceil(4 * (reach + gap)))
    start, stop = max(0, rows.start - margin), min(depth, rows.stop + margin)
    low = -np.inf if start == 0 else start + reach
    high = np.inf if stop == depth else stop - 1 - reach
    inside = np.flatnonzero((places >= low) & (places <= high))
    seen = slice(int(inside[0]), int(inside[-1]) + 1)
    around = replace(
        measurement, positions=tuple((places[seen] - start).tolist()), depth=stop - start
    )
    return slice(start, stop), seen, around


def corrected(
    volume: NDArray[np.float32], planes: NDArray[np.float32], measurement: Measurement
) -> NDArray[np.float32]:
    """Correct a part of a composed volume (C, z, y, x), by its measured planes (C, n, y, x)."""
    _, gain = operators(measurement)
    missing = differences(volume, planes, measurement)
    result: NDArray[np.float32] = volume + (gain @ missing).reshape(volume.shape)
    return result


def differences(
    volume: NDArray[np.float32], planes: NDArray[np.float32], measurement: Measurement
) -> NDArray[np.float32]:
    """Subtract a volume, seen as planes were, from these: (C, n, columns); see `corrected`."""
    matrix, _ = operators(measurement)
    seen = matrix @ volume.reshape(*volume.shape[:2], -1)
    missing: NDArray[np.float32] = planes.reshape(*planes.shape[:2], -1) - seen
    return missing
