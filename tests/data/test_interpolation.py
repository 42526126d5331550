from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline, interp1d

from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.interpolation import Method, interpolate, interpolation_matrix
from isoslice.errors import SettingsError

METHODS = get_args(Method)
methods = st.sampled_from(METHODS)
even_grids = st.builds(even_grid, st.integers(2, 12), st.integers(2, 9))
#: Measured planes one to six output planes apart.
any_grids = st.lists(st.integers(1, 6), min_size=1, max_size=10).map(
    lambda steps: PlaneGrid((0, *np.cumsum(steps).tolist()))
)


def noise(grid: PlaneGrid, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(grid.known), 3, 4)).astype(np.float32)


@given(any_grids, methods)
def test_rows_sum_to_one_and_measured_rows_are_one_hot(grid: PlaneGrid, method: Method) -> None:
    weights = interpolation_matrix(grid, method)
    assert weights.shape == (grid.depth, len(grid.known))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights[grid.mask], np.eye(len(grid.known)))


@given(any_grids, methods, st.integers(0, 100))
def test_measured_planes_pass_unchanged(grid: PlaneGrid, method: Method, seed: int) -> None:
    planes = noise(grid, seed)
    filled = interpolate(planes, grid, method)
    assert filled.dtype == np.float32
    assert filled.shape == (grid.depth, 3, 4)
    np.testing.assert_array_equal(filled[grid.mask], planes)


@given(any_grids, st.integers(0, 100))
def test_linear_is_numpy_interp(grid: PlaneGrid, seed: int) -> None:
    planes = noise(grid, seed)
    expected = np.apply_along_axis(
        lambda column: np.interp(np.arange(grid.depth), grid.known, column), 0, planes
    )
    np.testing.assert_allclose(interpolate(planes, grid, "linear"), expected, atol=1e-5)


@given(even_grids)
def test_nearest_is_scipy_nearest_with_ties_down(grid: PlaneGrid) -> None:
    planes = noise(grid)
    oracle = interp1d(grid.known, planes, kind="nearest", axis=0)
    np.testing.assert_array_equal(
        interpolate(planes, grid, "nearest"), oracle(np.arange(grid.depth)).astype(np.float32)
    )


@given(even_grids, st.integers(0, 100))
def test_cubic_is_the_hermite_spline_with_central_slopes(grid: PlaneGrid, seed: int) -> None:
    planes = noise(grid, seed)
    # Catmull-Rom: each slope joins the two neighbours; beyond the ends the end plane repeats.
    padded = np.concatenate([planes[:1], planes, planes[-1:]])
    slopes = (padded[2:] - padded[:-2]) / (2 * grid.known[1])
    oracle = CubicHermiteSpline(grid.known, planes, slopes, axis=0)
    np.testing.assert_allclose(
        interpolate(planes, grid, "cubic"), oracle(np.arange(grid.depth)), atol=1e-5
    )


def test_lanczos_is_the_windowed_sinc() -> None:
    weights = interpolation_matrix(even_grid(8, 2), "lanczos")[7]  # midway between planes 3 and 4
    taps = np.array([3 / np.pi**2 / d**2 * np.sin(np.pi * d) * np.sin(np.pi * d / 3)
                     for d in (2.5, 1.5, 0.5, -0.5, -1.5, -2.5)])  # fmt: skip
    np.testing.assert_allclose(weights[1:7], taps / taps.sum(), atol=1e-6)
    np.testing.assert_array_equal(weights[[0, 7]], 0)


def test_lanczos_keeps_a_wave_that_linear_flattens() -> None:
    grid = even_grid(40, 4)
    wave = np.sin(2 * np.pi * 0.07 * np.arange(grid.depth))
    inside = slice(3 * 4, -3 * 4)  # at the ends a plane is repeated

    def error(method: Method) -> float:
        filled = interpolate(wave[grid.mask][:, None, None], grid, method)[:, 0, 0]
        return float(np.abs(filled - wave)[inside].max())

    assert error("lanczos") < 0.5 * error("cubic") < 0.5 * error("linear")


@given(any_grids, st.floats(-5, 5), st.floats(-5, 5))
def test_linear_reproduces_ramps(grid: PlaneGrid, slope: float, start: float) -> None:
    ramp = start + slope * np.arange(grid.depth, dtype=np.float64)
    filled = interpolate(ramp[grid.mask][:, None, None], grid, "linear")
    np.testing.assert_allclose(filled[:, 0, 0], ramp, atol=1e-4)


@given(st.integers(4, 12), st.integers(2, 9), st.floats(-5, 5))
def test_cubic_reproduces_ramps_away_from_the_ends(n: int, k: int, slope: float) -> None:
    grid = even_grid(n, k)
    ramp = slope * np.arange(grid.depth, dtype=np.float64)
    filled = interpolate(ramp[grid.mask][:, None, None], grid, "cubic")[:, 0, 0]
    # In the first and the last gap the repeated end plane bends the ramp.
    np.testing.assert_allclose(filled[k:-k], ramp[k:-k], atol=1e-3)


@given(any_grids, methods)
def test_constant_stays_constant(grid: PlaneGrid, method: Method) -> None:
    filled = interpolate(np.full((len(grid.known), 2, 2), 7.0), grid, method)
    np.testing.assert_allclose(filled, 7.0, rtol=1e-6)


@given(any_grids, st.sampled_from(["nearest", "linear"]), st.integers(0, 100))
def test_nearest_and_linear_stay_within_the_measured_range(
    grid: PlaneGrid, method: Method, seed: int
) -> None:
    planes = noise(grid, seed)
    filled = interpolate(planes, grid, method)
    assert filled.min() >= planes.min() - 1e-6
    assert filled.max() <= planes.max() + 1e-6


@given(any_grids, st.sampled_from(["linear", "cubic", "lanczos"]))
def test_upside_down_in_upside_down_out(grid: PlaneGrid, method: Method) -> None:
    mirrored = PlaneGrid(tuple(grid.depth - 1 - z for z in reversed(grid.known)))
    planes = noise(grid)
    if method == "cubic" and len(set(np.diff(grid.known))) > 1:
        return  # Catmull-Rom weights are those of even planes.
    np.testing.assert_allclose(
        interpolate(planes[::-1], mirrored, method)[::-1],
        interpolate(planes, grid, method),
        atol=1e-5,
    )


def test_integers_are_interpolated_as_numbers() -> None:
    planes = np.array([[[0]], [[255]]], dtype=np.uint8)
    np.testing.assert_allclose(interpolate(planes, even_grid(2, 2))[:, 0, 0], [0, 127.5, 255])


def test_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"got interpolation 'spline'.*nearest.*linear.*cubic"):
        interpolation_matrix(even_grid(2, 2), "spline")  # type: ignore[arg-type]
