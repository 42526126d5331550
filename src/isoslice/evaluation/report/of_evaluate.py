"""The report of `isoslice evaluate`: truth, restored volumes, their errors and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoslice.data.coarse import turned
from isoslice.data.recorded import are_points, recorded_axis
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.evaluate import Evaluation, evaluation_rows, measured_grid
from isoslice.evaluation.report.crop import Crop, choose_box
from isoslice.evaluation.report.data import Advice, Derived, Layer, Report, Scene, Table
from isoslice.evaluation.report.measured import without_lists
from isoslice.evaluation.report.parts import (
    finite,
    finite_reader,
    lengths,
    name_of,
    read_box,
    reader,
    spacing,
    times,
    towards,
    turned_text,
    which_part,
    whole_shape,
)
from isoslice.evaluation.report.planes import measured_and_linear
from isoslice.evaluation.spectra import power_spectrum_ratio

TRUTH = "Truth"
#: Most restored volumes that are shown; tables have all.
MAX_SHOWN = 3


def evaluation_report(
    truth: Volume,
    restored: Sequence[Volume],
    evaluations: Sequence[Evaluation],
) -> Report:
    """Compose the report of `isoslice evaluate`, of the first channel at the first time point.

    Parameters
    ----------
    truth, restored
        The volumes; lazily opened ones are read in parts.
    evaluations
        Result of `isoslice.evaluation.evaluate.evaluate` for each.

    Raises
    ------
    DataError
        If there is nothing to show, or not one evaluation for each volume.
    """
    if not restored or len(restored) != len(evaluations):
        raise DataError(
            f"got {len(restored)} volumes and {len(evaluations)} evaluations, expected one of each "
            "for each restored volume"
        )
    factor = evaluations[0].factor
    along = recorded_axis(restored[0])
    truth, restored = turned(truth, along), [turned(volume, along) for volume in restored]
    depth = min(volume.size("Z") for volume in (truth, *restored))
    whole = (depth, *whole_shape(truth)[1:])
    grid = None if factor is None else measured_grid(restored[0], factor, depth)
    points = are_points(restored[0].provenance)
    even = factor if grid is not None and set(np.diff(grid.known)) == {factor} else None
    box = choose_box(finite_reader(reader(truth)), whole, even)
    true = Layer(TRUTH, "truth", finite(read_box(truth, box)))
    names = unique_names(restored)
    volumes = [true]
    for name, volume in list(zip(names, restored, strict=True))[:MAX_SHOWN]:
        ours = finite(read_box(volume, box))
        error = np.abs(ours.astype(np.float64) - true.voxels).astype(np.float32)
        difference = Derived("difference", (name, TRUTH))
        volumes.append(Layer(name, "restored", ours))
        volumes.append(Layer(f"Error of {name}", "error", error, difference))
    if grid is not None and points:  # else the truth does not have the measured planes
        numbers = tuple(int(z) for z in grid.known)
        of = None if even is None else TRUTH
        volumes[:0] = measured_and_linear(truth, numbers, grid, box, 0, 0, of)[1:]
    size, unit = spacing(truth)
    marked = grid.nearest if grid is not None and even is None else ()
    scene = Scene(
        tuple(volumes),
        size,
        unit,
        box,
        whole,
        even,
        planes=marked,
        ratio=factor,
        points=points,
        towards=towards(truth),
    )
    part = which_part(truth, 0, 0)
    scores = evaluations[0].mean
    quality = scores.psnr if scores.psnr_missing is None else scores.psnr_missing
    facts = {
        "Shape (Z, Y, X)": lengths(*whole),
        "Voxel size (Z, Y, X)": f"{lengths(*map(float, size))} {unit}",
        "Factor": "unknown" if factor is None else times(factor),
        f"PSNR of {names[0]}": f"{quality:.2f} dB",
        **({} if along == "Z" else {"Turned": turned_text(along)}),
        **({"Shown": part} if part else {}),
    }
    return Report(
        title=f"{names[0]} against the truth"
        if len(names) == 1
        else f"{len(names)} volumes against the truth",
        kind="evaluate",
        summary=f"{', '.join(names)}, compared voxel by voxel with {name_of(truth)}.",
        facts=facts,
        advice=_advice(_measured(factor, even, points), len(restored) > MAX_SHOWN),
        scene=scene,
        tables=(_scores(names, evaluations), _spectra(names, restored, truth, box)),
        provenance={
            name: without_lists(volume.provenance or {"source": name_of(volume)})
            for name, volume in zip(names, restored, strict=True)
        },
    )


def unique_names(volumes: Sequence[Volume]) -> list[str]:
    """Return file names, numbered where two are the same or one is a label of the report."""
    names: list[str] = []
    for number, volume in enumerate(volumes, 1):
        name = name_of(volume)
        names.append(name if name not in (*names, TRUTH, "Linear") else f"{name} ({number})")
    return names


def _scores(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Table:
    notes = [
        f"{name}: {note}."
        for name, evaluation in zip(names, evaluations, strict=True)
        for note in evaluation.notes
    ]
    channels = len(evaluations[0].channels)
    caption = "" if channels == 1 else f"Means of {channels} channels and time points. "
    return Table(
        "Scores",
        ("", *names),
        tuple(evaluation_rows(evaluations)),
        f"{caption}L1 is relative to the data range; gradient ratio: 1 is as rough as the truth, "
        f"less is smoother. {' '.join(notes)}".strip(),
    )


def _spectra(names: Sequence[str], restored: Sequence[Volume], truth: Volume, box: Crop) -> Table:
    true = read_box(truth, box)
    rows = []
    for name, volume in zip(names, restored, strict=True):
        ratios = power_spectrum_ratio(read_box(volume, box), true)
        rows.append((name, *("–" if r is None else f"{r:.2f}" for r in ratios)))
    return Table(
        "Power of fine detail",
        ("", "along Z", "along Y", "along X"),
        tuple(rows),
        "In the part shown, from a quarter of a cycle a voxel up, relative to the truth: 1 is as "
        "much fine detail, less is blurred, more is noisy.",
    )


def _measured(factor: int | None, even: int | None, points: bool) -> str:
    """Say which planes were measured."""
    if factor is None:
        return "The factor is unknown, so scores are over all planes."
    if not points:
        return (
            "The measured planes are blurred, noisy or between the planes shown, and all planes "
            "were restored: PSNR over missing planes is over all."
        )
    at = "that was measured" if even is None else f"at a multiple of {even} was measured and"
    return (
        f"Every plane {at} has no error; PSNR over the missing planes tells how well the others "
        "were filled in. Linear is interpolated from the truth's own planes, for comparison."
    )


def _advice(measured: str, left_out: bool) -> tuple[Advice, ...]:
    more = (
        f" Only the first {MAX_SHOWN} volumes are shown; the tables have all." if left_out else ""
    )
    return (
        Advice(
            "What this is",
            "Restored volumes beside the truth that they were made to find again, and where they "
            f"differ.{more}",
        ),
        Advice("What was measured", measured),
        Advice(
            "High scores and sharp looks are two things",
            "The most accurate volume is a smooth one: PSNR, L1 and SSIM punish plausible detail "
            "that lies elsewhere. Gradients and spectra say whether detail is as rough as in the "
            "truth, not whether it is right. Read both.",
        ),
        Advice(
            "Where to doubt it",
            "Bright in the error volumes is wrong. If errors follow membranes or other structures, "
            "rather than noise, what you count or measure there is at risk.",
        ),
        Advice(
            "How far it holds",
            "Scores hold for specimens and imaging like these. On other data, check the model on "
            "the stack itself.",
        ),
    )
