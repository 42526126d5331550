import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.grid import (
    PlaneGrid,
    check_factor,
    crop_to_grid,
    even_grid,
    factor_from_voxel_size,
    output_voxel_size,
    planes_around,
    thin,
)
from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError, SettingsError

planes = st.integers(2, 40)
factors = st.integers(2, 16)


@given(planes, factors)
def test_even_grid_has_a_measured_plane_every_factor_th_plane(n: int, k: int) -> None:
    grid = even_grid(n, k)
    assert grid.depth == (n - 1) * k + 1
    assert len(grid.known) == n
    assert set(np.diff(grid.known)) == {k}
    assert grid.mask.shape == (grid.depth,)
    assert np.flatnonzero(grid.mask).tolist() == list(grid.known)


@pytest.mark.parametrize("known", [(), (0,), (1, 3), (0, 2, 2), (0, 3, 1)])
def test_planes_that_span_no_grid_are_refused(known: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected at least two, increasing and starting at 0"):
        PlaneGrid(known)


def test_uneven_planes_are_a_grid() -> None:
    grid = PlaneGrid((0, 1, 5))
    assert grid.depth == 6
    assert grid.mask.tolist() == [True, True, False, False, False, True]


def test_planes_between_output_planes() -> None:
    grid = PlaneGrid((0.25, 3.0, 4.5))
    assert grid.depth == 6
    assert not grid.is_whole
    assert grid.nearest == (0, 3, 4)
    assert grid.mask.tolist() == [False, False, False, True, False, False]
    np.testing.assert_allclose(grid.shares, [0.75, 0.25, 0, 1, 0.5, 0.5])
    lower, share = grid.bracket()
    assert lower.tolist() == [0, 0, 0, 1, 1, 1]
    # Before the first plane and behind the last one, these go on.
    np.testing.assert_allclose(share, [0, 0.75 / 2.75, 1.75 / 2.75, 0, 1 / 1.5, 1])
    assert grid.distances.tolist() == [0, 1, 1, 0, 0, 0]
    assert planes_around(grid, 2, 4) == (0, 1, PlaneGrid((0.25, 3.0)))
    assert planes_around(grid, 4, 6) == (1, 2, PlaneGrid((0.0, 1.5)))


@pytest.mark.parametrize(
    ("z", "factor"), [(1.5, 2), (2.0, 2), (2.49, 2), (2.5, 3), (4.82, 5), (8.0, 8)]
)
def test_factor_is_the_nearest_integer_and_ties_go_up(z: float, factor: int) -> None:
    assert factor_from_voxel_size(VoxelSize(z, 1.0, 1.0)) == factor


@given(st.floats(1.5, 50), st.floats(0.01, 100))
def test_factor_does_not_depend_on_the_unit(ratio: float, scale: float) -> None:
    factor = factor_from_voxel_size(VoxelSize(ratio * scale, scale, scale))
    assert abs(factor - ratio) <= 0.5 + 1e-6 * ratio


def test_factor_aims_at_the_geometric_mean_of_y_and_x() -> None:
    assert factor_from_voxel_size(VoxelSize(6.0, 1.0, 4.0)) == 3


@pytest.mark.parametrize("z", [0.2, 1.0, 1.49])
def test_isotropic_stack_is_refused_with_advice(z: float) -> None:
    with pytest.raises(DataError, match=r"isotropic already.*1\.5 times.*--voxel-size.*--factor"):
        factor_from_voxel_size(VoxelSize(z, 1.0, 1.0))


@pytest.mark.parametrize("factor", [1, 0, -3, 1.5, 2.5])
def test_factor_below_two_or_broken_is_refused(factor: float) -> None:
    with pytest.raises(SettingsError, match=f"got factor {factor}, expected an integer"):
        check_factor(factor)  # type: ignore[arg-type]


def test_whole_factor_is_returned_as_an_integer() -> None:
    assert check_factor(np.int64(4)) == 4
    assert isinstance(check_factor(np.int64(4)), int)


def test_output_spacing_divides_z_only() -> None:
    assert output_voxel_size(VoxelSize(4.0, 0.8, 0.7), 5) == VoxelSize(0.8, 0.8, 0.7)


@given(st.integers(1, 30), factors, st.integers(0, 2))
def test_thinned_planes_are_the_measured_planes_of_the_cropped_truth(
    depth: int, k: int, axis: int
) -> None:
    shape = [3, 4, 5]
    shape[axis] = depth
    truth = np.arange(np.prod(shape)).reshape(shape)
    coarse, cropped = thin(truth, k, axis), crop_to_grid(truth, k, axis)
    n = coarse.shape[axis]
    assert cropped.shape[axis] == (n - 1) * k + 1
    assert depth - cropped.shape[axis] < k
    np.testing.assert_array_equal(np.take(cropped, range(0, cropped.shape[axis], k), axis), coarse)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
def test_the_planes_around_each_plane_bracket_it(gaps, data):
    known = np.cumsum([0, *gaps])
    grid = PlaneGrid(tuple(known.tolist()))
    lower, share = grid.bracket()
    z = np.arange(grid.depth)
    np.testing.assert_allclose(known[lower] + share * np.diff(known)[lower], z)
    assert np.all((share >= 0) & (share <= 1))
    nearest = np.abs(z[:, None] - known).min(axis=1)
    np.testing.assert_array_equal(grid.distances, nearest)
    start = data.draw(st.integers(0, grid.depth - 1))
    part = grid.bracket(slice(start, None))
    np.testing.assert_array_equal(part[0], lower[start:])
    np.testing.assert_array_equal(part[1], share[start:])
