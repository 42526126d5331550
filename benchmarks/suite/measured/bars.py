"""What the measurement model must reach, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from suite.measured.pair import CASE as PAIR_CASE
from suite.measured.pair import told_to_peers
from suite.measured.parts import FACTORS, NOISES, PROFILES
from suite.measured.peers import CASES as PEER_CASES
from suite.measured.peers import all_told
from suite.measured.rows import ADAPTED, OWN, SAMPLE, TODAY, TOLD, Case, Rows, profile_name
from suite.measured.volumes import PAIR, VOLUMES

#: Least mean gain over today's (dB) of planes that are told, by their noise, in the order of
#: `parts.PROFILES`.
GAINS = {0.0: (0.7, 2.0, 4.0), 0.03: (0.5, 1.5, 2.0)}
SHARP_LOSS, AUTO_LOSS, PAIR_GAIN = 0.05, 0.3, 1.0
#: Planes that are compared with even ones; see `profiles.places_of`.
UNEVEN = ("a fifth missing", "jitter", "4.83")
COVERED, AGREES = (0.87, 0.93), (0.8, 1.2)
#: Most time, relative to today's of points, and to the same of points.
POINT_COST, PROFILE_COST = 1.05, 1.20
ALL = tuple(VOLUMES)
#: How a model came to know planes.
HOW = {OWN: "trained for these planes", ADAPTED: "adapted to these planes"}


@dataclass(frozen=True)
class Bar:
    """One thing to reach.

    Attributes
    ----------
    name
        What is measured.
    found
        What it came to on each volume where it was measured.
    expected
        Volumes that it is to be measured on.
    low, high
        What its value must lie within; None for no limit.
    worst
        Whether that is the least of these volumes, not their mean.
    """

    name: str
    found: Mapping[str, float]
    expected: Sequence[str]
    low: float | None = None
    high: float | None = None
    worst: bool = False

    @property
    def value(self) -> float | None:
        """The mean over volumes, or the least; None unless all were measured."""
        if set(self.found) != set(self.expected):
            return None
        return min(self.found.values()) if self.worst else fmean(self.found.values())

    @property
    def result(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        value = self.value
        if value is None:
            return "not measured"
        above = self.low is None or value >= self.low
        return "met" if above and (self.high is None or value <= self.high) else "missed"

    @property
    def target(self) -> str:
        """The limits in words."""
        if self.low is None:
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


def bars(rows: Rows) -> list[Bar]:
    """Hold what was measured against all bars."""
    found = _Found(rows)
    return [
        *_points(found),
        *_blurred(found),
        *_uneven(found),
        *_cost(found),
        *_peers(found),
        *_pair(found),
    ]


class _Found:
    """Looks up numbers of rows; None where there are none."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def number(
        self, volume: str, case: Case, method: str, told: str = "point", what: str = "psnr"
    ) -> float | None:
        """Return a number of one restoration."""
        row = self._rows.get((volume, case, method, told))
        value = None if row is None else getattr(row, what)
        return None if value is None else float(value)

    def less(
        self, volume: str, case: Case, one: tuple[str, str], other: tuple[str, str]
    ) -> float | None:
        """PSNR of one method, told something, less that of another."""
        return difference(self.number(volume, case, *one), self.number(volume, case, *other))


def difference(one: float | None, other: float | None) -> float | None:
    """Subtract, where both are known."""
    return None if one is None or other is None else one - other


def of_numbers(
    name: str,
    numbers: Mapping[str, float | None],
    low: float | None = None,
    high: float | None = None,
    *,
    worst: bool = False,
) -> Bar:
    """Make a bar of a number that each volume should have."""
    known = {volume: value for volume, value in numbers.items() if value is not None}
    return Bar(name, known, tuple(numbers), low, high, worst)


def _coverage(
    found: _Found, case: Case, told: str, volumes: Sequence[str] = ALL, method: str = TOLD
) -> Bar:
    shares = {v: found.number(v, case, method, told, "coverage") for v in volumes}
    how = HOW.get(method, f"told {told}")
    name = f"{case.part}, {case.name}: coverage of 90% intervals, {how}"
    return of_numbers(name, shares, *COVERED)


def _points(found: _Found) -> Iterator[Bar]:
    cases = [Case("points", factor) for factor in FACTORS]
    worst = {}
    for volume in ALL:
        gains = [found.less(volume, case, (TOLD, "point"), (TODAY, "point")) for case in cases]
        known = [gain for gain in gains if gain is not None]
        worst[volume] = min(known) if len(known) == len(gains) else None
    name = "points: told less today's, worst of 2x, 4x, 8x and of all volumes (dB)"
    yield of_numbers(name, worst, -SHARP_LOSS, worst=True)
    for case in cases:
        own = {v: found.less(v, case, (OWN, "point"), (TODAY, "point")) for v in ALL}
        name = f"points, {case.name}: trained for these planes less today's, worst volume (dB)"
        yield of_numbers(name, own, -SHARP_LOSS, worst=True)
        for method in (TOLD, OWN):
            yield _coverage(found, case, "point", method=method)


