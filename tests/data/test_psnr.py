import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from isoslice.data.psnr import pooled_psnr, psnr, psnr_from_mse

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


def test_psnr_from_a_mean_squared_error() -> None:
    truth, image = rng.uniform(0, 200, (2, 5, 20, 30))
    mse = float(np.square(image - truth).mean())
    assert psnr_from_mse(mse, 180.0) == pytest.approx(psnr(image, truth, 180.0))
    assert psnr_from_mse(mse / 180.0**2) == pytest.approx(psnr(image, truth, 180.0))
    assert psnr_from_mse(0.0) == psnr_from_mse(0.0, 180.0) == float("inf")


def test_pooled_psnr_is_that_of_the_mean_squared_error() -> None:
    errors = [1e-3, 2e-2, 0.0]
    pooled = pooled_psnr([psnr_from_mse(error) for error in errors])
    assert pooled == pytest.approx(psnr_from_mse(float(np.mean(errors))))
