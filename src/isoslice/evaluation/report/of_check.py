"""The report of `isoslice check`: hidden planes as measured and as restored."""

from __future__ import annotations

import numpy as np

from isoslice.data.profile import POINT
from isoslice.data.survey import format_planes
from isoslice.data.volume import Volume
from isoslice.evaluation.holdout.hide import interpolate_hidden
from isoslice.evaluation.holdout.result import METHODS, ChannelCheck, Fidelity, PlaneScore
from isoslice.evaluation.report.crop import choose_box
from isoslice.evaluation.report.data import (
    Advice,
    Derived,
    Layer,
    Report,
    Scene,
    Table,
)
from isoslice.evaluation.report.parts import (
    lengths,
    name_of,
    read_box,
    reader,
    spacing,
    times,
    turned_text,
    which_part,
)
from isoslice.evaluation.report.svg import Line, Plot
from isoslice.evaluation.report.text import profile_text

MEASURED, LINEAR, RESTORED = "Measured", "Linear", "Restored"


def check_report(result: Fidelity) -> Report:
    """Compose the report of what `isoslice check` told.

    The volumes hold hidden planes alone, as measured and as restored from the planes around, of the
    first channel at the first time point.
    """
    _, _, planes, height, width = result.shape
    measured = result.measured[0, 0]
    shape = (planes - 2, height, width)
    size = result.voxel_size
    hidden = Volume(
        measured[1:-1],
        "ZYX",
        {} if size is None else dict(zip("ZYX", size, strict=True)),
        result.unit,
        source=result.source,
    )
    box = choose_box(reader(hidden), shape)
    ours = result.restored[0, 0][box.slices]
    # Interpolated over the whole depth, within the part shown.
    _, y, x = box.slices
    places = result.positions or None
    linear = interpolate_hidden(measured[:, y, x], "linear", places)[box.slices[0]]
    error = np.abs(ours.astype(np.float64) - measured[1:-1][box.slices]).astype(np.float32)
    scene = Scene(
        (
            Layer(LINEAR, "linear", linear),
            Layer(RESTORED, "sample" if result.mode == "sample" else "restored", ours),
            Layer(MEASURED, "truth", read_box(hidden, box)),
            Layer("Error of restored", "error", error, Derived("difference", (RESTORED, MEASURED))),
        ),
        *spacing(hidden),
        box,
        shape,
    )
    shown = which_part(_channels(result), 0, 0)
    lost = result.lost[0][0] if result.lost else ()
    expected = result.predicted["model"]
    return Report(
        title=f"{name_of(hidden)}, checked by leaving planes out",
        kind="check",
        summary=_sentence(result.verdict),
        facts={
            "Gain over linear": f"{result.gain:+.2f} dB",
            "Planes better": f"{result.better} of {result.tested}",
            "Expected PSNR": "–" if expected is None else f"{expected:.2f} dB",
            "Factor": f"{times(result.factor)}, hidden at {times(2 * result.factor)}",
            "Shape (Z, Y, X)": lengths(*shape),
            "Model": result.model,
            **_seen(result),
            **({"Lost": f"{format_planes(lost)}, interpolated here, not scored"} if lost else {}),
            **({} if result.along == "Z" else {"Turned": turned_text(result.along)}),
            **({"Shown": shown} if shown else {}),
        },
        warning="\n\n".join(
            f"{message[0].upper()}{message[1:]}." for message in result.doubts.messages
        ),
        advice=_advice(result),
        scene=scene,
        tables=(_scores(result), *_planes(result)),
        provenance=result.summary(),
    )


def _seen(result: Fidelity) -> dict[str, str]:
    """Say how planes were measured, unless they are even points."""
    step = 1.0 if result.voxel_size is None else result.voxel_size.z / result.factor
    unit = "output planes" if result.voxel_size is None else result.unit or "units"
    told = {}
    if result.profile != POINT:
        width = lengths(float(result.profile.width * step))
        told["Slice profile"] = profile_text(result.profile.kind, f"{width} {unit}")
    if result.positions:
        gaps = np.diff(result.positions) * step
        told["Planes"] = (
            f"{lengths(float(gaps.min()))} to {lengths(float(gaps.max()))} {unit} apart"
        )
    return told


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _channels(result: Fidelity) -> Volume:
    names = tuple(one.name or "" for one in result.channels if one.time == 0)
    complete = len(names) == result.shape[1] and all(names)
    return Volume(
        np.zeros((*result.shape[:2], 1, 1), np.uint8), "TCYX", {}, None, names if complete else None
    )


def _scores(result: Fidelity) -> Table:
    def cell(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    rows = tuple(
        (m, cell(result.psnr[m], 2), cell(result.ssim[m], 4), cell(result.predicted[m], 2))
        for m in METHODS
    )
    return Table(
        "Scores",
        ("", "PSNR at hidden planes (dB)", "SSIM at hidden planes", "PSNR to expect (dB)"),
        rows,
        f"Planes were hidden at twice your spacing ({times(2 * result.factor)}), a harder task "
        "than yours"
        + (
            "; what is to be expected between your own planes follows from rows hidden within them"
            if result.predicted["model"] is not None
            else ""
        )
        + ". "
        + " ".join(map(_sentence, result.notes)),
    )


def _planes(result: Fidelity) -> tuple[Table, ...]:
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
    several = len(result.channels) > 1
    return tuple(
        Table(
            f"Plane by plane, channel {one.name or one.channel}, time point {one.time}"
            if several
            else "Plane by plane",
            columns,
            tuple(row(plane) for plane in one.planes),
            plot=_along_z(one),
        )
        for one in result.channels
    )


def _along_z(channel: ChannelCheck) -> Plot:
    planes = np.array([one.plane for one in channel.planes], np.float64)

    def line(method: str, kind: str, label: str) -> Line:
        return Line(kind, label, planes, np.array([one.psnr[method] for one in channel.planes]))

    lines = (line("linear", "linear", LINEAR), line("model", "restored", RESTORED))
    return Plot(lines, "measured plane", "PSNR (dB)")


def _advice(result: Fidelity) -> tuple[Advice, ...]:
    return (
        Advice(
            "What was done",
            "Every other measured plane was hidden and restored from the rest, then the others. "
            "What you see are hidden planes alone, one after the other along Z: what was really "
            "measured there, and what the model and linear interpolation made of their neighbours"
            + ("." if result.profile == POINT else ", seen through the slice profile."),
        ),
        Advice(
            "How to read it",
            f"Hiding planes makes a stack twice as coarse ({times(2 * result.factor)} instead of "
            f"{times(result.factor)}), and hidden planes lie in the middle of gaps. So these are "
            "worse than what you will get; whether the model beats linear interpolation is what "
            "to look for.",
        ),
        Advice(
            "Where to doubt it",
            "Where the error is bright, and in planes that score far below the others: artefacts, "
            "jumps and rare structures. A good score does not make single structures true.",
        ),
    )
