"""Planes on the output's grid, at any ratio of spacings."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isoslice.data.grid import even_grid
from isoslice.data.output_spacing import ON_PLANE, OutputSpacing, Wanted, on_planes, output_spacing
from isoslice.data.volume import Volume
from isoslice.data.z_positions import with_positions
from isoslice.errors import DataError, SettingsError

Z = st.floats(0.01, 100)
COUNT = st.integers(2, 50)


def stack(count, z=None, xy=1.0, places=None):
    spacing = {"Y": xy, "X": xy} if z is None else {"Z": z, "Y": xy, "X": xy}
    volume = Volume(np.zeros((count, 2, 2), np.uint8), "ZYX", spacing, "micrometer")
    return volume if places is None else with_positions(volume, places)


@given(COUNT, st.integers(2, 16), st.floats(0.01, 100))
def test_an_integer_factor_stays_what_it_was(count, factor, z):
    chosen = output_spacing(stack(count, z), Wanted(factor))
    assert chosen.positions == even_grid(count, factor).known
    assert (chosen.step, chosen.ratio, chosen.factor) == (z / factor, factor, factor)
    assert chosen.depth == (count - 1) * factor + 1
    assert chosen.is_even


def test_a_factor_needs_no_spacing():
    chosen = output_spacing(stack(3), Wanted(4))
    assert (chosen.step, chosen.positions) == (None, (0, 4, 8))
    with pytest.raises(DataError, match="expected one along Z, Y and X"):
        output_spacing(stack(3), Wanted())
    with pytest.raises(DataError, match="expected one along Z, Y and X"):
        output_spacing(stack(3), Wanted(isotropic=True))
    with pytest.raises(DataError, match="expected one along Z, Y and X"):
        output_spacing(stack(3), Wanted(spacing=1.0))


@pytest.mark.parametrize(("z", "factor"), [(4.83, 5), (1.5, 2), (2.4, 2), (16, 16), (20, 20)])
def test_by_default_the_nearest_integer(z, factor):
    chosen = output_spacing(stack(5, z), Wanted())
    assert (chosen.factor, chosen.ratio, chosen.step) == (factor, factor, z / factor)


def test_isotropic_is_the_spacing_across():
    volume = Volume(np.zeros((4, 2, 2), np.uint8), "ZYX", {"Z": 4.0, "Y": 0.81, "X": 0.85})
    chosen = output_spacing(volume, Wanted(isotropic=True))
    step = np.sqrt(0.81 * 0.85)
    assert chosen.step == pytest.approx(step, rel=1e-15)
    assert chosen.ratio == pytest.approx(4 / step)
    assert chosen.positions == pytest.approx(np.arange(4) * 4 / step)
    assert (chosen.factor, chosen.depth, chosen.is_even) == (5, 16, False)


@given(COUNT, st.integers(2, 16), st.floats(0.01, 100), st.floats(-1e-7, 1e-7))
def test_integer_ratios_stay_points(count, factor, xy, rounding):
    """Spacings that a file has in float32 are integer multiples all the same."""
    volume = stack(count, xy * factor * (1 + rounding), xy)
    assume(count * factor * abs(rounding) < ON_PLANE)
    chosen = output_spacing(volume, Wanted(isotropic=True))
    assert chosen.is_even
    assert chosen.factor == factor
    assert chosen.step == pytest.approx(xy, rel=1e-12)


@given(COUNT, Z, st.floats(1.05, 16))
def test_any_spacing(count, z, ratio):
    spacing = z / ratio
    assume(1.05 <= z / spacing <= 16)
    chosen = output_spacing(stack(count, z), Wanted(spacing=spacing))
    assert chosen.step == spacing
    assert np.abs(np.multiply(chosen.positions, spacing) - z * np.arange(count)).max() <= (
        ON_PLANE * spacing * (1 + 1e-9)
    )
    assert chosen.positions[0] == 0
    assert (np.diff(chosen.positions) > 0).all()
    assert chosen.depth - 2 < chosen.positions[-1] <= chosen.depth - 1


@given(
    st.lists(st.floats(0.2, 5), min_size=2, max_size=30),
    st.one_of(st.builds(Wanted, st.integers(2, 16)), st.just(Wanted(isotropic=True))),
)
def test_uneven_planes_are_where_they_are(gaps, wanted):
    places = np.cumsum([3.0, *gaps])
    volume = stack(len(places), places=places, xy=0.1)
    assume(volume.z_positions is not None)
    assume(wanted.factor or 1.05 <= volume.spacing["Z"] / 0.1 <= 16)
    chosen = output_spacing(volume, wanted)
    if wanted.factor:
        assert chosen.step == pytest.approx(np.median(gaps) / wanted.factor)
    else:
        assert chosen.step == pytest.approx(0.1)
    there = np.multiply(chosen.positions, chosen.step)
    assert np.abs(there - (places - 3)).max() <= ON_PLANE * chosen.step * (1 + 1e-6) + 1e-9
    assert (np.diff(chosen.positions) > 0).all()


def test_a_lost_plane_leaves_integers():
    chosen = output_spacing(stack(4, places=[0, 3, 6, 12], xy=1.0), Wanted())
    assert chosen == OutputSpacing(1.0, 3.0, (0, 3, 6, 12))
    assert not chosen.is_even


def test_rounding_never_joins_planes():
    close = (0.0, 0.9995, 1.0005, 3.0001)
    assert on_planes(close) == close
    assert on_planes((0.0, 0.9995, 2.5, 3.0001)) == (0.0, 1.0, 2.5, 3.0)


@pytest.mark.parametrize(
    ("wanted", "z", "error", "message"),
    [
        (Wanted(isotropic=True), 1.04, DataError, "isotropic already"),
        (Wanted(isotropic=True), 16.4, SettingsError, r"16\.4 output planes.*--spacing 2\.1"),
        (Wanted(spacing=4.0), 4.0, SettingsError, r"at most 3\.81"),
        (Wanted(spacing=0.1), 4.0, SettingsError, r"40\.0 output planes.*--spacing 0\.5"),
    ],
)
def test_ratios_out_of_range(wanted, z, error, message):
    with pytest.raises(error, match=message):
        output_spacing(stack(3, z), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 3, "isotropic": True}, "got a factor and isotropic, expected one"),
        ({"factor": 3, "spacing": 0.5}, "got a factor and a spacing"),
        ({"isotropic": True, "spacing": 0.5}, "got isotropic and a spacing"),
        ({"factor": 1}, "expected an integer of at least 2"),
        ({"spacing": 0.0}, "expected a positive length"),
        ({"spacing": np.inf}, "expected a positive length"),
    ],
)
def test_what_contradicts_itself(options, message):
    with pytest.raises(SettingsError, match=message):
        Wanted(**options)
