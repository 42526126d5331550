"""Drawn measurements, many at once: the same as the measurement model says of each."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolation_matrix
from isoslice.data.measurement import Measurement
from isoslice.data.profile import POINT, Profile, sampled_profile
from isoslice.models.config import OwnPlanes
from isoslice.models.diffusion.drawn_planes import DISTANCE, DrawnPlanes, draw_planes

SAMPLED = sampled_profile([-2.0, -1.0, 0.5, 1.0, 3.0], [1.0, 2.0, 3.0, 2.0, 1.0], "test")
PROFILES = (POINT, Profile("gaussian", 7.0), Profile("slab", 5.0), SAMPLED)


def drawn_of(count: int = 60, height: int = 64, seed: int = 3, **more: object) -> DrawnPlanes:
    return draw_planes(count, height, torch.Generator().manual_seed(seed), **more)


def places_of(drawn: DrawnPlanes, index: int) -> list[float]:
    """Return where an image's planes are, from the centres of their weights."""
    weights = drawn.weights[index].double()
    rows = torch.arange(weights.shape[1], dtype=torch.float64)
    return (weights @ rows)[weights.sum(dim=1) > 0.5].tolist()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.kind)
def test_planes_of_a_stack_are_measured_as_the_model_says(profile: Profile):
    own = OwnPlanes(distance=4.75, profile=profile)
    drawn = drawn_of(own=own, own_share=1.0)
    points = drawn_of(own=own.updated(profile=POINT), own_share=1.0)
    for index in range(60):
        grid = PlaneGrid(tuple(places_of(points, index)))
        assert np.allclose(np.diff(grid.known), 4.75, atol=1e-4)
        expected = Measurement(grid.known, grid.depth, profile).matrix
        found = drawn.weights[index, : len(grid.known)]
        np.testing.assert_allclose(found[:, : grid.depth], expected, atol=2e-5)
        assert not found[:, grid.depth :].any()
        assert not drawn.weights[index, len(grid.known) :].any()
        np.testing.assert_allclose(drawn.rows[index, : grid.depth], grid.shares, atol=1e-4)
    torch.testing.assert_close(drawn.deviation, torch.full((60,), float(profile.deviation)))


def test_rows_are_interpolated_between_the_planes_around_them():
    points = drawn_of(own=OwnPlanes(distance=3.3, profile=POINT), own_share=1.0)
    for index in range(60):
        grid = PlaneGrid(tuple(places_of(points, index)))
        matrix, rows = np.zeros((64, len(grid.known))), np.arange(64)
        lower, share = points.lower[index].numpy(), points.share[index].numpy()
        matrix[rows, lower] += 1 - share
        matrix[rows, lower + 1] += share
        np.testing.assert_allclose(matrix[: grid.depth], interpolation_matrix(grid), atol=1e-4)
        np.testing.assert_allclose(matrix[grid.depth :, -1], 1)  # beyond the last plane, as that


def test_what_is_drawn_is_a_measurement():
    drawn = drawn_of()
    sums = drawn.weights.sum(dim=2)
    torch.testing.assert_close(sums, (sums > 0.5).float())
    assert float(drawn.weights.min()) > -1e-6
    assert (drawn.deviation == 0).any()
    assert (drawn.deviation > 3).any()
    assert (drawn.noise == 0).any()
    assert float(drawn.noise.max()) > 0.05
    assert float(drawn.noise[drawn.noise > 0].min()) >= 0.005


def test_planes_are_even_or_jittered_or_some_are_missing():
    drawn = drawn_of(400)
    points = np.flatnonzero((drawn.deviation == 0).numpy()).tolist()
    gaps = [np.diff(np.asarray(places_of(drawn, i))) for i in points]
    kinds = {"even": 0, "missing": 0, "jittered": 0}
    for gap in (gap for gap in gaps if len(gap) > 4):
        least = gap.min()
        whole = np.allclose(gap / least, np.rint(gap / least), atol=1e-3)
        even = np.allclose(gap, least, atol=1e-3)
        kinds["even" if even else "missing" if whole else "jittered"] += 1
    assert all(kinds.values())
    assert kinds["even"] / sum(kinds.values()) == pytest.approx(0.62, abs=0.15)


@pytest.mark.parametrize("height", [16, 17, 33])
def test_small_crops_have_two_planes_at_least(height: int):
    drawn = drawn_of(300, height)
    assert int((drawn.weights.sum(dim=2) > 0.5).sum(dim=1).min()) >= 2
    assert float(places_of(drawn, int(drawn.deviation.argmin()))[-1]) <= height - 1
    assert DISTANCE[1] < 16


def test_own_planes_are_the_last_ones_and_the_others_stay_as_they_were():
    own = OwnPlanes(distance=6.0, profile=Profile("slab", 6.0))
    mixed, alone = drawn_of(40, own=own, own_share=0.5), drawn_of(40)
    torch.testing.assert_close(mixed.weights[:20], alone.weights[:20])
    torch.testing.assert_close(mixed.deviation[20:], torch.full((20,), 6 / math.sqrt(12)))
    torch.testing.assert_close(mixed.noise, alone.noise)
