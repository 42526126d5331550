"""Encode volumes for a page as gzipped 8-bit NIfTI, and slices as PNG, grey or coloured."""

from __future__ import annotations

import base64
import gzip
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import VoxelSize
from isoslice.evaluation.report.crop import centred, sides
from isoslice.evaluation.report.data import COLOURED, Layer, Scene

#: Most bytes of all embedded volumes of a page, as base64; the page has some 2 MB besides.
MAX_EMBEDDED_BYTES = 18_000_000
#: Nine evenly spaced colours of viridis (van der Walt & Smith 2015), perceptually uniform also for
#: the colour-blind.
VIRIDIS = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)
#: Bytes before the voxels of a NIfTI-1 file.
_HEADER_BYTES = 352


@dataclass(frozen=True)
class Windows:
    """Values shown as 0 and 255: of intensities, and of volumes shown in colours."""

    grey: tuple[float, float]
    coloured: tuple[float, float]

    def of(self, volume: Layer) -> tuple[float, float]:
        """Return the window of a volume."""
        return self.coloured if volume.role in COLOURED else self.grey


def windows(scene: Scene) -> Windows:
    """Choose one window for all intensities, and one from 0 for uncertainty and error."""
    # The most trustworthy volume decides.
    reference = scene.first("truth", "input", "restored", "sample", "linear")
    grey = (0.0, 1.0) if reference is None else _percentiles(reference.voxels, 0.1, 99.9)
    coloured_volumes = [v.voxels for v in scene.volumes if v.role in COLOURED]
    top = max((float(np.percentile(_subsample(v), 99.5)) for v in coloured_volumes), default=0.0)
    return Windows(grey, (0.0, top if top > 0 else 1.0))


def as_bytes(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Map a window to 0 ... 255; values outside are clipped."""
    low, high = window
    exact: Any = np.float64 if values.dtype == np.float64 else np.float32
    scaled: NDArray[np.floating] = (values.astype(exact) - low) * (255 / (high - low))
    levels: NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return levels


def nifti(levels: NDArray[np.uint8], voxel_size: VoxelSize, window: tuple[float, float]) -> bytes:
    """Encode voxels (Z, Y, X) as a NIfTI-1 file; slope and intercept restore the values.

    Spacings are relative to X. Y and Z run downwards, as microscopy images are shown.
    """
    depth, height, width = levels.shape
    z, y, x = (step / voxel_size.x for step in voxel_size)
    header = bytearray(_HEADER_BYTES)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)  # uint8, 8 bits
    struct.pack_into("<8f", header, 76, 1, x, y, z, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, _HEADER_BYTES, (window[1] - window[0]) / 255, window[0])
    struct.pack_into("<2h", header, 252, 0, 1)
    rows = ((x, 0, 0, 0), (0, -y, 0, (height - 1) * y), (0, 0, -z, (depth - 1) * z))
    struct.pack_into("<12f", header, 280, *(number for row in rows for number in row))
    header[344:348] = b"n+1\0"
    return bytes(header) + levels.tobytes()


def embedded(scene: Scene, scale: Windows) -> dict[str, str]:
    """Encode the volumes that the page does not compute: gzipped NIfTI in base64, by name."""
    encoded = {}
    for volume in scene.volumes:
        if volume.derived is None:
            window = scale.of(volume)
            file = nifti(as_bytes(volume.voxels, window), scene.voxel_size, window)
            encoded[volume.name] = base64.b64encode(gzip.compress(file, 6, mtime=0)).decode()
    return encoded


def fitted(scene: Scene, budget: int = MAX_EMBEDDED_BYTES) -> tuple[Scene, Windows, dict[str, str]]:
    """Crop a scene to the central part whose embedded volumes fit in `budget` bytes.

    Returns
    -------
    The scene, its windows, and the embedded volumes.
    """
    while True:
        scale = windows(scene)
        encoded = embedded(scene, scale)
        size = sum(map(len, encoded.values()))
        if size <= budget or scene.box.voxels == 1:
            return scene, scale, encoded
        # A little less than proportional, since noise may be uneven.
        shape = sides(scene.box.shape, scene.box.voxels * budget / size * 0.97, scene.factor)
        scene = scene.cut(centred(shape, scene.box, scene.factor))


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode a grey (H, W) or coloured (H, W, 3) image."""
    import imageio.v3 as iio

    encoded: bytes = iio.imwrite("<bytes>", image, extension=".png", plugin="pillow")
    return encoded


def coloured(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply the colour map `VIRIDIS`: shape (H, W) to (H, W, 3)."""
    at = np.linspace(0, 255, len(VIRIDIS))
    table = np.stack(
        [np.interp(np.arange(256), at, channel) for channel in np.transpose(VIRIDIS)], axis=-1
    )
    painted: NDArray[np.uint8] = np.rint(table).astype(np.uint8)[levels]
    return painted


def data_uri(encoded: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(encoded).decode()


def _percentiles(values: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    first, last = (float(v) for v in np.percentile(_subsample(values), (low, high)))
    return first, last if last > first else first + 1.0


def _subsample(values: NDArray[Any]) -> NDArray[Any]:
    """Subsample to about two million voxels, enough for percentiles."""
    return values.ravel()[:: max(1, values.size // 2_000_000)]
