"""The report of `isoslice check`: measured planes beside what was restored in their place."""

from __future__ import annotations

import numpy as np

from isoslice.data.survey import format_planes
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.holdout.hide import interpolate_hidden
from isoslice.evaluation.holdout.result import METHODS, ChannelCheck, Fidelity, PlaneScore
from isoslice.evaluation.report.crop import VOXELS, choose_box
from isoslice.evaluation.report.data import Advice, Made, Plot, Report, Scene, Shown, Table
from isoslice.evaluation.report.parts import (
    by,
    name_of,
    read_box,
    reader,
    spacing,
    times,
    turned_text,
    which_part,
)
from isoslice.evaluation.report.svg import Line

MEASURED, LINEAR, RESTORED = "Measured", "Linear", "Restored"


def check_report(
    found: Fidelity, *, channel: int = 0, time: int = 0, limit: float = VOXELS
) -> Report:
    """Compose the report of what `isoslice check` found.

    The volumes hold hidden planes alone: what was measured there, and what was made of the planes
    around.

    Parameters
    ----------
    found
        The result of `isoslice.check`.
    channel, time
        Which one is shown.
    limit
        Most voxels of the part shown.

    Raises
    ------
    DataError
        If there is no such channel or time point.
    """
    t, c, planes, height, width = found.shape
    if not (0 <= channel < c and 0 <= time < t):
        raise DataError(
            f"got channel {channel} at time point {time}, expected ones below {c} and {t}"
        )
    measured = found.measured[time, channel]
    shape = (planes - 2, height, width)
    size = found.voxel_size
    hidden = Volume(
        measured[1:-1],
        "ZYX",
        {} if size is None else dict(zip("ZYX", size, strict=True)),
        found.unit,
        source=found.source,
    )
    box = choose_box(reader(hidden), shape, None, limit)
    ours = found.restored[time, channel][box.slices]
    # Interpolated over all of the depth, within the part shown.
    linear = interpolate_hidden(measured[:, box.slices[1], box.slices[2]], "linear")[box.slices[0]]
    error = np.abs(ours.astype(np.float64) - measured[1:-1][box.slices]).astype(np.float32)
    scene = Scene(
        (
            Shown(LINEAR, "linear", linear),
            Shown(RESTORED, "sample" if found.mode == "sample" else "restored", ours),
            Shown(MEASURED, "truth", read_box(hidden, box)),
            Shown("Error of restored", "error", error, Made("difference", (RESTORED, MEASURED))),
        ),
        *spacing(hidden),
        box,
        shape,
    )
    shown = which_part(_channels(found), time, channel)
    lost = found.lost[time][channel] if found.lost else ()
    expected = found.predicted["model"]
    return Report(
        title=f"{name_of(hidden)}, checked by leaving planes out",
        kind="check",
        summary=_sentence(found.verdict),
        facts={
            "Gain over linear": f"{found.gain:+.2f} dB",
            "Planes better": f"{found.better} of {found.tested}",
            "Expected PSNR": "–" if expected is None else f"{expected:.2f} dB",
            "Factor": f"{times(found.factor)}, hidden at {times(2 * found.factor)}",
            "Shape (Z, Y, X)": by(*shape),
            "Model": found.model,
            **({"Lost": f"{format_planes(lost)}, interpolated here, not scored"} if lost else {}),
            **({} if found.along == "Z" else {"Turned": turned_text(found.along)}),
            **({"Shown": shown} if shown else {}),
        },
        warning=" ".join(
            f"{message[0].upper()}{message[1:]}." for message in found.doubts.messages
        ),
        advice=_advice(found),
        scene=scene,
        tables=(_scores(found), *_planes(found)),
        provenance=found.summary(),
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _channels(found: Fidelity) -> Volume:
    names = tuple(one.name or "" for one in found.channels if one.time == 0)
    complete = len(names) == found.shape[1] and all(names)
    return Volume(
        np.zeros((*found.shape[:2], 1, 1), np.uint8), "TCYX", {}, None, names if complete else None
    )


def _scores(found: Fidelity) -> Table:
    def cell(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    rows = tuple(
        (way, cell(found.psnr[way], 2), cell(found.ssim[way], 4), cell(found.predicted[way], 2))
        for way in METHODS
    )
    return Table(
        "Scores",
        ("", "PSNR at hidden planes (dB)", "SSIM at hidden planes", "PSNR to expect (dB)"),
        rows,
        f"Planes were hidden at twice your spacing ({times(2 * found.factor)}), a harder task than "
        "yours; what is to be expected between your own planes follows from rows hidden within "
        "them. " + " ".join(map(_sentence, found.notes)),
    )


def _planes(found: Fidelity) -> tuple[Table, ...]:
    def row(plane: PlaneScore) -> tuple[str, ...]:
        alike = plane.ssim["model"]
        return (
            str(plane.plane),
            f"{plane.psnr['model']:.2f}",
            f"{plane.psnr['linear']:.2f}",
            f"{plane.gain:+.2f}",
            "–" if alike is None else f"{alike:.4f}",
        )

    columns = ("Plane", "Model (dB)", "Linear (dB)", "Gain (dB)", "SSIM of the model")
    several = len(found.channels) > 1
    return tuple(
        Table(
            f"Plane by plane, channel {one.name or one.channel}, time point {one.time}"
            if several
            else "Plane by plane",
            columns,
            tuple(row(plane) for plane in one.planes),
            plot=_along_z(one),
        )
        for one in found.channels
    )


def _along_z(channel: ChannelCheck) -> Plot:
    planes = np.array([one.plane for one in channel.planes], np.float64)

    def line(way: str, kind: str, label: str) -> Line:
        return Line(kind, label, planes, np.array([one.psnr[way] for one in channel.planes]))

    lines = (line("linear", "linear", LINEAR), line("model", "restored", RESTORED))
    return Plot(lines, "measured plane", "PSNR (dB)")


def _advice(found: Fidelity) -> tuple[Advice, ...]:
    return (
        Advice(
            "What was done",
            "Every other measured plane was hidden and restored from the rest, then the others. "
            "What you see are hidden planes alone, one after the other along Z: what was really "
            "measured there, and what the model and linear interpolation made of their neighbours.",
        ),
        Advice(
            "How to read it",
            f"Hiding planes makes a stack twice as coarse ({times(2 * found.factor)} instead of "
            f"{times(found.factor)}), and hidden planes lie in the middle of gaps. So these are "
            "worse than what you will get; whether the model beats linear interpolation is what "
            "to look for.",
        ),
        Advice(
            "Where to doubt it",
            "Where the error is bright, and in planes that score far below the others: artefacts, "
            "jumps and rare structures. A good score does not make single structures true.",
        ),
    )
