"""Planes measured on images, as the measurement model says, and what networks are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.measurement import Measurement
from isoslice.data.profile import POINT, Profile
from isoslice.models.diffusion.drawn_planes import DrawnPlanes
from isoslice.models.diffusion.measured_example import levels, measure
from isoslice.models.diffusion.variance_stabilization import stretch


def planes_of(grid: PlaneGrid, profile: Profile, height: int, noise: float = 0.0) -> DrawnPlanes:
    """Measure one image in one way."""
    weights = torch.zeros(1, len(grid.known), height)
    matrix = Measurement(grid.known, grid.depth, profile).matrix
    weights[0, :, : grid.depth] = torch.from_numpy(matrix)
    lower, share = (np.pad(each, (0, height - grid.depth), "edge") for each in grid.bracket())
    rows = np.pad(grid.shares, (0, height - grid.depth))
    return DrawnPlanes(
        weights,
        torch.from_numpy(lower)[None],
        torch.from_numpy(share.astype(np.float32))[None],
        torch.from_numpy(rows)[None],
        torch.tensor([profile.deviation]),
        torch.tensor([noise]),
    )


@pytest.mark.parametrize("softening", [None, 0.1])
def test_the_base_is_interpolated_between_planes_seen_through_the_profile(softening):
    grid, profile = PlaneGrid((0.5, 4.7, 8.0, 13.25)), Profile("slab", 3)
    image = torch.rand(1, 2, 16, 5)
    base = measure(image, planes_of(grid, profile, 16), softening, torch.Generator())
    matrix = Measurement(grid.known, grid.depth, profile).matrix
    planes = np.einsum("iz,czw->icw", matrix, image[0, :, : grid.depth].numpy().astype(float))
    stretched = stretch(torch.from_numpy(planes), softening).numpy()
    expected = interpolate(stretched, grid).swapaxes(0, 1)
    np.testing.assert_allclose(base[0, :, : grid.depth].numpy(), expected, atol=1e-5)
    # Beyond the last plane it goes on as that.
    np.testing.assert_allclose(base[0, :, 15], expected[:, -1], atol=1e-5)


def test_noise_is_added_to_planes():
    drawn = planes_of(PlaneGrid((0, 2, 4, 6)), POINT, 8, noise=0.5)
    image = torch.zeros(1, 1, 8, 4000)
    base = measure(image, drawn, None, torch.Generator().manual_seed(0))[0, 0]
    assert float(base[::2].std()) == pytest.approx(0.5, rel=0.03)
    assert float(base[1].std()) == pytest.approx(0.5 / 2**0.5, rel=0.03)  # the mean of two


def test_levels_are_those_of_the_planes():
    drawn = planes_of(PlaneGrid((0, 12, 23)), Profile("gaussian", 4.71), 24, noise=0.03)
    (told,) = levels(drawn, sigma_data=0.1).tolist()
    assert told == pytest.approx([2, 0.3], rel=1e-2)


def test_planes_are_not_rounded_where_networks_compute_in_half_precision():
    drawn = planes_of(PlaneGrid((0, 4.5, 9.0)), Profile("slab", 3), 12, noise=0.01)
    image = torch.rand(1, 1, 12, 5)
    exact = measure(image, drawn, 0.1, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        again = measure(image, drawn, 0.1, torch.Generator().manual_seed(0))
    assert torch.equal(again, exact)
