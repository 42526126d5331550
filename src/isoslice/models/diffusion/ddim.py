"""The noise schedule and DDIM coefficients of the MSDSR paper (section 3.2; DDIM: 2010.02502)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import SettingsError

#: Offset s and upper limit of beta (Nichol 2021, section 3.2).
_OFFSET, _MAX_BETA = 0.008, 0.999


def cosine_alphas_cumprod(timesteps: int) -> NDArray[np.float64]:
    """Compute the signal's share of the variance at each time step (alpha bar), (timesteps,).

    The cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672, equation 17) in the variant
    of the released code: the offset is added to t / T, so the last step lies beyond the cosine's
    zero, where the limit on beta applies.
    """
    t = np.arange(timesteps + 1, dtype=np.float64) / timesteps + _OFFSET
    signal = np.cos(t / (1 + _OFFSET) * np.pi / 2) ** 2
    betas = np.clip(1 - signal[1:] / signal[:-1], 0.0, _MAX_BETA)
    return np.cumprod(1 - betas)


@dataclass(frozen=True)
class DdimCoefficients:
    """Coefficients of the DDIM steps, by rising time; sampling uses them in reverse order.

    Attributes
    ----------
    timesteps
        Time steps at which the network is evaluated, shape (n,).
    alphas, alphas_prev
        alpha bar at these and one step closer to the image, shape (n,).
    sigmas
        Standard deviation of the noise each step adds (DDIM equation 16), shape (n,).
    """

    timesteps: NDArray[np.int64]
    alphas: NDArray[np.float64]
    alphas_prev: NDArray[np.float64]
    sigmas: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.timesteps)


def ddim_coefficients(steps: int, eta: float, timesteps: int = 1000) -> DdimCoefficients:
    """Compute the coefficients of a DDIM run.

    Parameters
    ----------
    steps
        Number of steps. As in the released code, every (timesteps // steps)-th time step is used,
        counted from 1, which is a few more where `steps` does not divide `timesteps`. (A last one
        beyond the schedule, at which the released code fails, is left out.)
    eta
        0 for deterministic sampling, 1 for the noise of DDPM.
    timesteps
        Number of time steps in training.

    Raises
    ------
    SettingsError
        If there are too many steps: the largest time step would lie outside the schedule.
    """
    if not 1 <= steps <= timesteps // 2:
        raise SettingsError(f"got {steps} DDIM steps, expected 1 to {timesteps // 2}")
    # The released code keeps the schedule in single precision from here on.
    signal = cosine_alphas_cumprod(timesteps).astype(np.float32).astype(np.float64)
    chosen = np.arange(1, timesteps, timesteps // steps)
    alphas = signal[chosen]
    previous = np.concatenate([signal[:1], alphas[:-1]])
    sigmas = eta * np.sqrt((1 - previous) / (1 - alphas) * (1 - alphas / previous))
    return DdimCoefficients(chosen, alphas, previous, sigmas)
