import numpy as np
import pytest
from skimage.metrics import structural_similarity

from isoslice.errors import DataError
from isoslice.evaluation.metrics import data_range_of, gradient_ratio, l1, ssim

rng = np.random.default_rng(0)


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
