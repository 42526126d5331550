"""Pictures of one case and scale: cuts side by side, spectra, Fourier shell correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.benchmark.panels import volume_figure
from isoslice.evaluation.figures import choose_view
from isoslice.io.atomic import atomic_output
from isoslice.runtime.progress import Progress
from suite.cases import CaseData
from suite.scoring import TRUTH, Scored

#: Side of the cuts, in voxels.
CROP = 112
DPI = 160
#: One look for each method, on every plot: a colour-blind safe palette, dashes for interpolation.
LOOKS: dict[str, tuple[str, str, float]] = {
    TRUTH: ("#16181d", "-", 2.2),
    "nearest": ("#9aa0aa", ":", 1.3),
    "linear": ("#9aa0aa", "-", 1.3),
    "cubic": ("#9aa0aa", "--", 1.3),
    "lanczos": ("#9aa0aa", "-.", 1.3),
    "isoslice, mean": ("#0072b2", "-", 2.0),
    "isoslice, sample": ("#d55e00", "-", 2.0),
    "isoslice, distilled": ("#cc79a7", "-", 2.0),
    "msdsr (blocks)": ("#e69f00", "--", 1.6),
    "CARE": ("#009e73", "-", 1.6),
    "ECLARE": ("#56b4e9", "-", 1.6),
    "ECLARE (blocks)": ("#56b4e9", "--", 1.6),
}


def draw(
    case: CaseData, factor: int, rows: Sequence[Scored], folder: Path, progress: Progress
) -> None:
    """Draw all pictures of one case and scale anew; that takes seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    progress.note(f"{case.name}: drawing {factor}x")
    name = f"{case.name}_{factor}x"
    whole = [row for row in rows if row.restored is not None and not row.restored.blocks_only]
    cuts_figure(case, factor, whole, folder / f"{name}_cuts.png")
    if any(row.restored is not None and row.restored.blocks_only for row in rows):
        block_figure(case, factor, rows, folder / f"{name}_block.png")
    curves_figure(case, factor, rows, folder / f"{name}_spectra.png")


