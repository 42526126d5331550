"""Where things are kept in a case's folder, named by scale and method."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.benchmark.store import Store


@dataclass(frozen=True)
class Restored:
    """One method's volume at one scale.

    Attributes
    ----------
    method
        Its name in tables and file names.
    factor
        Output planes per measured plane.
    volume
        (Z, Y, X), of the truth's type; for a method that restored the blocks alone (B, Z, Y, X).
    record
        Seconds, peak of memory and what else the child process said.
    training
        What is known of the training; empty where there was none.
    """

    method: str
    factor: int
    volume: NDArray[Any]
    record: dict[str, Any]
    training: dict[str, Any]

    @property
    def blocks_only(self) -> bool:
        """Whether only the blocks were restored."""
        return self.volume.ndim == 4

    @property
    def voxels_per_second(self) -> float:
        """Output voxels over the time it took."""
        return float(self.volume.size / self.record["seconds"])

    @property
    def key(self) -> str:
        """Name of its scores: another volume has other scores."""
        digest = hashlib.sha256(np.ascontiguousarray(self.volume).tobytes()).hexdigest()[:8]
        return f"{self.factor}x/{self.method} {digest}"


def volume_path(store: Store, factor: int, method: str) -> Any:
    """Where a method's volume is kept."""
    return store.path(f"volumes/{factor}x/{method}", ".npy")


def as_type(volume: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round and clip to whole numbers where the data are such; all methods alike."""
    if dtype.kind not in "iu":
        return volume.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(volume), limits.min, limits.max).astype(dtype)
