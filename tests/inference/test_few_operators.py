"""How many operators a sample starts beside the network: they do not grow with its planes."""

from __future__ import annotations

import pytest
import torch

from isoslice.data.grid import even_grid
from isoslice.inference.detail.patches import Piece
from isoslice.inference.detail.strength import detail_gains
from isoslice.inference.passes import add_noise
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import VOXELS_AT_ONCE
from operator_count import OperatorCount


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", VOXELS_AT_ONCE["cuda"])


def piece(count, seed=0):
    """Measured planes of noise, and detail between them that is too weak."""
    generator, grid = torch.Generator().manual_seed(seed), even_grid(count, 4)
    measured = torch.rand(1, count, 20, 24, generator=generator)
    linear = measured.repeat_interleave(4, dim=1)[:, : grid.depth]
    hidden = torch.from_numpy(~grid.mask)[:, None, None]
    fine, coarse = (0.15 * torch.randn(2, *linear.shape, generator=generator) * hidden).unbind()
    mean = linear + 0.01 * fine
    return Piece(measured, linear, mean, fine, coarse, torch.from_numpy(grid.distances))


CONFIG = ModelConfig(sigma_data=0.1)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_gains_are_found_by_few_operators():
    started = []
    for count in (5, 9):
        with OperatorCount() as operators:
            detail_gains(CONFIG, [piece(count, seed) for seed in range(4)], 1)
        started.append(operators.total)
    assert started[0] == started[1] < 8500


def test_gains_tried_together_are_those_tried_one_by_one(monkeypatch):
    pieces = [piece(9), piece(5, seed=1)]
    found = []
    for together in (1, 3 * 53 * 20 * 24, 2**24):
        monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", together)
        found.append(detail_gains(CONFIG, pieces, 1))
    assert found[0].fine.std() > 0
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("origin", [(0, 3, 0), (0, 0, 3)])
def test_noise_is_added_by_few_operators(origin):
    started = []
    for depth in (9, 33):
        residual = torch.zeros(2, depth, 12, 14, dtype=torch.float16)
        with OperatorCount() as operators:
            add_noise(residual, torch.arange(depth) % 4 > 0, 0.1, 7, origin)
        started.append(operators.total)
    assert started[0] == started[1] < 120
