"""Muon: steps are orthogonal matrices; what is no matrix is left to Adam."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.networks.factory import build_network
from isoslice.training.muon import Muon
from isoslice.training.objectives import ResidualObjective
from isoslice.training.orthogonalization import NEWTON_SCHULZ_STEPS, Orthogonalization


def matrix(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def orthogonalized(matrices):
    return Orthogonalization(matrices)(matrices)


def after_rounds(values):
    """What the published iteration makes of singular values, one by one."""
    for _ in range(NEWTON_SCHULZ_STEPS):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (24, 24), (1, 5), (7, 1)])
def test_singular_vectors_stay_and_values_follow_the_published_iteration(shape):
    given = matrix(*shape).double()
    u, s, vt = torch.linalg.svd(given, full_matrices=False)
    expected = u @ torch.diag(after_rounds(s / given.norm())) @ vt
    assert torch.allclose(orthogonalized([given])[0], expected, atol=1e-5)


def test_singular_values_become_about_one_whatever_the_scale():
    given = matrix(16, 90)
    for scale in (1e-3, 1.0, 1e3):
        values = torch.linalg.svdvals(orthogonalized([scale * given])[0])
        assert values.min() > 0.65
        assert values.max() < 1.25
    upright, across = orthogonalized([given, given.T])
    assert torch.allclose(across, upright.T, atol=1e-5)


def test_matrices_that_are_orthogonalised_together_do_not_see_each_other():
    given = [matrix(*shape, seed=i) for i, shape in enumerate([(8, 40), (8, 9), (40, 8), (5, 5)])]
    for alone, together in zip(given, orthogonalized(given), strict=True):
        assert together.shape == alone.shape
        assert torch.allclose(together, orthogonalized([alone])[0], atol=1e-6)


def test_small_matrices_may_be_padded_to_larger_ones():
    """Where that is little work; and what is found lies in memory as the weights do."""
    shapes = [(8, 3, 3, 3), (12, 4, 2, 2), (64, 16, 3, 3), (64, 64, 1, 1)]
    given = [torch.randn(*shape).contiguous(memory_format=torch.channels_last) for shape in shapes]
    for weight, found in zip(given, orthogonalized(given), strict=True):
        assert found.stride() == weight.stride()
        alone = orthogonalized([weight.flatten(1)])[0]
        torch.testing.assert_close(found.flatten(1), alone, atol=1e-5, rtol=0)


def test_nothing_becomes_nothing():
    assert torch.equal(orthogonalized([torch.zeros(4, 9)])[0], torch.zeros(4, 9))


def test_matrices_move_by_the_rate():
    weight = torch.nn.Parameter(matrix(12, 4 * 9).reshape(12, 4, 3, 3))
    before = weight.detach().clone()
    weight.grad = matrix(12, 4 * 9, 1).reshape(12, 4, 3, 3)
    Muon([{"params": [weight], "orthogonal": True}], lr=0.02).step()
    moved = (weight.detach() - before).square().mean().sqrt()
    assert 0.7 * 0.02 < moved < 1.2 * 0.02
    assert (weight.grad * (weight.detach() - before)).sum() < 0


def test_other_weights_move_as_by_adam():
    ours, theirs = (torch.nn.Parameter(matrix(5, 3)) for _ in range(2))
    muon = Muon([{"params": [ours]}], lr=0.01)
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99))
    for seed in range(5):
        for weight, optimizer in ((ours, muon), (theirs, adam)):
            weight.grad = matrix(5, 3, seed + 10)
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_recipe_trains_every_weight_once_and_only_inner_convolutions_as_matrices():
    config = ModelConfig(network=NetworkSettings(), sigma_data=0.1)
    network = build_network(config)
    groups = ResidualObjective(config).optimizer(network).param_groups
    trained = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(trained) == sorted(id(weight) for weight in network.parameters())
    (inside,) = [group for group in groups if group["orthogonal"]]
    names = {id(weight): name for name, weight in network.named_parameters()}
    found = {names[id(weight)] for weight in inside["params"]}
    assert "down.0.blocks.0.conv1.weight" in found
    assert {"shrink.0.weight", "grow.0.weight"} <= found
    assert not {"enter.weight", "leave.weight", "embed.weight"} & found
    assert all(weight.ndim == 4 for weight in inside["params"])


def test_the_compiler_is_not_loaded():
    """That takes seconds, which an adaptation does not have."""
    code = (
        "import sys, torch; from isoslice.training.muon import Muon; w = torch.ones(3, 3, "
        "requires_grad=True); made = Muon([{'params': [w], 'orthogonal': True}], 0.1); "
        "made.zero_grad(); w.sum().backward(); made.step(); "
        "made.load_state_dict(made.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.stdout.strip() == "False", done.stderr
