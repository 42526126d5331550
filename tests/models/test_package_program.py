"""What the program in a package computes: the same as `Model.predict` in mode mean."""

import ast

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice.data import normalization
from isoslice.data.normalization import Normalization
from isoslice.data.survey import survey as survey_of
from isoslice.data.volume import Volume
from isoslice.inference import passes
from isoslice.inference.inspection import Inspection
from isoslice.inference.model import Model
from isoslice.inference.stack_units import units_of_stack
from isoslice.models.config import DistilledSettings, TrainingSettings
from isoslice.models.diffusion import edm
from isoslice.models.exchange import expected
from isoslice.models.exchange.architecture import architecture_source
from isoslice.models.exchange.expected import ExpectedVolume, percentiles
from isoslice.models.exchange.export import usual_factor
from isoslice.models.exchange.measured_units import measured_units
from packages import model, package, run_program

KINDS = {
    "plain": {},
    "stretched": {"softening": 0.16},
    "told": {"measured": True},
    "distilled": {"distilled": DistilledSettings()},
    "fixed intensities": {"intensities": (20.0, 180.0)},
    "two channels": {"channels": 2},
    "many specimens": {"per_stack": True, "softening": 0.08},
    "many specimens, two at once": {"per_stack": True, "channels": 2},
}


@pytest.fixture
def exact(monkeypatch):
    """Compute and keep everything in single precision, as packages do."""
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(
        "isoslice.inference.recipes.residual.residual_dtype", lambda _: torch.float32
    )


def mean_of(made, stack, factor):
    axes = "CZYX" if stack.ndim == 4 else "ZYX"
    options = {"mode": "mean", "missing": "none", "device": "cpu"}
    return made.predict(stack, axes, factor=factor, **options).volume


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_predict_does(kind, tmp_path):
    made = model(**KINDS[kind])
    channels = made.config.network.channels
    stack = texture(channels, 5, 30, 37, dtype="float32")
    ours = mean_of(made, stack if channels > 1 else stack[0], 4).reshape(channels, 17, 30, 37)
    theirs = run_program(package(tmp_path, made, factor=4), stack)
    np.testing.assert_allclose(theirs, ours, atol=2e-3)
    np.testing.assert_array_equal(theirs[:, ::4], stack)
    between = (
        stack[:, :-1, None] + np.arange(4)[:, None, None] / 4 * np.diff(stack, axis=1)[:, :, None]
    )
    change = theirs[:, :-1] - between.reshape(channels, 16, 30, 37)
    assert np.abs(change).max() > 1  # not interpolation alone


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("factor", [2, 3, 7])
def test_any_factor(factor, tmp_path):
    made, stack = model(), texture(4, 30, 37, dtype="float32")
    theirs = run_program(package(tmp_path, made, factor=factor), stack[None])[0]
    np.testing.assert_allclose(theirs, mean_of(made, stack, factor), atol=2e-3)


def test_half_precision_costs_little(monkeypatch, tmp_path):
    """Between passes isoslice keeps the residual in half precision."""
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: False)
    made, stack = model(), texture(5, 30, 37, dtype="float32")
    theirs = run_program(package(tmp_path, made), stack[None])[0]
    np.testing.assert_allclose(theirs, mean_of(made, stack, 4), atol=0.1)


def test_constants_are_isoslices_own():
    assert expected.PERCENTILES == normalization.PERCENTILES
    assert expected.WEIGHT == passes.WEIGHT
    told = edm.precondition(torch.tensor([edm.NO_SIGNAL]), 0.1)
    assert float(told.c_noise) == expected.NO_SIGNAL


def test_batches_of_slices_do_not_see_each_other(monkeypatch):
    torch.manual_seed(0)
    network = ExpectedVolume((8,), (1,), (1,), 0.1, 3).eval()
    torch.nn.init.constant_(network.denoiser.leave_gain, 0.5)
    stack = torch.from_numpy(texture(2, 1, 3, 18, 20, dtype="float32"))
    with torch.no_grad():
        whole = network(stack)
        monkeypatch.setattr(expected, "BATCH_PIXELS", 2 * 7 * 20)
        torch.testing.assert_close(network(stack), whole, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(network(stack[1:])[0], whole[1], atol=1e-3, rtol=1e-5)


def test_stacks_with_little_to_say():
    network = ExpectedVolume((8,), (1,), (1,), 0.1, 2).eval()
    with torch.no_grad():
        assert (network(torch.full((1, 1, 3, 16, 16), 7.0)) == 7).all()
        spot = torch.zeros(1, 1, 2, 40, 40)
        spot[..., 5, 5] = 100
        assert torch.isfinite(network(spot)).all()
        with pytest.raises(ValueError, match="got 1 plane"):
            network(spot[:, :, :1])


def test_percentiles_are_numpys():
    values = np.random.default_rng(0).normal(size=3001).astype(np.float32)
    found = percentiles(torch.from_numpy(values))
    np.testing.assert_allclose(found, np.percentile(values, expected.PERCENTILES), rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 5, 40, 60), (2, 30, 17, 90), (1, 3, 20, 1500), (1, 9, 1100, 1030), (1, 4, 15, 40)]
)
def test_units_are_measured_as_predict_does(shape, monkeypatch):
    planes = texture(*shape, dtype="float32") / 200
    made = model(channels=shape[0], per_stack=True, sigma_data=0.03)
    whole = Volume(planes, "CZYX")
    survey = Inspection(Normalization((0.0,), (1.0,)), survey_of(planes[None]), ((),), ((),))
    (expected,) = units_of_stack(made.config, whole, survey)
    training = made.config.training
    found = measured_units(torch.from_numpy(planes), training.factors, training.even_share)
    assert found == expected
    assert (found is None) == (min(shape[2:]) < 16)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_pretrained_model_too(exact, tmp_path, channels):
    made, stack = Model.pretrained(), texture(channels, 5, 40, 50, dtype="float32") * 0.01
    stack[1:] += np.random.default_rng(0).normal(0, 0.1, stack[1:].shape)  # has other units
    theirs = run_program(package(tmp_path, made), stack)
    ours = mean_of(made, stack, 4)
    assert made.config.per_stack
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_the_program_can_be_read():
    """Whole definitions, each once, in an order that runs; no more than is needed."""
    source = architecture_source()
    assert source.startswith('"""Restore the expected volume')
    assert source.count("import torch\n") == source.count("SPDX-License-Identifier: MIT") == 1
    assert max(map(len, source.splitlines())) <= 100
    assert "isoslice.runtime" not in source
    defined = [node.name for node in ast.parse(source).body if hasattr(node, "name")]
    assert defined[-2:] == ["ExpectedVolume", "percentiles"]
    assert len(set(defined)) == len(defined)
    assert "intensity_error" not in defined


def test_the_usual_factor_is_what_the_model_learned_for():
    from isoslice.data.profile import Profile
    from isoslice.models.config import OwnPlanes, StoredProfile

    assert usual_factor(model().config) == 4
    known = StoredProfile(spacings=(2.0, 2.6, 2.4), unit="micrometer", told="")
    where = {"slice_profile": known, "pixel_size": (0.4, 0.4)}
    assert usual_factor(model(unit="micrometer", **where).config) == 6
    assert usual_factor(model(unit="nanometer", **where).config) == 4
    own = OwnPlanes(distance=2.6, profile=Profile("slab", 2.6))
    assert usual_factor(model(training=TrainingSettings(own_planes=own)).config) == 3
    own = OwnPlanes(distance=1.2, profile=Profile("slab", 1.2))
    assert usual_factor(model(training=TrainingSettings(own_planes=own)).config) == 2
