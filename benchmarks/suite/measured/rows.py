"""What was measured: a row for each restoration, and all of them as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from isoslice.data.profile import Profile

#: What isoslice was before networks were told how planes were measured; what it is, one model for
#: all planes; what it is where it is trained for a stack's own; and where the model that comes with
#: it is adapted to these.
TODAY, TOLD, OWN = "isoslice, today's", "isoslice, told", "isoslice, for these planes"
ADAPTED = "isoslice, adapted to these planes"
SAMPLE = ", sample"


@dataclass(frozen=True)
class Case:
    """How planes of a volume were measured.

    Attributes
    ----------
    part
        Of the benchmark.
    factor
        Voxels from plane to plane.
    planes
        Where they lie: ``even`` or another of `profiles.places_of`.
    seen_through
        Their profile, in voxels.
    noise
        Its deviation as a share of the truth's range.
    """

    part: str
    factor: int = 4
    planes: str = "even"
    seen_through: str = "point"
    noise: float = 0.0

    @property
    def name(self) -> str:
        """Its name in tables and of its files."""
        words = [f"{self.factor}x", self.planes, self.seen_through.replace(":", " ")]
        return " ".join([*words, f"noise {self.noise:g}"] if self.noise else words)


@dataclass(frozen=True)
class Row:
    """One restoration.

    Attributes
    ----------
    volume, case, method, told
        What was restored, by what, told which profile.
    psnr, psnr_missing
        Over all planes, and over those that were not measured (of points).
    coverage
        Share of the truth within 90% intervals.
    chi_squared, chi_squared_least, chi_squared_most
        Mean over planes of how far the volume, seen as a plane was, is from it, in variances of
        its noise; the least and the largest of all planes.
    seconds
        It took.
    training_minutes, training_steps
        Of what learned.
    note
        What else is to be said.
    """

    volume: str
    case: Case
    method: str
    told: str
    psnr: float | None = None
    psnr_missing: float | None = None
    coverage: float | None = None
    chi_squared: float | None = None
    chi_squared_least: float | None = None
    chi_squared_most: float | None = None
    seconds: float | None = None
    training_minutes: float | None = None
    training_steps: int | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, Case, str, str]:
        """What tells it from others."""
        return self.volume, self.case, self.method, self.told

    def joined(self, other: Row) -> Row:
        """Return the row with what another one of the same restoration knows beside it."""
        ours, theirs = asdict(self), asdict(other)
        names = [name for name in NUMBERS if ours[name] in (None, "")]
        return replace(self, **{name: theirs[name] for name in names})


#: What is measured of a restoration.
NUMBERS = tuple(field.name for field in fields(Row))[4:]
Rows = dict[tuple[str, Case, str, str], Row]


def profile_name(profile: Profile) -> str:
    """Return a profile as isoslice takes it, its length in voxels."""
    return "point" if profile.kind == "point" else f"{profile.kind}:{profile.width:.4g}"


def as_record(rows: Iterable[Row]) -> dict[str, Any]:
    """Return rows as plain data."""
    return {"rows": [asdict(row) for row in rows]}


def collected(folder: Path) -> Rows:
    """Read all rows below a folder of results, whatever run measured them."""
    rows: Rows = {}
    for path in sorted(folder.glob("*/results/**/*.json")):
        for plain in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            row = Row(**{**plain, "case": Case(**plain["case"])})
            known = rows.get(row.key)
            rows[row.key] = row if known is None else known.joined(row)
    return rows


def as_csv(rows: Iterable[Row]) -> str:
    """Write rows as CSV; what was not measured stays empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    of_case = [field.name for field in fields(Case)]
    writer.writerow(["volume", *of_case, "method", "told", *NUMBERS])
    for row in rows:
        case = [getattr(row.case, name) for name in of_case]
        found = [_shown(getattr(row, name)) for name in NUMBERS]
        writer.writerow([row.volume, *case, row.method, row.told, *found])
    return stream.getvalue()


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else value
