"""What the milestone must reach, and whether it did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from isoslice.evaluation.benchmark.cells import Cell, Column, Row, ScoreTable
from suite.methods import DISTILLED, MEAN, SAMPLE
from suite.report import distance, is_msdsr
from suite.scoring import Scored

#: The scale that the bars speak of.
SCALE = 4
#: A case's rows at each scale.
Results = Mapping[int, Sequence[Scored]]


@dataclass(frozen=True)
class Bar:
    """One thing to reach.

    Attributes
    ----------
    name
        Case, scale, and what is measured.
    value
        What it came to; None where the run does not tell.
    target, sense
        At least (``>=``) or at most (``<=``) this.
    """

    name: str
    value: float | None
    target: float
    sense: Literal[">=", "<="]

    @property
    def met(self) -> bool | None:
        """Whether it was reached; None where the run does not tell."""
        if self.value is None or math.isnan(self.value):
            return None
        return self.value >= self.target if self.sense == ">=" else self.value <= self.target

    @property
    def result(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def bars(case: str, factors: Results, peers: Sequence[str]) -> list[Bar]:
    """Hold a case's rows at each scale against all bars; `peers` are names of other programs."""
    found: list[Bar] = []
    for factor, rows in factors.items():
        by_name = {row.method: row for row in rows}
        where = f"{case} {factor}x"
        if factor == SCALE:
            found += _sample_bars(where, by_name)
            if case == "fib25":
                found.append(_interpolation_bar(where, by_name))
        if factor >= SCALE:
            found += _science_bars(where, by_name)
        found += _peer_bars(where, by_name, peers)
        found += _speed_bars(where, by_name)
    return found


def _sample_bars(where: str, rows: Mapping[str, Scored]) -> list[Bar]:
    sample, linear = rows.get(SAMPLE), rows.get("linear")
    if sample is None or linear is None:
        return []
    msdsr = next((row for name, row in rows.items() if is_msdsr(name)), None)
    floor = rows["truth"]
    ratios = [value for value in sample.fidelity["gradient"].values() if value is not None]
    worst = max((abs(value - 1) for value in ratios), default=None)
    name = f"{where}, sample"
    return [
        Bar(f"{name}: SliceFID distance / linear's", distance(sample, floor, linear), 1 / 3, "<="),
        Bar(f"{name}: SliceFID distance / msdsr's", distance(sample, floor, msdsr), 1 / 2, "<="),
        Bar(f"{name}: gradient ratio, farthest from 1 of all axes", worst, 0.1, "<="),
        Bar(f"{name}: PSNR less linear's (dB)", _gain(sample, [linear]), -0.5, ">="),
    ]


def _interpolation_bar(where: str, rows: Mapping[str, Scored]) -> Bar:
    others = [rows[name] for name in ("linear", "cubic") if name in rows]
    name = f"{where}, mean: PSNR less the better of linear's and cubic's (dB)"
    return Bar(name, _gain(rows.get(MEAN), others), 1.0, ">=")


def _science_bars(where: str, rows: Mapping[str, Scored]) -> list[Bar]:
    """Hold what is found in isoslice's volumes against what is found in interpolated ones."""
    others = [rows[name].science for name in ("linear", "cubic") if name in rows]
    found = []
    for name, short in ((MEAN, "mean"), (SAMPLE, "sample")):
        for what, score in rows[name].science.items() if name in rows else ():
            bar = f"{where}, {short}: Dice of {what} less the better of linear's and cubic's"
            known = [other[what]["dice"] for other in others if what in other]
            gain = None
            if known and None not in known and score["dice"] is not None:
                gain = score["dice"] - max(known)
            found.append(Bar(bar, gain, 0.0, ">="))
    return found


def _peer_bars(where: str, rows: Mapping[str, Scored], peers: Sequence[str]) -> list[Bar]:
    """Hold the mean against all that learn, over the blocks where these are all they restored."""
    mean, found = rows.get(MEAN), []
    for peer in [*peers, *(name for name in rows if is_msdsr(name))]:
        other = rows.get(peer)
        name = f"{where}, mean: PSNR less that of {peer} (dB)"
        found.append(Bar(name, _gain(mean, [other] if other else []), 0.0, ">="))
    return found


def _speed_bars(where: str, rows: Mapping[str, Scored]) -> list[Bar]:
    rates = {name: row.restored.voxels_per_second for name, row in rows.items() if row.restored}
    found = [Bar(f"{where}, sample: voxels/s", rates.get(SAMPLE), 250_000, ">=")]
    if "CARE" in rates and SAMPLE in rates:
        ratio = rates[SAMPLE] / rates["CARE"]
        found.append(Bar(f"{where}, sample: speed / CARE's", ratio, 1.0, ">="))
    if DISTILLED in rates:
        found.append(Bar(f"{where}, distilled: voxels/s", rates[DISTILLED], 800_000, ">="))
    sample = rows.get(SAMPLE)
    if sample is not None and sample.restored is not None:
        share = peak_share(sample.restored.record)
        found.append(Bar(f"{where}, sample: network, share of the peak", share, 0.6, ">="))
    return found


def peak_share(record: Mapping[str, Any]) -> float | None:
    """Operations of the network a second, while it ran, relative to a convolution's peak."""
    if not record.get("inside_seconds"):
        return None
    operations = record["inside_pixels"] * record["flops_per_pixel"]
    return float(operations / record["inside_seconds"] / 1e9 / record["peak_gflops"])


def speed_notes(rows: Sequence[Scored]) -> list[str]:
    """Say where a sample was restored, and what its network reached there."""
    record = next((r.restored.record for r in rows if r.restored and r.method == SAMPLE), {})
    share = peak_share(record)
    if share is None:
        return []
    return [
        f"Machine: {record['machine']}; its convolutions reach {record['peak_gflops']:.0f} "
        f"GFLOP/s, the network {100 * share:.0f}% of that."
    ]


def _gain(row: Scored | None, others: Sequence[Scored]) -> float | None:
    """PSNR less the best of others; over the blocks where one of them has no more."""
    if row is None or not others:
        return None
    if any(other.restored is not None and other.restored.blocks_only for other in others):
        return float(row.blocks["psnr"] - max(other.blocks["psnr"] for other in others))
    return float(row.fidelity["psnr"] - max(other.fidelity["psnr"] for other in others))


def bars_table(case: str, found: Sequence[Bar]) -> ScoreTable:
    """Show one case's bars, their outcome in the rows' names."""
    columns = (Column("value", digits=3), Column("target", digits=3))
    rows = tuple(
        Row(f"{bar.name} {bar.sense} target: {bar.result}", (Cell(bar.value), Cell(bar.target)))
        for bar in found
    )
    counts = {result: sum(bar.result == result for bar in found) for result in ("met", "missed")}
    return ScoreTable(
        f"{case}_bars",
        f"Bars of the milestone: {case}",
        f"{counts['met']} met, {counts['missed']} missed, of {len(found)}. A distance is a "
        "SliceFID less that of the truth's own slices.",
        columns,
        rows,
    )
