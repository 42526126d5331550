"""Plots of a scene: intensities along Z, and power spectra along each axis."""

from __future__ import annotations

import numpy as np

from isoslice.evaluation.report.data import COLOURED, Layer, Scene
from isoslice.evaluation.report.encode import Windows
from isoslice.evaluation.report.svg import Band, Line, Plot, line_plot
from isoslice.evaluation.spectra import FINE_BAND, MIN_LENGTH, power_spectrum

_AXES = "ZYX"


def profile_plot(scene: Scene, scale: Windows, at: tuple[int, int, int]) -> str:
    """Draw intensities along Z through a voxel (z, y, x) of the part shown."""
    _, y, x = at
    planes = np.arange(scene.box.shape[0], dtype=np.float64)
    z = (scene.box.start[0] + planes) * scene.voxel_size.z

    def line(volume: Layer) -> Line:
        return Line(scene.kind(volume), volume.name, z, volume.voxels[:, y, x].astype(np.float64))

    lines = [line(v) for v in scene.volumes if v.role not in (*COLOURED, "input")]
    dots = []
    measured = scene.first("input")
    if measured is not None and scene.known:
        known = list(scene.known)
        values = measured.voxels[known, y, x].astype(np.float64)
        dots.append(Line("input", "measured planes", z[known], values))
    bands = []
    ours, uncertainty = scene.first("restored", "sample"), scene.first("uncertainty")
    if ours is not None and uncertainty is not None:
        middle, half = line(ours).y, uncertainty.voxels[:, y, x].astype(np.float64)
        bands.append(Band(z, middle - half, middle + half))
    plot = Plot(
        lines,
        f"z ({scene.unit})",
        "intensity",
        bands=bands,
        dots=dots,
        y_range=scale.grey,
        marker=float(z[at[0]]),
    )
    return line_plot(plot, "Intensities along Z at the cursor, of every volume shown")


def spectrum_plots(scene: Scene) -> list[tuple[str, str]]:
    """Draw power spectra along Z, Y and X; axes with fewer than 8 voxels are left out.

    Returns
    -------
    Heading and SVG of each.
    """
    plots = []
    for axis, name in enumerate(_AXES):
        if scene.box.shape[axis] < MIN_LENGTH:
            continue
        lines = [
            _spectrum(scene, volume, axis)
            for volume in scene.volumes
            if volume.role not in COLOURED
        ]
        shade, label = None, ""
        if axis == 0 and scene.apart is not None:
            shade, label = 0.5 / (scene.apart * scene.voxel_size.z), "finer than measured"
        plot = Plot(
            [line for line in lines if line is not None],
            f"cycles per {scene.unit}",
            "power",
            logarithmic=True,
            shade_from=shade,
            shade_label=label,
        )
        plots.append((f"Along {name}", line_plot(plot, f"Power spectra along {name}")))
    return plots


def _spectrum(scene: Scene, volume: Layer, axis: int) -> Line | None:
    voxels, step = volume.voxels, scene.voxel_size[axis]
    if volume.role == "input" and axis == 0:
        # Planes are repeated: the spectrum is that of the measured ones, up to their Nyquist limit.
        known = list(scene.known)
        if len(known) < 3 or len(set(np.diff(known))) > 1:
            return None
        voxels, step = voxels[known], step * (known[1] - known[0])
    frequency, density = power_spectrum(voxels, axis, step)
    return Line(scene.kind(volume), volume.name, frequency, density)


def fine_detail(volume: Layer) -> float | None:
    """Compute the power of fine detail along Z relative to that along Y and X.

    1 where it is isotropic; None where an axis is too short or flat.
    """
    if min(volume.voxels.shape) < 2 * MIN_LENGTH:
        return None
    powers, (low, high) = [], FINE_BAND
    for axis in range(3):
        frequency, density = power_spectrum(volume.voxels, axis)
        powers.append(float(density[(frequency >= low) & (frequency <= high)].sum()))
    return powers[0] / (0.5 * (powers[1] + powers[2])) if min(powers[1:]) > 0 else None
