"""What a report of a restored volume tells of its planes: agreement, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.recorded import recorded_agreement, recorded_share
from isoslice.data.volume import Volume
from isoslice.evaluation.report.data import Table
from isoslice.evaluation.report.planes import Planes
from isoslice.evaluation.report.svg import Line, Plot

#: Squared differences over the noise's variance above which a plane is pointed out.
SUSPECT = 1.5
#: Most planes that are pointed out by their numbers.
MAX_NAMED = 8

Floats = NDArray[np.float64]


def measured_tables(
    made_by: Mapping[str, Any], restored: Volume, planes: Planes, time: int, channel: int, unit: str
) -> tuple[Table, ...]:
    """Compose what is told of the measured planes; see `_agreement` and `_share`."""
    size = restored.voxel_size
    step = 1.0 if size is None else size.z
    channels, count = restored.size("C"), len(planes.numbers) + len(planes.lost)
    tables = []
    found = recorded_agreement(made_by, time, channel, channels, count)
    if found is not None:
        at = {n: z * step for n, z in zip(planes.numbers, planes.grid.known, strict=True)}
        inside = [(n, x) for n, x in zip(found.planes, found.chi_squared, strict=True) if n in at]
        numbers = [n for n, _ in inside]
        places = np.array([at[n] for n in numbers], np.float64)
        tables.append(_agreement(numbers, places, np.array([x for _, x in inside]), unit))
    share = recorded_share(made_by, time, channel, channels, planes.depth)
    if share is None and planes.points:
        share = tuple(map(float, planes.grid.mask))
    if share is not None:
        tables.append(_share(np.array(share, np.float64), step, planes.points, unit))
    return tuple(tables)


def without_lists(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a record what is drawn, or as long as the stack."""
    left = {name: value for name, value in made_by.items() if name != "positions"}
    profile = left.get("slice_profile")
    if isinstance(profile, Mapping):
        long = (
            "chi_squared_of_planes",
            "measured_share",
            "edges_in_output_planes",
            "weights",
        )
        left["slice_profile"] = {n: value for n, value in profile.items() if n not in long}
    return left


def _agreement(numbers: list[int], places: Floats, chi_squared: Floats, unit: str) -> Table:
    """Draw and list how far the result, seen as planes were, differs from each of them."""
    ends = np.array([places.min(), places.max()])
    differences = Line("restored", "difference squared", places, chi_squared)
    plot = Plot(
        [Line("input", "variance of the noise", ends, np.ones(2)), differences],
        f"z ({unit})",
        "difference² / noise variance",
        dots=[differences],
        y_range=(0.0, max(SUSPECT, float(chi_squared.max()))),
    )
    far = [n for n, x in zip(numbers, chi_squared, strict=True) if x > SUSPECT]
    named = ", ".join(map(str, far[:MAX_NAMED])) + (", …" if len(far) > MAX_NAMED else "")
    pointed = f"Above {SUSPECT:g} here: {named} (counted from 0). " if far else ""
    return Table(
        "Agreement with the measured planes",
        ("Plane", f"z ({unit})", "Difference² / noise variance"),
        tuple(
            (str(n), f"{z:.4g}", f"{x:.2f}")
            for n, z, x in zip(numbers, places, chi_squared, strict=True)
        ),
        "Mean squared difference of each measured plane from the result, seen as that plane was "
        "measured, over the variance of the plane's noise. Below 1 is as it should be: the result "
        f"follows a part of the noise. Far above 1 (say, above {SUSPECT:g}), the slice profile or "
        f"the noise is not what was told, or the plane is damaged. {pointed}The noise itself is an "
        "estimate, of at least half a percent of the range. A low value is no proof: a plane that "
        "shares little with its neighbours is met whatever it holds, and what lies between planes "
        "may be wrong all the same.",
        plot,
    )


def _share(share: Floats, step: float, points: bool, unit: str) -> Table:
    """Draw which share of each output plane was measured, each as wide as it is thick."""
    edges = (np.arange(len(share) + 1) - 0.5) * step
    means = (
        "1 where a plane was measured, 0 where none was and the model fills in."
        if points
        else "1 would be a plane that was measured as it is, 0 one of which planes tell nothing. "
        "Planes that are blurred, noisy or between output planes tell a part of several of them; "
        "the rest is filled in by the model."
    )
    return Table(
        "What is measured, and what is invented",
        (),
        (),
        f"Share of each output plane that the measured planes determine. {means} This is what "
        "planes tell by themselves, linearly, if one output plane told nothing of the next: a "
        "model may rightly know more, and nothing here says how good it is.",
        Plot(
            [Line("restored", "measured share", np.repeat(edges, 2)[1:-1], np.repeat(share, 2))],
            f"z ({unit})",
            "measured share",
            y_range=(0.0, 1.0),
        ),
    )
