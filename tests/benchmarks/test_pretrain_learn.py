"""Pretraining: variants of stacks, how often each is drawn, and a step of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice.data.crops import StackTable, draw_places
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, TrainingSettings
from isoslice.models.networks.error_head import build_head
from isoslice.models.reliability.calibration import CALIBRATION_FACTORS
from pretrain import learn, package, spread
from pretrain.learn import modality_weights, training_stacks
from pretrain.packed import Packed, write_packed
from pretrain.spread import calibrate_on
from pretrain.variants import SCALES, bent, rescaled, variants


def packed(modality: str, group: str, seed: int, planes: int = 2, held: bool = False) -> Packed:
    return Packed(
        modality, group, f"{group}/{seed}.tif", 0, "somebody/something@1", "CC0", "", held,
        texture(planes, 140, 150, seed=seed), 10.0, 200.0, True,
    )  # fmt: skip


def plane(seed: int = 0) -> np.ndarray:
    return (texture(1, 140, 150, seed=seed) / 200).astype(np.float32)


def test_variants_are_sizes_of_one_stack_and_the_first_is_as_it_is():
    made = variants(plane(), 64, np.random.default_rng(0))
    assert sum(share for _, share in SCALES) == pytest.approx(1)
    assert [each.share for each in made] == [share for _, share in SCALES]
    np.testing.assert_array_equal(made[0].stack.data[:, 0], plane())
    sides = [each.stack.data.shape[2] for each in made]
    assert sides == [140, 140, 99, 70, 197]
    # What has no room for a crop is left out.
    assert len(variants(plane()[:, :80, :80], 64, np.random.default_rng(0))) == 3


def test_variants_follow_from_the_seed():
    one, two, other = (variants(plane(), 64, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.stack.data, b.stack.data)
    assert any((a.stack.data != b.stack.data).any() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("curve", [-1.5, -0.2, 0.0, 0.7, 1.5])
def test_a_bent_scale_keeps_its_ends_and_its_order(curve: float):
    values = np.linspace(-0.1, 1.1, 50, dtype=np.float32)
    found = bent(values, curve)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(bent(np.array([0.0, 1.0], np.float32), curve), [0, 1], atol=1e-6)
    assert (bent(np.array([0.5], np.float32), curve) <= 0.5) == (curve >= 0)


def test_smaller_planes_are_averaged_not_thinned():
    noise = np.random.default_rng(0).normal(size=(1, 200, 200)).astype(np.float32)
    assert rescaled(noise, 0.5).std() < 0.7


def test_a_modality_is_not_drawn_by_the_number_of_its_files():
    many = [packed("nuclei", "a", seed) for seed in range(16)]
    few = [packed("ct", "b", 0)]
    weights = modality_weights([*many, *few])
    assert sum(weights[:16]) / weights[16] == pytest.approx(4)
    # Nor a group of a modality.
    grouped = [*(packed("nuclei", "a", seed) for seed in range(9)), packed("nuclei", "c", 0)]
    weights = modality_weights(grouped)
    assert sum(weights[:9]) / weights[9] == pytest.approx(3)


def test_stacks_have_units_of_their_own_and_held_out_ones_are_not_learned_from():
    rough = packed("em", "a", 1)
    noise = np.random.default_rng(0).integers(0, 60, rough.planes.shape)
    rough.planes[...] = np.clip(rough.planes + noise, 0, 255).astype(np.uint8)
    smooth, held = packed("mri", "b", 2), packed("mri", "b", 3, held=True)
    stacks, units = training_stacks([rough, smooth, held], TrainingSettings())
    assert len(stacks) == len(units) == 2 * len(SCALES)
    assert units[0].sigma_data > 1.3 * units[len(SCALES)].sigma_data
    drawn = draw_places(StackTable.of(stacks), 4000, 64, learn.torch.Generator().manual_seed(0))
    share = np.mean(drawn.stack == 0)
    assert share == pytest.approx(SCALES[0][1] / 2, abs=0.04)


def test_held_out_stacks_are_calibrated_in_their_own_units(tiny_model: Model):
    """However rough a stack is, errors count in multiples of its deviation."""
    held = [packed("em", "a", seed, held=True) for seed in (1, 2)]
    model = replace(tiny_model, network=tiny_model.network.eval())
    head = build_head(model.config)
    found = calibrate_on(model, head, held)
    assert found.held_out
    assert [one.factor for one in found.factors] == sorted(CALIBRATION_FACTORS)
    # A head that has not learned says one deviation, and errors at 4x are about as large.
    assert found.at(4).ratio[0] == pytest.approx(1, rel=0.6)
    assert found.at(8).ratio[0] > found.at(2).ratio[0]


@pytest.mark.slow
def test_from_a_corpus_to_a_model_in_the_package(tmp_path: Path, monkeypatch):
    corpus, model, made = tmp_path / "corpus.npz", tmp_path / "model", tmp_path / "made"
    write_packed([packed("em", "a", seed, held=seed == 0) for seed in range(3)], corpus)

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", ["pretrain", *map(str, arguments)])
        main()

    monkeypatch.setattr(spread, "STEPS", 2)
    run(learn.main, corpus, "-o", model, "--steps", 1, "--batch", 4, "--device", "cpu")
    run(package.main, model, corpus, "-o", made)
    found = Model.load(made)
    assert isinstance(found.config, ModelConfig)
    assert found.config.per_stack
    assert found.trust.familiar is not None
    assert found.trust.calibration is not None
    assert found.head is not None
    assert found.info["sources"] == ["somebody/something@1"]
    # A finished model can be gone on from; in half precision, weights are normalised to 3 digits.
    more = tmp_path / "more"
    how = "--steps", 1, "--batch", 4, "--device", "cpu", "--rate", 1e-9
    run(learn.main, corpus, "-o", more, "--start", made, *how)
    continued = Model.load(more)
    for name, weight in found.network.state_dict().items():
        torch.testing.assert_close(
            continued.network.state_dict()[name], weight, rtol=1e-3, atol=1e-5
        )