def _blurred(found: _Found) -> Iterator[Bar]:
    for noise in NOISES:
        for seen, gain in zip(PROFILES, GAINS[noise], strict=True):
            case = Case("blurred", 4, "even", profile_name(seen), noise)
            yield from _blurred_case(found, case, gain)


def _blurred_case(found: _Found, case: Case, gain: float) -> Iterator[Bar]:
    where, given = f"blurred, {case.name}", case.seen_through
    told = (TOLD, given)
    gains = {v: found.less(v, case, told, (TODAY, "point")) for v in ALL}
    yield of_numbers(f"{where}: told less today's (dB)", gains, gain)
    losses = {v: found.less(v, case, told, (TOLD, "auto")) for v in ALL}
    yield of_numbers(f"{where}: told less auto (dB)", losses, high=AUTO_LOSS)
    for method, mode in ((TOLD, "mean"), (TOLD + SAMPLE, "sample")):
        numbers = {v: found.number(v, case, method, given, "chi_squared") for v in ALL}
        yield of_numbers(f"{where}: chi squared, {mode}", numbers, *AGREES)
    for profile in (given, "auto"):
        yield _coverage(found, case, profile)
    for method, how in HOW.items():
        gains = {v: found.less(v, case, (method, given), (TODAY, "point")) for v in ALL}
        yield of_numbers(f"{where}: {how} less today's (dB)", gains, gain)
        yield _coverage(found, case, given, method=method)


def _uneven(found: _Found) -> Iterator[Bar]:
    def gain(volume: str, planes: str, method: str) -> float | None:
        case = Case("uneven", 4, planes)
        return found.less(volume, case, (method, "point"), ("linear", "point"))

    for planes in UNEVEN:
        for method, how in ((TOLD, ""), (OWN, ", trained for these planes")):
            gains = {v: difference(gain(v, planes, method), gain(v, "even", method)) for v in ALL}
            name = f"uneven, {planes}: gain over linear, less that of even planes{how} (dB)"
            yield of_numbers(name, gains, 0.0)
            yield _coverage(found, Case("uneven", 4, planes), "point", method=method)


def _cost(found: _Found) -> Iterator[Bar]:
    slab = profile_name(PROFILES[0])

    def ratio(volume: str, one: tuple[str, str], other: tuple[str, str]) -> float | None:
        seconds = [found.number(volume, Case("cost"), *each, "seconds") for each in (one, other)]
        return None if None in seconds else seconds[0] / seconds[1]  # type: ignore[operator]

    for end, mode in (("", "mean"), (SAMPLE, "sample")):
        point = (TOLD + end, "point")
        ratios = {v: ratio(v, point, (TODAY + end, "point")) for v in ALL}
        yield of_numbers(f"cost of points, {mode}: told / today's", ratios, high=POINT_COST)
        ratios = {v: ratio(v, (TOLD + end, slab), point) for v in ALL}
        yield of_numbers(f"cost of a profile, {mode}: with / points", ratios, high=PROFILE_COST)


def _peers(found: _Found) -> Iterator[Bar]:
    for seen, noise in PEER_CASES.values():
        case = Case("blurred", 4, "even", profile_name(seen), noise)
        given = case.seen_through
        for peer in all_told(seen, given, 0.0):
            gains = {v: found.less(v, case, (TOLD, given), (peer.method, peer.told)) for v in ALL}
            name = f"peers, {case.name}: told less {peer.shown}, worst volume (dB)"
            yield of_numbers(name, gains, 0.0, worst=True)
            for own, how in HOW.items():
                theirs = (peer.method, peer.told)
                gains = {v: found.less(v, case, (own, given), theirs) for v in ALL}
                name = f"peers, {case.name}: {how} less {peer.shown}, worst volume (dB)"
                yield of_numbers(name, gains, 0.0, worst=True)


def _pair(found: _Found) -> Iterator[Bar]:
    others = [(f"{TODAY}, told point", TODAY, "point", PAIR_GAIN)]
    others += [(peer.shown, peer.method, peer.told, 0.0) for peer in told_to_peers()]
    for shown, method, told, gain in others:
        numbers = {PAIR: found.less(PAIR, PAIR_CASE, (TOLD, "auto"), (method, told))}
        yield of_numbers(f"pair: auto less {shown} (dB)", numbers, gain)
    yield _coverage(found, PAIR_CASE, "auto", (PAIR,))
