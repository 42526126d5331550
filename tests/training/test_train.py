"""Training: it learns, resumes exactly, depends on its seed alone."""

from __future__ import annotations

import random
import signal

import numpy as np
import pytest
import torch

import isoslice
import isoslice.training.loop
import isoslice.training.steps
from isoslice.data.planes import plane_stacks
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.models.config import NetworkSettings, TrainingSettings
from isoslice.runtime.progress import Progress
from isoslice.runtime.text import decibels_better
from isoslice.training.distillation import distill
from isoslice.training.loop import CHECKPOINT
from isoslice.training.objectives import ResidualObjective, average_decay, learning_rate
from isoslice.training.run import as_volumes
from isoslice.training.statistics import residual_statistics
from isoslice.training.train import spacing_to_learn, train
from tiny_training import MASKED, NETWORK, SETTINGS, fast, quickly, stripes, weights


@pytest.mark.usefixtures("arithmetic")
def test_training_depends_on_the_seed_alone():
    a, b, other = (fast(steps=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights(a), weights(b))
    assert not torch.equal(weights(a), weights(other))
    assert a.fingerprint == b.fingerprint != other.fingerprint


@pytest.mark.slow
def test_the_callers_random_state_is_left_alone():
    """And so are results: they do not depend on it."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    model = fast(steps=1)
    student = distill(model, stripes(), axes="ZYX", steps=1, device="cpu")
    drawn = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert torch.equal(drawn[0], expected[0])
    np.testing.assert_array_equal(drawn[1], expected[1])
    assert drawn[2] == expected[2]
    assert fast(steps=1).fingerprint == model.fingerprint
    again = distill(model, stripes(), axes="ZYX", steps=1, device="cpu")
    assert again.fingerprint == student.fingerprint


def test_planes_that_are_left_out_are_told(monkeypatch):
    notes: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda self, text: notes.append(text))
    whole = fast(steps=1)
    assert whole.info["planes_left_out"] == 0
    assert "left out" not in " ".join(notes)
    planes = stripes()
    planes[3] = 0
    model = train(planes, axes="ZYX", network=NETWORK, settings=SETTINGS, steps=1, device="cpu")
    assert model.info["planes_left_out"] == 1
    used = model.info["planes"] + model.info["validation_planes"]
    assert used == len(planes) - 1
    assert any("blank or damaged: 1, left out" in note for note in notes)


def interrupt(folder, at):
    class Stop(Progress):
        def update(self, task, fraction, detail=""):
            if fraction >= at:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isoslice.training.loop, "SHOW_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            fast(steps=6, workdir=folder, progress=Stop())


@pytest.mark.usefixtures("arithmetic")
def test_resumed_training_equals_undisturbed_training(tmp_path):
    interrupt(tmp_path, at=0.5)
    assert (tmp_path / CHECKPOINT).exists()
    resumed = fast(steps=6, workdir=tmp_path, resume=True)
    assert resumed.info["steps"] == 6
    torch.testing.assert_close(weights(resumed), weights(fast(steps=6)))


def test_resuming_with_the_budget_used_up_ends_at_once(tmp_path):
    interrupt(tmp_path, at=0.5)
    resumed = fast(steps=3, workdir=tmp_path, resume=True)
    assert resumed.info["steps"] == 3
    assert np.isfinite(resumed.info["loss"])


def test_record_says_what_was_done():
    model = fast(steps=3, voxel_size=(2.0, 0.5, 0.5))
    info = model.info
    assert info["steps"] == 3
    assert info["planes"] + info["validation_planes"] == 12
    assert info["images_seen"] == 12
    assert set(info["validation"]) == {"2", "4", "8"}
    assert model.config.pixel_size == (0.5, 0.5)
    assert info["parameters"] == weights(model).numel()


def test_progress_says_how_good_the_network_was_when_last_validated(monkeypatch):
    told = []

    class Listen(Progress):
        def update(self, task, fraction, detail=""):
            told.append((task, detail))

    for name in ("SHOW_SECONDS", "VALIDATION_SECONDS", "VALIDATION_PAUSE"):
        monkeypatch.setattr(isoslice.training.loop, name, 0.0)
    info = fast(steps=3, progress=Listen()).info
    details = [detail for task, detail in told if task == "training"]
    gains = [
        record["validation"]["4"]["psnr"] - record["validation"]["4"]["linear_psnr"]
        for record in info["history"]
    ]
    assert details[-1] == f"so far {decibels_better(gains[-1])} than linear interpolation"
    assert len(gains) == 2  # before the last step, after which the whole training is validated


def test_time_budget_ends_training():
    model = fast(minutes=0.02)
    assert model.info["minutes"] > 0
    assert model.info["steps"] >= 1


def test_a_budget_that_is_used_up_within_a_step_leaves_one():
    parts = MASKED.model_copy(update={"micro_batch": 2})
    assert quickly("msdsr", settings=parts, minutes=1e-6).info["steps"] == 1


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("isoslice.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("isoslice.training.loop.SHOW_SECONDS", 0.0)
    loss, calls = ResidualObjective.loss, list[None]()

    def failing(*arguments):
        calls.append(None)
        return loss(*arguments) * (float("nan") if len(calls) > 3 else 1.0)

    monkeypatch.setattr(ResidualObjective, "loss", failing)
    with pytest.raises(SettingsError, match="expected a finite one"):
        fast(steps=10, workdir=tmp_path)
    monkeypatch.undo()
    resumed = fast(steps=10, workdir=tmp_path, resume=True)
    assert resumed.info["steps"] == 10
    assert np.isfinite(resumed.info["loss"])


@pytest.mark.slow
def test_it_learns_what_interpolation_cannot_know():
    model = fast(stripes(40), steps=300)
    scores = model.info["validation"]["4"]
    assert scores["psnr"] > scores["linear_psnr"] + 1.5


def test_learning_rate_warms_up_and_follows_the_budget():
    settings = TrainingSettings(warmup_steps=10, learning_rate=1.0)
    assert learning_rate(0, 0.0, settings) == pytest.approx(0.1)
    assert learning_rate(100, 0.0, settings) == pytest.approx(1.0)
    assert learning_rate(100, 0.5, settings) == pytest.approx(0.51)
    assert learning_rate(100, 1.0, settings) == pytest.approx(0.02)


def test_average_is_the_power_function_of_its_definition():
    """EDM2 equation 3: weights of the average grow as t^gamma."""
    gamma, steps = 6.0, 400
    share = np.zeros(steps)
    for step in range(steps):
        decay = average_decay(step, gamma)
        share *= decay
        share[step] += 1 - decay
    expected = (np.arange(1, steps + 1) / steps) ** gamma
    expected /= expected.sum()
    np.testing.assert_allclose(share, expected, atol=2e-4)


def test_residual_deviation_is_in_units_of_the_normalised_intensities():
    images = stripes(20)
    one, half = (
        residual_statistics(plane_stacks([Volume(data, "ZYX")]), SETTINGS)["sigma_data"]
        for data in (images, images // 2)
    )
    assert one == pytest.approx(half, rel=0.02)
    assert 0.1 < one < 0.6


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(SettingsError, match="minutes"):
        fast(minutes=-1)
    with pytest.raises(SettingsError, match="steps"):
        fast(steps=0)
    with pytest.raises(SettingsError, match="workdir"):
        fast(steps=1, resume=True)
    with pytest.raises(DataError, match="without axes"):
        train(stripes(), steps=1)
    with pytest.raises(DataError, match="restores exactly"):
        fast(np.arange(3, dtype=np.float32)[:, None, None] + np.zeros((48, 48)), steps=1)


def test_a_voxel_far_beyond_all_others_is_refused():
    image = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    image[:, 32, 32] = 1e30
    with pytest.raises(DataError, match="NaN or 0"):
        fast(image, steps=1)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    interrupt(tmp_path, at=0.1)
    other = NetworkSettings(widths=(8, 24), blocks_down=(1, 1), blocks_up=(1, 0))
    with pytest.raises(SettingsError, match="another network"):
        fast(steps=6, workdir=tmp_path, resume=True, network=other)


def test_a_checkpoint_of_a_version_with_another_optimizer_is_refused(tmp_path):
    interrupt(tmp_path, at=0.1)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    kept["optimizer"]["param_groups"].pop()
    torch.save(kept, tmp_path / CHECKPOINT)
    with pytest.raises(SettingsError, match="another network or version"):
        fast(steps=6, workdir=tmp_path, resume=True)


def test_a_checkpoint_of_a_version_with_lightnings_loop_is_refused(tmp_path):
    interrupt(tmp_path, at=0.1)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    named = {f"network.{name}": weight for name, weight in kept["network"].items()}
    averaged = {f"averaged.{name}": weight for name, weight in kept["averaged"].items()}
    theirs = {
        "epoch": 0,
        "global_step": kept["step"],
        "pytorch-lightning_version": "2.6.6",
        "state_dict": named | averaged,
        "loops": {},
        "callbacks": {"_Watch": {"spent": kept["spent"], "history": kept["history"]}},
        "optimizer_states": [kept["optimizer"]],
        "lr_schedulers": [],
        "running_loss": kept["running_loss"],
    }
    for other in (theirs, [kept], kept["running_loss"]):
        torch.save(other, tmp_path / CHECKPOINT)
        with pytest.raises(SettingsError, match=r"another network or version.*--overwrite"):
            fast(steps=6, workdir=tmp_path, resume=True)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path, kept):
    interrupt(tmp_path, at=0.1)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(whole))
    (tmp_path / CHECKPOINT).write_bytes(whole[:size])
    with pytest.raises(SettingsError, match=r"cannot be read \(\w+\), expected a whole one"):
        fast(steps=6, workdir=tmp_path, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_waits_for_the_step_and_a_second_one_does_not(
    tmp_path, monkeypatch, number, times
):
    draw, drawn = isoslice.training.steps.draw_places, []

    def interrupted(*args, **options):
        drawn.append(args)
        if len(drawn) == 3:
            for _ in range(times):
                signal.raise_signal(number)
        return draw(*args, **options)

    monkeypatch.setattr(isoslice.training.steps, "draw_places", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        fast(steps=6, workdir=tmp_path)
    assert len(drawn) == 3
    assert signal.getsignal(number) is before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT] * (times == 1)
    if times == 1:
        assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 3


def test_arrays_become_volumes():
    single, colour = np.zeros((40, 40), np.uint8), np.zeros((3, 40, 40), np.uint8)
    assert [v.axes for v in as_volumes([single, single])] == ["YX", "YX"]
    assert as_volumes(colour, "CYX")[0].size("C") == 3
    assert isoslice.train is train


def test_continuing_begins_with_the_models_weights_and_measures_the_new_images():
    begun = fast(steps=4)
    rate = SETTINGS.model_copy(update={"learning_rate": 1e-12})
    darker = (stripes(seed=5) // 2 + 20).astype(np.uint8)
    darker[:, ::2] = 100  # half of every image has nothing to restore: another deviation
    model = train(darker, axes="ZYX", steps=1, device="cpu", start=begun, settings=rate)
    # An average over one step is that step's weights, and the step is of no length.
    assert torch.allclose(weights(model), weights(begun), atol=1e-6)
    assert model.info["continued_from"] == begun.fingerprint
    assert model.config.network == begun.config.network
    scratch = train(darker, axes="ZYX", steps=1, device="cpu", settings=rate, network=NETWORK)
    assert model.config.sigma_data == scratch.config.sigma_data != begun.config.sigma_data


def test_continuing_learns_more_slowly_than_starting():
    begun = fast(steps=1)
    model = train(stripes(), axes="ZYX", steps=1, device="cpu", start=begun)
    assert model.config.training.learning_rate < TrainingSettings().learning_rate
    assert model.config.training == TrainingSettings(
        crop=model.config.training.crop, learning_rate=model.config.training.learning_rate
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "msdsr"}, "preset msdsr and a model of the preset isoslice"),
        ({"width": 32}, "got a width and a model"),
        ({"network": NETWORK}, "got a network and a model"),
        ({"srh": True}, "leave srh out"),
    ],
)
def test_contradictions_to_the_model_one_continues_from_are_refused(options, words):
    with pytest.raises(SettingsError, match=words):
        train(stripes(), axes="ZYX", steps=1, device="cpu", start=fast(steps=1), **options)


def test_other_channels_than_the_models_are_refused():
    two = np.stack([stripes(), stripes(seed=1)], axis=1)
    with pytest.raises(DataError, match=r"got 2 channel\(s\), expected 1"):
        train(two, axes="ZCYX", steps=1, device="cpu", start=fast(steps=1))


def test_rows_are_as_far_apart_as_the_planes_that_will_be_restored():
    size = (5.0, 0.5, 0.5)
    model = fast(stripes(4, 96), steps=1, voxel_size=size, spacing=1.0)
    assert model.config.training.row_spacing == pytest.approx(2)
    same = fast(stripes(4, 96), steps=1, voxel_size=size, spacing=0.4)
    assert same.config.training.row_spacing == 1


@pytest.mark.parametrize(
    ("size", "spacing", "message"),
    [
        (None, 1.0, "say the voxel size"),
        ((5.0, 0.5, 0.5), 20.0, "at most 16 pixels"),
        ((5.0, 0.5, 0.5), -1.0, "at most 16 pixels"),
    ],
)
def test_spacings_that_make_no_sense_are_refused(size, spacing, message):
    with pytest.raises(SettingsError, match=message):
        fast(stripes(4, 64), steps=1, voxel_size=size, spacing=spacing)


def test_the_papers_recipes_learn_from_pixels_as_they_are():
    with pytest.raises(SettingsError, match="learns from pixels as they are"):
        train(stripes(4, 64), axes="ZYX", voxel_size=(5, 1, 1), preset="msdsr", width=16, spacing=2)


@pytest.mark.parametrize(
    ("side", "step", "expected"),
    [
        (256, 1.0, 2.0),
        (256, 0.6, None),  # about that of pixels
        (64, 2.5, 63 / 31),  # what they have room for
        (40, 50.0, None),
        (256, None, None),
    ],
)
def test_rows_to_learn_from_fit_the_planes(side, step, expected):
    stack = Volume(np.zeros((3, side, side), np.uint8), "ZYX", {"Z": 5.0, "Y": 0.5, "X": 0.5})
    found = spacing_to_learn(stack, step)
    assert found == (None if expected is None else pytest.approx(expected / 2))
