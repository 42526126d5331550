import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve

from isoslice.data.baselines import (
    BASELINES,
    gaussian_blur3,
    interpolate_planes,
    interpolate_rows,
    misaligned_matrix,
)
from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.interpolation import interpolate
from isoslice.errors import DataError, SettingsError

ALIGNED = BASELINES[:4]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.integers(2, 8), st.integers(1, 9), st.sampled_from(ALIGNED), st.integers(0, 100))
def test_aligned_baselines_are_interpolate_channel_by_channel(
    n: int, k: int, method: str, seed: int
) -> None:
    grid, planes = even_grid(n, k), noise(2, n, 3, 4, seed=seed)
    filled = interpolate_planes(planes, grid, method)
    assert filled.shape == (2, grid.depth, 3, 4)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[:, grid.mask], planes)
    for channel, expected in zip(filled, planes, strict=True):
        np.testing.assert_allclose(
            channel,
            interpolate(expected, grid, method),  # type: ignore[arg-type]
            atol=1e-6,
        )


@given(st.integers(2, 8), st.integers(1, 9), st.sampled_from(BASELINES), st.integers(0, 100))
def test_rows_are_planes_lying_flat(n: int, k: int, method: str, seed: int) -> None:
    grid, rows = even_grid(n, k), noise(3, 2, n, 5, seed=seed)
    filled = interpolate_rows(rows, grid, method)
    assert filled.shape == (3, 2, grid.depth, 5)
    as_planes = interpolate_planes(rows.swapaxes(1, 2)[0].swapaxes(0, 1)[:, :, None], grid, method)
    np.testing.assert_allclose(filled[0], as_planes[:, :, 0], atol=1e-6)


@given(st.integers(2, 8), st.integers(1, 9), st.integers(0, 100))
def test_misaligned_is_torch_trilinear(n: int, k: int, seed: int) -> None:
    grid, planes = even_grid(n, k), noise(2, n, 3, 4, seed=seed)
    oracle = torch.nn.functional.interpolate(
        torch.from_numpy(planes)[None],
        scale_factor=(k, 1, 1),
        mode="trilinear",
        align_corners=False,
    )[0].numpy()
    assert oracle.shape[1] == n * k
    filled = interpolate_planes(planes, grid, "trilinear-misaligned")
    np.testing.assert_allclose(filled, oracle[:, : grid.depth], atol=1e-5)
    weights = misaligned_matrix(n, k, n * k)
    np.testing.assert_allclose(np.einsum("jn,cnyx->cjyx", weights, planes), oracle, atol=1e-5)


@given(st.integers(3, 8), st.integers(2, 9), st.floats(-5, 5))
def test_on_a_ramp_linear_is_exact_and_misaligned_is_off(n: int, k: int, slope: float) -> None:
    grid = even_grid(n, k)
    ramp = slope * np.arange(grid.depth)[None, :, None, None]
    linear = interpolate_planes(ramp[:, grid.mask], grid, "linear")
    np.testing.assert_allclose(linear, ramp, atol=1e-4)
    off = interpolate_planes(ramp[:, grid.mask], grid, "trilinear-misaligned") - ramp
    # Output j shows what lies at j - (k - 1) / 2; at the start, the first plane repeats.
    np.testing.assert_allclose(off[:, k // 2 :], -slope * (k - 1) / 2, atol=1e-3)


def test_uneven_planes() -> None:
    grid, planes = PlaneGrid((0, 2, 5)), noise(1, 3, 2, 2)
    assert interpolate_planes(planes, grid, "linear").shape == (1, 6, 2, 2)
    with pytest.raises(SettingsError, match=r"unevenly spaced.*use linear"):
        interpolate_planes(planes, grid, "trilinear-misaligned")


def test_bad_input_is_refused() -> None:
    grid = even_grid(3, 2)
    with pytest.raises(SettingsError, match=r"got interpolation 'spline'.*trilinear-misaligned"):
        interpolate_planes(noise(1, 3, 2, 2), grid, "spline")
    with pytest.raises(DataError, match=r"got 5 planes or rows, expected 3.*measured ones only"):
        interpolate_planes(noise(1, 5, 2, 2), grid)
    with pytest.raises(DataError, match=r"expected \(C, n, Y, X\)"):
        interpolate_planes(noise(3, 2, 2), grid)
    with pytest.raises(DataError, match=r"expected \(N, C, n, W\)"):
        interpolate_rows(noise(3, 2, 2), grid)


def kernel(sigma: float) -> np.ndarray:
    z, y, x = np.mgrid[-1:2, -1:2, -1:2]
    weights = np.exp(-(z**2 + y**2 + x**2) / (2 * sigma**2))
    return weights / weights.sum()


@given(
    st.tuples(st.integers(1, 3), *[st.integers(1, 7)] * 3),
    st.sampled_from([0.3, 0.5, 1.0, 10.0]),
    st.integers(0, 100),
)
def test_blur_is_scipy_convolution(shape: tuple[int, ...], sigma: float, seed: int) -> None:
    volume = noise(*shape, seed=seed)
    before = volume.copy()
    blurred = gaussian_blur3(volume, sigma)
    assert blurred.dtype == np.float32
    oracle = np.stack([convolve(channel, kernel(sigma), mode="reflect") for channel in volume])
    np.testing.assert_allclose(blurred, oracle, atol=1e-5)
    np.testing.assert_array_equal(volume, before)


def test_blur_keeps_constants_and_sums() -> None:
    np.testing.assert_allclose(gaussian_blur3(np.full((2, 4, 5, 6), 0.7)), 0.7, rtol=1e-6)
    volume = noise(1, 6, 7, 8)
    np.testing.assert_allclose(gaussian_blur3(volume).sum(), volume.sum(), atol=1e-3)


def test_blur_refuses_bad_input() -> None:
    with pytest.raises(DataError, match=r"expected \(C, Z, Y, X\)"):
        gaussian_blur3(noise(3, 4, 5))
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="expected a positive number"):
            gaussian_blur3(noise(1, 3, 4, 5), sigma)
