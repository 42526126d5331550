import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from isoslice.errors import DataError
from isoslice.evaluation.metrics import data_range_of, gradient_ratio, l1, psnr, ssim

rng = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(20, 30), (5, 20, 30)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_psnr_is_scikit_images(shape: tuple[int, ...], dtype: str) -> None:
    truth, image = (rng.uniform(0, 200, shape).astype(dtype) for _ in range(2))
    expected = peak_signal_noise_ratio(
        truth.astype(np.float64), image.astype(np.float64), data_range=180.0
    )
    assert psnr(image, truth, 180.0) == pytest.approx(expected, rel=1e-9)


def test_psnr_of_a_known_error() -> None:
    truth = np.zeros((4, 8, 8))
    assert psnr(truth + 0.1, truth, 1.0) == pytest.approx(20.0)


def test_psnr_of_equal_arrays_is_infinite() -> None:
    image = rng.normal(size=(4, 8, 8))
    assert psnr(image, image, 1.0) == float("inf")


def test_psnr_does_not_wrap_unsigned_integers() -> None:
    low, high = np.zeros((2, 4, 4), np.uint8), np.full((2, 4, 4), 255, np.uint8)
    assert psnr(low, high, 255.0) == psnr(high, low, 255.0) == 0.0


@given(st.floats(0.01, 100))
def test_psnr_does_not_depend_on_the_scale(scale: float) -> None:
    truth, image = np.random.default_rng(1).normal(size=(2, 3, 8, 8))
    assert psnr(image * scale, truth * scale, 2 * scale) == pytest.approx(psnr(image, truth, 2.0))


def test_ssim_is_scikit_images_with_the_papers_settings() -> None:
    truth = rng.uniform(0, 200, (32, 40))
    image = truth + rng.normal(0, 20, truth.shape)
    expected = structural_similarity(
        truth,
        image,
        data_range=190.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    found = ssim(image, truth, 190.0)
    assert found == pytest.approx(expected)
    assert isinstance(found, float)


def test_ssim_of_equal_images_is_one() -> None:
    image = rng.normal(size=(16, 16))
    assert ssim(image, image, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "known"), [((10, 40), False), ((40, 10), False), ((11, 11), True)]
)
def test_ssim_needs_its_window(shape: tuple[int, int], known: bool) -> None:
    assert (ssim(np.zeros(shape), np.ones(shape), 1.0) is not None) is known


def test_gradient_ratio_compares_neighbours_along_each_axis() -> None:
    truth = rng.normal(size=(6, 7, 8))
    smooth = truth.copy()
    smooth[:] = truth.mean(axis=0)
    z, y, x = gradient_ratio(smooth, truth)
    assert z == pytest.approx(0, abs=1e-12)
    expected = np.abs(np.diff(smooth, axis=1)).mean() / np.abs(np.diff(truth, axis=1)).mean()
    assert y == pytest.approx(expected)
    assert x is not None
    assert x < 1


def test_gradient_ratio_of_a_copy_is_one_and_of_twice_is_two() -> None:
    truth = rng.integers(0, 255, (5, 6, 7)).astype(np.uint8)
    assert gradient_ratio(truth, truth) == pytest.approx((1, 1, 1))
    assert gradient_ratio(truth.astype(np.float32) * 2, truth) == pytest.approx((2, 2, 2))


def test_gradient_ratio_is_none_where_the_truth_does_not_vary() -> None:
    truth = np.zeros((3, 4, 1))
    truth[1] = 1
    z, y, x = gradient_ratio(truth, truth)
    assert (z, y, x) == (pytest.approx(1), None, None)


def test_data_range_ignores_hot_pixels() -> None:
    truth = np.linspace(0, 100, 100_000).reshape(10, 100, 100)
    truth[0, 0, 0] = 65535
    assert data_range_of(truth) == pytest.approx(99.8, abs=0.01)


def test_data_range_of_a_nearly_empty_image_is_the_full_range() -> None:
    truth = np.zeros((10, 100, 100), np.uint8)
    truth[0, 0, 0] = 50
    assert data_range_of(truth) == 50


def test_constant_truth_has_no_data_range() -> None:
    with pytest.raises(DataError, match=r"every voxel is 3.*--data-range"):
        data_range_of(np.full((2, 3, 4), 3))


def test_l1_is_the_mean_absolute_difference_also_of_unsigned_integers():
    a = np.array([[[0, 200], [10, 10]], [[5, 5], [5, 5]]], dtype=np.uint8)
    b = np.array([[[200, 0], [10, 14]], [[5, 5], [5, 5]]], dtype=np.uint8)
    assert l1(a, b) == pytest.approx(404 / 8)
    assert l1(a[0], b[0]) == pytest.approx(101)
    assert l1(a, a) == 0