def cuts_figure(case: CaseData, factor: int, rows: Sequence[Scored], path: Path) -> None:
    """XY midway between two measured planes, XZ and YZ of whole volumes, one window of grey."""
    truth = case.truth.data
    view = choose_view(truth, factor, CROP)
    z = _between(view.z, factor)
    depth = min(CROP, len(truth))
    top = int(np.clip(z - depth // 2, 0, len(truth) - depth))
    where = (slice(top, top + depth), view.rows, view.columns)
    volumes = {TRUTH: truth} | {row.method: row.restored.volume for row in rows if row.restored}
    at = (z - top, view.y - view.rows.start, view.x - view.columns.start)
    volume_figure(
        path,
        {factor: {name: volume[where][None] for name, volume in volumes.items()}},
        at,
        overwrite=True,
    )


def block_figure(case: CaseData, factor: int, rows: Sequence[Scored], path: Path) -> None:
    """Show one block by every method, the slow one among them: the block richest in structure."""
    truths = case.blocks(case.truth.data)
    chosen = int(truths.reshape(len(truths), -1).var(1).argmax())
    volumes = {TRUTH: truths[chosen]}
    for row in rows:
        if row.restored is not None:
            found = row.restored
            blocks = found.volume if found.blocks_only else case.blocks(found.volume)
            volumes[row.method] = blocks[chosen]
    at = (_between(case.block[0] // 2, factor), case.block[1] // 2, case.block[2] // 2)
    pictures = {name: volume[None] for name, volume in volumes.items()}
    volume_figure(path, {factor: pictures}, at, overwrite=True)


def curves_figure(case: CaseData, factor: int, rows: Sequence[Scored], path: Path) -> None:
    """Plot power along Z, and the Fourier shell correlation along Z and over all directions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4.6), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    power, cone, shells = figure.subplots(1, 3)
    truth = case.truth.data
    blocks = case.blocks(truth)
    _line(power, TRUTH, *line_spectrum([truth]))
    for row in rows:
        if row.restored is None:
            continue
        volume = row.restored.volume
        frequency, found = line_spectrum(list(volume) if row.restored.blocks_only else [volume])
        if row.restored.blocks_only:
            # Blocks hold more or less structure than the whole: relative to the truth's own.
            found = found / line_spectrum(list(blocks))[1]
            found = found * np.interp(frequency, *line_spectrum([truth]))
        _line(power, row.method, frequency, found)
        for axes, key in ((cone, "fsc_z"), (shells, "fsc")):
            curve = row.fidelity[key]
            _line(axes, row.method, curve["frequency"], _floats(curve["correlation"]))
    power.set(yscale="log", title="power along Z", ylabel="power, mean over lines")
    power.axvline(0.5 / factor, color="#c8ccd2", lw=1, zorder=0)
    cone.set(title="Fourier shell correlation, within 30° of Z", ylabel="correlation with truth")
    shells.set(title="Fourier shell correlation, all directions")
    for axes in (cone, shells):
        axes.axhline(0.5, color="#c8ccd2", lw=1, zorder=0)
        axes.axvline(0.5 / factor, color="#c8ccd2", lw=1, zorder=0)
        axes.set_ylim(-0.1, 1.03)
    for axes in (power, cone, shells):
        axes.set(xlim=(0, 0.5), xlabel="frequency (cycles a voxel)")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = power.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=(len(labels) + 1) // 2, frameon=False
    )
    figure.suptitle(f"{case.name}, {factor}x (grey line: what measured planes alone can tell)")
    with atomic_output(path, overwrite=True) as draft:
        figure.savefig(draft, format="png", facecolor="white")


def line_spectrum(
    volumes: Sequence[NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean periodogram of all lines along Z (Hann window, mean taken off), without frequency 0."""
    depth = volumes[0].shape[0]
    window = np.hanning(depth + 2)[1:-1, None]
    total = np.zeros(depth // 2 + 1)
    lines = 0
    for volume in volumes:
        for plane in np.moveaxis(volume, 1, 0):
            line = plane.astype(np.float64)
            line = (line - line.mean(0)) * window
            total += (np.abs(np.fft.rfft(line, axis=0)) ** 2).sum(1)
            lines += line.shape[1]
    frequencies = np.fft.rfftfreq(depth)[1:].astype(np.float64)
    return frequencies, total[1:] / lines / float((window**2).sum())


def _line(axes: Any, method: str, x: Any, y: Any) -> None:
    colour, style, width = LOOKS.get(method, ("#555555", "-", 1.4))
    axes.plot(x, y, color=colour, ls=style, lw=width, label=method)


def _between(z: int, factor: int) -> int:
    """Return the plane midway between the measured planes around `z`."""
    return z // factor * factor + factor // 2


def _floats(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def curve_figure(points: Mapping[float, Mapping[str, float]], path: Path, title: str) -> None:
    """Plot PSNR of the mean and SliceFID of the sample against minutes of training."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    minutes = list(points)
    for axes, key, name, method in (
        (left, "psnr", "PSNR over missing planes (dB)", "isoslice, mean"),
        (right, "slicefid", "SliceFID of the blocks", "isoslice, sample"),
    ):
        colour = LOOKS[method][0]
        axes.plot(minutes, [p[key] for p in points.values()], "o-", color=colour, label=method)
        for other in ("linear", TRUTH):
            if f"{key} {other}" in next(iter(points.values())):
                value = next(iter(points.values()))[f"{key} {other}"]
                look = LOOKS[other]
                axes.axhline(value, color=look[0], ls="--", lw=1.3, label=other)
        axes.set(xlabel="minutes of training", ylabel=name, xscale="log")
        axes.set_xticks(minutes, [f"{m:g}" for m in minutes])
        axes.set_xticks([], minor=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title)
    with atomic_output(path, overwrite=True) as draft:
        figure.savefig(draft, format="png", facecolor="white")
