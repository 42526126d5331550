"""Models that are worse than linear interpolation say so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.errors import DoubtWarning
from isoslice.evaluation.holdout.run import check
from isoslice.inference.diagnostics import doubts_of
from isoslice.models.config import EndToEndConfig, ModelConfig, MsdsrConfig
from isoslice.models.files.card import model_card
from isoslice.models.reliability.undertrained import gains_over_linear, undertrained

OWN = ModelConfig(sigma_data=0.1)


def record(**gains: float) -> dict:
    """Make the record of a model that is better than linear interpolation by so many dB."""
    return {
        "validation": {
            name.removeprefix("at"): {"psnr": 30 + gain, "linear_psnr": 30.0}
            for name, gain in gains.items()
        }
    }


@pytest.mark.parametrize(
    ("factor", "nearest"), [(2, 2), (3, 4), (4, 4), (5, 4), (6, 8), (8, 8), (20, 8)]
)
def test_the_nearest_measured_factor_counts(factor, nearest):
    for weak in (2, 4, 8):
        found = undertrained(
            OWN, record(**{f"at{n}": -1.5 if n == weak else 1 for n in (2, 4, 8)}), factor
        )
        assert (found is not None) == (weak == nearest)
        if found is not None:
            assert "1.5 dB worse than linear interpolation" in found
            assert f"at {nearest}x" in found
            assert "isoslice train IMAGES --from MODEL --minutes N" in found


def test_a_model_that_has_learned_nothing_interpolates_linearly():
    found = undertrained(OWN, record(at4=-0.001), 4)
    assert found is not None
    assert "no better than linear interpolation" in found
    assert undertrained(OWN, record(at4=0.1), 4) is None


def test_samples_are_not_held_against_a_recipe_without_a_mean():
    assert undertrained(MsdsrConfig(), record(at4=-3.0), 4) is None
    assert undertrained(EndToEndConfig(), record(at4=-3.0), 4) is not None


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"validation": None},
        {"validation": [1]},
        {"validation": {"4": None, "x": {"psnr": 1, "linear_psnr": 2}}},
        {"validation": {"4": {"psnr": "low", "linear_psnr": 2}}},
        {"validation": {"4": {"psnr": float("nan"), "linear_psnr": 2}}},
        {"validation": {"0": {"psnr": 1, "linear_psnr": 2}}},
    ],
)
def test_records_that_were_not_written_by_isoslice_say_nothing(strange):
    assert gains_over_linear(OWN, strange) == {}
    assert doubts_of(np.zeros((1, 3, 8, 8), np.float32), 2, OWN, record=strange).messages == ()


def test_the_card_says_so():
    card = model_card(OWN, record(at2=-1.0, at4=-0.1, at8=2.0))
    assert "**No better than linear interpolation at 2x and 4x: trained too little.**" in card
    assert "--from THIS_FOLDER --minutes N" in card
    assert "No better" not in model_card(OWN, record(at2=1.0, at4=0.1))


@pytest.fixture
def weak(tiny_model):
    return replace(tiny_model, info={**tiny_model.info, **record(at2=-1.0, at4=-1.0, at8=1.0)})


def test_predictions_and_checks_warn(weak):
    stack = texture(5, 40, 44)
    with pytest.warns(DoubtWarning, match="1 dB worse than linear interpolation"):
        found = weak.predict(stack, "ZYX", (3, 1, 1), mode="mean")
    assert any("at 4x" in message for message in found.doubts)
    found = check(stack, weak, "ZYX", (3, 1, 1))
    assert any("at 4x" in message for message in found.doubts.messages)
    fine = weak.predict(stack, "ZYX", (8, 1, 1), mode="mean")
    assert not any("worse than linear" in message for message in fine.doubts)


@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])
def test_both_ways_to_restore_warn(weak, tmp_path, cli: Cli, name):
    weak.save(tmp_path / "weak.model")
    stack = write_stack(tmp_path / "s.ome.tif", texture(5, 40, 44))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)
        done = cli("predict", stack, "-m", tmp_path / "weak.model", "-o", tmp_path / name)
    assert done.code == 0
    assert sum("worse than linear interpolation" in line for line in done.err) == 1
