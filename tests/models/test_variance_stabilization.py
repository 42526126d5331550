"""Stretched intensities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import texture
from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.masking import even_rows, fill_rows
from isoslice.data.normalization import percentile_normalization
from isoslice.data.planes import plane_stacks
from isoslice.data.volume import Volume
from isoslice.inference.model import Model
from isoslice.inference.rows import restore_rows
from isoslice.models.config import ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.diffusion.variance_stabilization import (
    SOFTENINGS,
    fit_softening,
    intensity_error,
    stretch,
    unstretch,
)
from isoslice.models.networks.factory import build_network
from isoslice.training.statistics import residual_statistics


@given(
    x=st.floats(-0.5, 2, width=32),
    softening=st.one_of(st.none(), st.floats(0.02, 1)),
)
def test_unstretch_undoes_stretch(x, softening):
    image = torch.tensor([x, 0.0, 1.0])
    stretched = stretch(image, softening)
    torch.testing.assert_close(unstretch(stretched, softening), image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stretched[1:], torch.tensor([0.0, 1.0]))


def test_dark_is_spread_out_and_order_kept():
    x = torch.linspace(-0.1, 1.2, 200)
    y = stretch(x, 0.05)
    assert (y.diff() > 0).all()
    assert y[20] - y[15] > 3 * (y[150] - y[145])


def images(grows: float, seed=0):
    """Intensities and errors whose deviation is 0.02 where dark and grows with intensity."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(200_000, generator=generator) ** 3
    error = 0.02 * (1 + (base * grows) ** 2).sqrt()
    return base, error * torch.randn(200_000, generator=generator)


def test_the_least_intensity_error_is_the_mean_of_intensities():
    """A bright structure that is there or not: of a fifth of the crops, one; else nothing."""
    x = torch.tensor([1.0, 0, 0, 0, 0])
    y = torch.full((1,), 0.3, requires_grad=True)
    optimizer = torch.optim.SGD([y], lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        intensity_error(y.expand(5), x, 0.08).square().mean().backward()
        optimizer.step()
    assert float(unstretch(y.detach(), 0.08)) == pytest.approx(0.2, abs=1e-3)
    assert float(unstretch(stretch(x, 0.08).mean(), 0.08)) < 0.1  # what a plain error leads to


def test_small_intensity_errors_are_those_of_stretched_intensities():
    x = torch.linspace(-0.1, 1.3, 50)
    near = stretch(x, 0.16) + 1e-3
    torch.testing.assert_close(
        intensity_error(near, x, 0.16), near - stretch(x, 0.16), rtol=0.01, atol=0
    )


@pytest.mark.parametrize("softening", [0.08, 0.16])
def test_the_softening_of_errors_that_grow_is_found(softening):
    assert fit_softening(*images(1 / softening)) == softening


def test_equal_errors_are_left_alone():
    assert fit_softening(*images(0)) is None
    assert fit_softening(*images(1)) is None
    assert min(SOFTENINGS) > 0


def test_images_of_two_intensities_are_left_alone():
    base = torch.tensor([0.0, 1.0]).repeat(50)
    assert fit_softening(base, torch.ones(100)) is None


def heavy_tailed(planes: int) -> np.ndarray:
    """Dim structure with a few bright blobs, like nuclei; errors grow with brightness."""
    dim, bright = texture(planes, 48, 48) / 200, texture(planes, 48, 48, seed=1) / 200
    return (2000 * dim**2 + 60_000 * (bright > 0.62) * bright).astype("uint16")


def test_training_chooses_it_and_prediction_stretches():
    """An untrained network answers zero, so the mean is interpolation of stretched intensities."""
    stacks = plane_stacks([Volume(heavy_tailed(12), "ZYX")])
    found = residual_statistics(stacks, TrainingSettings(crop=32))
    assert found["softening"] in SOFTENINGS
    config = ModelConfig(
        network=NetworkSettings(widths=(8,), blocks_down=(0,), blocks_up=(0,)),
        sigma_data=0.1,
        softening=found["softening"],
    )
    stack = heavy_tailed(5)
    restored = Model(config, build_network(config).eval()).predict(
        stack, "ZYX", factor=3, mode="mean"
    )
    normalization = percentile_normalization(stack[None])
    planes = stretch(torch.from_numpy(normalization.apply(stack[None])), config.softening)
    base = torch.from_numpy(interpolate(planes[0].numpy(), even_grid(5, 3)))
    expected = normalization.invert(unstretch(base, config.softening).numpy()[None], stack.dtype)
    difference = restored.volume.astype(int) - expected[0].astype(int)
    assert abs(difference).max() <= 2
    assert (restored.volume[::3] == stack).all()


def test_hidden_rows_are_restored_on_stretched_intensities_too():
    config = ModelConfig(
        network=NetworkSettings(widths=(8,), blocks_down=(0,), blocks_up=(0,)),
        sigma_data=0.1,
        softening=0.05,
    )
    images = torch.rand(2, 1, 17, 20)
    masks = even_rows(17, 4).expand(2, -1)
    found = restore_rows(build_network(config).eval(), config, images, masks, mode="mean")
    expected = unstretch(fill_rows(stretch(images, 0.05), masks), 0.05)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found[:, :, ::4], images[:, :, ::4])
