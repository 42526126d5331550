"""Agreement with the measured planes: what a network estimates is corrected to give them again.

Where planes are weighted means of the volume along Z (`data.measurement`), an estimate x of it is
followed by x + K (y - A x): the volume next to it that was measured as y, but for noise. It is
exact, linear, and of some hundredths of the network's arithmetic (compare DDNM, arXiv 2212.00490;
DDS, arXiv 2303.05754).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isoslice.data.measurement import Measurement
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch

#: Deviation of the mean's errors, in deviations of those of linear interpolation.
ERROR_SHARE = 0.7
#: Limits of the damping. With less, errors of the profile itself are multiplied.
DAMPING = 1e-3, 1.0


@dataclass(frozen=True)
class Correction:
    """The correction of slices, whole along Z.

    Attributes
    ----------
    matrix, gain
        A, (n, D), and K, (D, n); see `Measurement`.
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


def correction_for(
    measurement: Measurement, config: ModelConfig, device: torch.device
) -> Correction | None:
    """Return the correction that a measurement needs; None of points, which are put back."""
    if measurement.is_points:
        return None
    ratio = (measurement.noise / (ERROR_SHARE * config.sigma_data)) ** 2
    least, most = DAMPING
    gain = measurement.correction(min(max(ratio, least), most))
    return Correction(
        torch.from_numpy(measurement.matrix).float().to(device),
        torch.from_numpy(gain).float().to(device),
        config.softening,
    )
