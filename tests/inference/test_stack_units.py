"""Units of one stack: what a model of many specimens measures before it restores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import texture
from isoslice.data.frames import CHANNEL_SEED_STEP
from isoslice.data.volume import Volume
from isoslice.inference.inspection import inspect
from isoslice.inference.model import Model
from isoslice.inference.stack_units import in_units, units_of_stack
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.plane_units import LEAST_DEVIATION
from isoslice.runtime.progress import Progress
from isoslice.training.finetune import continued_config

SIZE = {"Z": 3.0, "Y": 1.0, "X": 1.0}


@pytest.fixture
def general(tiny_model: Model) -> Model:
    """A model that measures the units of each stack."""
    return replace(tiny_model, config=tiny_model.config.updated(per_stack=True))


def units(model: Model, voxels: np.ndarray) -> Model:
    (found,) = all_units(model, voxels) or (None,)
    return in_units(model, found)


def all_units(model: Model, voxels: np.ndarray):
    stack = Volume(voxels, "CZYX"[-voxels.ndim :], SIZE)
    return units_of_stack(model.config, stack, inspect(stack, model.config, Progress()))


def test_rougher_stacks_have_larger_residuals(general: Model):
    smooth = texture(6, 72, 72)
    noise = np.random.default_rng(0).normal(0, 12, smooth.shape)
    rough = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    of_smooth, of_rough = (units(general, each).config.sigma_data for each in (smooth, rough))
    assert of_rough > 1.5 * of_smooth
    # By the percentile range, whatever the intensities are.
    assert units(general, rough.astype(np.uint16) * 40).config.sigma_data == pytest.approx(
        of_rough, rel=0.02
    )


def test_models_of_one_specimen_keep_their_own(tiny_model: Model):
    assert units(tiny_model, texture(6, 72, 72)) is tiny_model


def test_planes_too_small_to_measure_have_the_typical_ones(general: Model):
    assert units(general, texture(6, 12, 72)) is general


def test_what_is_nearly_exact_has_the_least(general: Model):
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (5, 64, 64))
    assert units(general, np.ascontiguousarray(ramp)).config.sigma_data >= LEAST_DEVIATION


@pytest.mark.parametrize("value", [65535.0, 1e30])
def test_a_hot_voxel_does_not_change_the_units_of_the_others(general: Model, value: float):
    stack = texture(6, 72, 72).astype(np.float32)
    hot = stack.copy()
    hot[2, 30, 40] = value
    expected, found = (units(general, each).config.sigma_data for each in (stack, hot))
    assert found == pytest.approx(expected, rel=0.2)


def test_the_result_depends_on_the_stack_alone(general: Model):
    one, two = (units(general, texture(6, 72, 72)).config for _ in range(2))
    assert one == two


def test_trained_on_it_becomes_a_model_of_one_specimen(general: Model):
    config = continued_config(general.config)
    assert isinstance(config, ModelConfig)
    assert not config.per_stack


def test_each_channel_has_its_own(general: Model):
    smooth = texture(6, 72, 72)
    noise = np.random.default_rng(0).normal(0, 12, smooth.shape)
    rough = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    alone = [all_units(general, each)[0] for each in (smooth, rough)]
    assert list(all_units(general, np.stack([smooth, rough]))) == alone
    assert alone[0] != alone[1]


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("more", [{}, {"uncertainty": True}, {"denoise": True}])
def test_channels_are_restored_as_if_each_were_alone(mode: str, more: dict):
    smooth = texture(5, 48, 48).astype(np.float32)
    rough = smooth + np.random.default_rng(0).normal(0, 12, smooth.shape).astype(np.float32)
    model = Model.pretrained()
    options = {"mode": mode, "device": "cpu", "missing": "none", **more}
    both = model.predict(np.stack([smooth, rough]), "CZYX", (3, 1, 1), **options)
    for channel, each in enumerate((smooth, rough)):
        seed = channel * CHANNEL_SEED_STEP
        alone = model.predict(each, "ZYX", (3, 1, 1), seed=seed, **options)
        np.testing.assert_array_equal(both.volume[channel], alone.volume)
        if more.get("uncertainty"):
            np.testing.assert_array_equal(both.std[channel], alone.std)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_units_count_in_all_that_is_restored(mode: str):
    """As if the model had them in its settings: in noise levels, scales, and the error head."""
    stack = texture(5, 48, 48).astype(np.float32)
    model = Model.pretrained()
    (found,) = all_units(model, stack)
    own = in_units(model, found)
    own = replace(own, config=own.config.updated(per_stack=False))
    assert own.config.sigma_data != pytest.approx(model.config.sigma_data, rel=0.1)
    options = {"mode": mode, "device": "cpu", "missing": "none", "uncertainty": True}
    one, two = (each.predict(stack, "ZYX", (3, 1, 1), **options) for each in (model, own))
    np.testing.assert_array_equal(one.volume, two.volume)
    np.testing.assert_array_equal(one.std, two.std)


def test_padding_does_not_count(general: Model):
    stack = texture(6, 96, 96).astype(np.float32) + 1
    padded = np.zeros((6, 192, 288), np.float32)
    padded[:, :96, :96] = stack
    found, expected = (units(general, each).config.sigma_data for each in (padded, stack))
    # Were it to count, a third less; crops across its edge add a little.
    assert found == pytest.approx(expected, rel=0.25)
