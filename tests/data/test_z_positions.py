"""Positions of planes: when they are even, and what becomes of them as volumes change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isoslice.data.coarse import turned
from isoslice.data.volume import Volume
from isoslice.data.z_positions import at_planes, rounding_of, spacing_of, with_positions
from isoslice.errors import DataError
from isoslice.inference.stack import planes_to_learn_from
from isoslice.io.selection import select

UNEVEN = (0.0, 2.0, 4.5, 6.5, 10.5)


def stack(positions=UNEVEN, axes="TCZYX", spacing=None):
    data = np.arange(2 * 3 * 5 * 4 * 6, dtype=np.uint16).reshape(2, 3, 5, 4, 6)
    spacing = spacing or {"Z": 2.25, "Y": 0.5, "X": 0.5}
    return Volume(data, axes, spacing, "micrometer", z_positions=positions)


@given(st.integers(2, 30), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_planes_less_than_a_hundredth_off_are_even(count, step, first, seed):
    off = np.random.default_rng(seed).uniform(-1, 1, count) * step
    places = first + step * np.arange(count) + 0.004 * off
    spacing, positions = spacing_of(places)
    assert positions is None
    assert spacing == pytest.approx((places[-1] - places[0]) / (count - 1))


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30), st.floats(-100, 100))
def test_uneven_planes_keep_their_distances(gaps, first):
    places = np.cumsum([first, *gaps])
    spacing, positions = spacing_of(places)
    even = np.linspace(places[0], places[-1], len(places))
    if positions is None:
        assert np.abs(places - even).max() < 0.0101 * spacing
    else:
        assert np.abs(places - even).max() > 0.0099 * (even[1] - even[0])
        assert positions[0] == 0
        assert np.diff(positions) == pytest.approx(gaps)
        assert spacing == pytest.approx(np.median(gaps))


def test_a_missing_plane_is_no_jitter():
    assert spacing_of([0, 1, 2, 4, 5]) == (1.0, (0, 1, 2, 4, 5))


@given(st.floats(0.5, 5), st.integers(5, 60), st.floats(-200, 200), st.integers(0, 2))
def test_rounded_positions_of_even_planes_are_even(step, count, first, digits):
    """Scanners write 0.6, 1.2, 1.9 for planes that are 0.625 apart."""
    places = np.round(first + step * np.arange(count), digits)
    assume(10.0**-digits <= 0.12 * step)
    rounding = rounding_of(places.tolist())
    assert rounding == pytest.approx(10.0**-digits) or len(set(np.diff(places).round(6))) == 1
    spacing, positions = spacing_of(places, rounding)
    assert positions is None
    assert spacing == pytest.approx(step, abs=1.1 * rounding / (count - 1))


@given(st.integers(3, 60), st.integers(1, 10), st.integers(0, 3), st.data())
def test_rounding_is_no_missing_plane(count, step, digits, data):
    lost = data.draw(st.integers(1, count - 1))
    places = np.delete(step * np.arange(count + 1) / 10.0**digits, lost)
    assert spacing_of(places, rounding_of(places.tolist()))[1] is not None


@pytest.mark.parametrize(
    ("numbers", "last"),
    [((3, -4, 12), 1), ((2.5, 3), 0.1), ((36.09, 33), 0.01), ((1 / 3, 2), 0), ((3912.3375,), 1e-4)],
)
def test_last_digits(numbers, last):
    assert rounding_of(numbers) == pytest.approx(last)


def test_given_positions():
    volume = with_positions(stack(None), [12.0, 14, 16.5, 18.5, 22.5])
    assert volume.z_positions == UNEVEN
    assert volume.spacing["Z"] == 2.25
    even = with_positions(volume, [0, 3, 6, 9, 12])
    assert (even.z_positions, even.spacing["Z"]) == (None, 3.0)
    assert with_positions(volume, None).z_positions is None


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([0, 1, 2, 3], "got 4 positions, expected one for each of 5 planes"),
        ([4, 3, 2, 1, 0], "positions that fall, from 4 to 0.*with the other sign"),
        ([0, 1, 1, 2, 3], r"planes 1 and 2 \(from 0\) both at 1.*take one of them out"),
        ([0, 1, 3, 2, 4], r"got plane 3 \(from 0\) at 2 after one at 3.*sort the planes"),
        ([0, 1, np.nan, 2, 4], "no finite number"),
    ],
)
def test_refused_positions(places, message):
    with pytest.raises(DataError, match=message):
        with_positions(stack(None), places)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ((0.0, 1.0), "2 positions for 5 planes"),
        ((1.0, 2.0, 3.0, 4.0, 5.0), r"begin with \[1.0, 2.0"),
        ((0.0, 2.0, 2.0, 4.0, 5.0), "strictly rising"),
        ((0.0, 2.0, np.inf, 4.0, 5.0), "strictly rising"),
    ],
)
def test_a_volume_has_no_other_positions(places, message):
    with pytest.raises(DataError, match=message):
        stack(places)


def test_what_keeps_positions():
    volume = stack()
    assert replace(volume, source="elsewhere").z_positions == UNEVEN
    assert select(volume, "0,2", "1").z_positions == UNEVEN
    assert turned(volume, "Z").z_positions == UNEVEN
    assert turned(volume, "X").z_positions is None
    assert turned(volume, "X").axes == "TCXYZ"


def test_some_planes_keep_theirs():
    volume = stack()
    assert at_planes(UNEVEN, range(1, 4)) == (0.0, 2.5, 4.5)
    assert at_planes(UNEVEN, [0, 2, 4]) == (0.0, 4.5, 10.5)
    assert at_planes(None, range(3)) is None
    few = planes_to_learn_from(volume, limit=2 * 3 * 3 * 4 * 6 * 2)
    assert few.z_positions == at_planes(UNEVEN, [0, 2, 4])
    assert few.size("Z") == 3
