"""The paper's recipes through the same doors as isoslice's own: train, save, predict, info."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.inference.model import Model
from isoslice.models.config import EndToEndConfig, MsdsrConfig, UNetSettings
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import PRESETS, preset_config
from isoslice.runtime.progress import Progress
from isoslice.training.loop import CHECKPOINT
from isoslice.training.objectives import MaskedObjective
from tiny_training import MASKED, quickly, weights


def test_the_released_recipe():
    config = preset_config("msdsr")
    assert isinstance(config, MsdsrConfig)
    assert config.network == UNetSettings(
        width=224,
        multipliers=(1, 2, 3, 4),
        blocks=2,
        attention=(2, 4, 8),
        head_channels=32,
        groups=32,
    )
    training = config.training
    assert (training.crop, training.hidden_rows) == (48, (28, 43))
    # 128 crops on 4 GPUs, two batches summed; 1e-6 x 128 x 4 x 2 / 256 is the rate.
    assert (training.batch, training.learning_rate) == (1024, pytest.approx(4e-6))
    assert (training.clip_norm, training.average_decay) == (0.5, 0.9999)
    assert training.warmup_share == pytest.approx(1356 / 13_560)
    assert (config.sampler.timesteps, config.sampler.steps, config.sampler.eta) == (1000, 200, 1)
    assert config.sampler.clip is None
    assert not training.stratified


@pytest.mark.parametrize("width", [8, 16, 24, 32, 64])
def test_narrow_norm_groups_have_eight_channels(width):
    # Groups of one or two channels normalise away what carries brightness between rows.
    network = build_network(preset_config("msdsr", width))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.GroupNorm)]
    first = min(norms, key=lambda norm: norm.num_channels)
    assert (first.num_channels, first.num_channels // first.num_groups) == (width, 8)


def test_rate_rises_then_falls_as_released():
    objective = MaskedObjective(preset_config("msdsr"))
    warmup, total, peak = 1356, 13_560, 4e-6
    for step in (0, 700, 1356, 5000, 10_000, 13_560):
        if step < warmup:
            expected = peak * step / warmup
        else:
            expected = peak * 0.5 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup)))
        assert objective.rate(step, step / total) == pytest.approx(expected, abs=1e-12)


def test_average_has_a_short_memory_at_first():
    objective = MaskedObjective(preset_config("msdsr"))
    assert objective.decay(0) == pytest.approx(2 / 11)
    assert objective.decay(10**7) == 0.9999


@pytest.mark.parametrize("preset", [pytest.param("msdsr", marks=pytest.mark.slow), "end-to-end"])
def test_train_save_load_predict(preset, tmp_path, cli):
    model = quickly(preset, steps=3)
    assert model.config.recipe == preset
    assert set(model.info["validation"]) == {"2", "4", "8"}
    model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    assert loaded.config == model.config
    stack = texture(4, 40, 37, seed=3)
    options = {"axes": "ZYX", "factor": 3, **({"steps": 3} if preset == "msdsr" else {})}
    result = loaded.predict(stack, **options)
    assert result.volume.shape == (10, 40, 37)
    np.testing.assert_array_equal(result.volume[::3], stack)
    assert result.provenance["recipe"] == preset
    again, other = loaded.predict(stack, **options), loaded.predict(stack, **options, seed=1)
    np.testing.assert_array_equal(result.volume, again.volume)
    assert (preset == "end-to-end") == np.array_equal(result.volume, other.volume)
    assert f"recipe {preset}" in " ".join(cli("info", tmp_path / "m").out.split())
    assert f"recipe {preset}" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_both_directions_are_averaged_and_blur_spares_measured_planes():
    model = quickly("end-to-end", steps=3)
    stack = texture(3, 32, 40, seed=5).astype("float32")
    xz, yz, both, blurred = (
        model.predict(stack, axes="ZYX", factor=2, **options).volume
        for options in ({"direction": "XZ"}, {"direction": "YZ"}, {}, {"blur": True})
    )
    np.testing.assert_allclose(both, (xz + yz) / 2, rtol=1e-4, atol=1e-3)
    assert not np.allclose(xz, yz)
    np.testing.assert_array_equal(blurred[::2], stack)
    assert not np.allclose(blurred[1], both[1])


@pytest.mark.slow
def test_training_resumes_exactly_also_with_summed_gradients(tmp_path):
    settings = MASKED.model_copy(update={"micro_batch": 2})

    class Stop(Progress):
        def update(self, task, fraction, detail=""):
            if task == "training" and fraction >= 0.5:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoslice.training.loop.SHOW_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            quickly("msdsr", steps=6, settings=settings, workdir=tmp_path, progress=Stop())
    assert (tmp_path / CHECKPOINT).exists()
    resumed = quickly("msdsr", steps=6, settings=settings, workdir=tmp_path, resume=True)
    whole = quickly("msdsr", steps=6, settings=settings)
    assert resumed.info["steps"] == 6
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(whole), weights(quickly("msdsr", steps=6)))


@pytest.mark.slow
def test_it_learns():
    """The end-to-end network beats its own start by far; L1 falls."""
    short, longer = (quickly("end-to-end", steps=n).info["loss"] for n in (2, 120))
    assert longer < 0.6 * short


def test_srh_from_two_channels_to_three(tmp_path):
    counts = np.random.default_rng(0).integers(0, 20_000, (2, 3, 48, 48), dtype=np.uint16)
    stack = Volume(counts, "CZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0}, "micrometer")
    model = quickly("msdsr", stack, steps=2, srh=True)
    assert model.config.srh
    assert model.config.intensities == (0, 1)
    result = model.predict(stack, factor=2, steps=2)
    assert result.volume.shape == (3, 5, 48, 48)
    assert result.channel_names == ("CH3-CH2", "CH2", "CH3")
    np.testing.assert_allclose(result.volume[1, ::2], counts[0] / 65536, atol=1e-6)
    difference = (counts[1].astype(float) - counts[0] + 5000) / 65536
    np.testing.assert_allclose(result.volume[0, ::2], difference.clip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset_config("msdr"), "expected one of isoslice, msdsr, end-to-end"),
        (lambda: preset_config("isoslice", 32), "got a width for the preset isoslice"),
        (lambda: preset_config("msdsr", 20), "expected a multiple of 8"),
        (lambda: quickly("isoslice", steps=1), "MaskedTraining for the preset isoslice"),
        (lambda: quickly("msdsr", steps=1, intensities=(3, 3)), "two rising numbers"),
    ],
)
def test_impossible_presets(call, message):
    with pytest.raises(SettingsError, match=message):
        call()


def test_options_a_recipe_does_not_have(tiny_model, tmp_path, cli):
    stack = texture(3, 32, 32)
    msdsr = quickly("msdsr", steps=1)
    for model, options, message in (
        (msdsr, {"mode": "mean"}, "has only 'sample'"),
        (msdsr, {"steps": 501}, "expected 1 to 500"),
        (tiny_model, {"direction": "XZ"}, "uses both in turn"),
        (tiny_model, {"direction": "ZX"}, "expected 'both', 'XZ' or 'YZ'"),
    ):
        with pytest.raises(SettingsError, match=message):
            model.predict(stack, axes="ZYX", factor=2, **options)
    with pytest.raises(DataError, match="expected at least 32"):
        quickly("msdsr", texture(4, 24, 48), steps=1)
    np.save(tmp_path / "s.npy", stack)
    ran = cli("train", tmp_path / "s.npy", "--axes", "ZYX", "-o", tmp_path / "m", "--width", 32)
    assert ran.code == 1
    assert "got a width for the preset isoslice" in ran.err[0]


def test_settings_of_all_presets_survive_their_file(tmp_path):
    from isoslice.models.config import read_config

    for preset in PRESETS:
        config = preset_config(preset)
        assert read_config(config.model_dump_json()) == config
    assert isinstance(preset_config("end-to-end", 16), EndToEndConfig)
