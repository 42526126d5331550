"""The whole main job on a GPU, compared with the CPU. `pytest -m gpu` runs these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import isoslice
from conftest import texture
from isoslice.evaluation.holdout.run import check
from isoslice.models.config import NetworkSettings, TrainingSettings
from isoslice.models.diffusion.noise import noise_block
from isoslice.runtime.device import choose_device
from isoslice.training.distillation import distill
from isoslice.training.objectives import ResidualObjective
from isoslice.training.train import train
from jobs_setup import run, voxels
from tiny_training import quickly

pytestmark = pytest.mark.gpu
SIZE = (4.0, 1.0, 1.0)
NETWORK = NetworkSettings(widths=(16, 24), blocks_down=(1, 1), blocks_up=(1, 1))
SETTINGS = TrainingSettings(crop=32, batch=8, warmup_steps=10)


@pytest.fixture(scope="module")
def gpu() -> str:
    """Name the GPU's kind, or skip."""
    kind = choose_device("auto").type
    if kind == "cpu":
        pytest.skip("there is no GPU")
    return kind


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU, which is the oracle, computes in single precision."""
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: False)


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    return texture(9, 72, 64, dtype="float32")


@pytest.fixture(scope="module")
def model(gpu: str, stack: np.ndarray, tmp_path_factory) -> isoslice.Model:
    """Trained on the GPU, interrupted and resumed, saved and loaded."""
    folder = tmp_path_factory.mktemp("gpu")
    options = {"axes": "ZYX", "settings": SETTINGS, "network": NETWORK, "device": gpu}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoslice.training.loop.CHECKPOINT_SECONDS", 0.0)
        train(stack, steps=100, workdir=folder / "work", **options)
    trained = train(stack, steps=150, workdir=folder / "work", resume=True, **options)
    assert trained.info["steps"] == 150
    trained.save(folder / "model")
    return isoslice.Model.load(folder / "model")


def off(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Largest and mean difference, as shares of the range."""
    difference = np.abs(found.astype(float) - expected) / np.ptp(expected)
    return difference.max(), difference.mean()


#: Largest and mean difference from the CPU: those of bfloat16, whose digits end at 1/256.
CLOSE = {"mean": (5e-3, 5e-4), "sample": (1e-2, 1e-3)}


def test_noise_is_that_of_the_cpu(gpu):
    home = torch.device("cpu") if gpu == "mps" else torch.device(gpu)  # where volumes are kept
    found = noise_block(7, (2, 5, 60, 70), (0, 3, 100, 9), home).cpu()
    torch.testing.assert_close(
        found, noise_block(7, (2, 5, 60, 70), (0, 3, 100, 9)), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_volumes_agree_with_the_cpus(gpu, model, stack, mode):
    options = {"axes": "ZYX", "voxel_size": SIZE, "mode": mode}
    found = model.predict(stack, device=gpu, **options).volume
    largest, mean = off(found, model.predict(stack, device="cpu", **options).volume)
    assert largest < CLOSE[mode][0]
    assert mean < CLOSE[mode][1]
    np.testing.assert_array_equal(found[::4], stack)
    np.testing.assert_array_equal(found, model.predict(stack, device=gpu, **options).volume)


@pytest.mark.parametrize("options", [{"uncertainty": True}, {"samples": 3, "keep_samples": True}])
def test_what_is_known_of_errors_agrees_with_the_cpus(gpu, model, stack, options):
    there, here = (
        model.predict(stack, "ZYX", SIZE, device=device, **options) for device in (gpu, "cpu")
    )
    assert off(there.volume, here.volume)[1] < 1e-3
    assert off(there.std, here.std)[1] < 1e-2  # a few digits fewer: ratios of errors
    for ours, theirs in zip(there.samples, here.samples, strict=True):
        assert off(ours, theirs)[1] < 1e-3


def test_a_volume_too_large_for_the_gpus_memory(gpu, model, stack, monkeypatch):
    """Then it stays beside it, and slices go there and back."""
    expected = model.predict(stack, "ZYX", SIZE, device=gpu).volume
    monkeypatch.setattr("isoslice.runtime.device.BYTES_PER_VOXEL", 10**12)
    np.testing.assert_array_equal(model.predict(stack, "ZYX", SIZE, device=gpu).volume, expected)


def test_a_stack_is_checked(gpu, model, stack):
    there, here = (check(stack, model, "ZYX", SIZE, device=device) for device in (gpu, "cpu"))
    assert there.psnr["model"] == pytest.approx(here.psnr["model"], abs=0.05)
    assert there.predicted["model"] == pytest.approx(here.predicted["model"], abs=0.05)


def test_a_distilled_model(gpu, model, stack):
    student = distill(model, stack, axes="ZYX", steps=20, device=gpu)
    found, expected = (
        student.predict(stack, "ZYX", SIZE, mode="sample", device=device).volume
        for device in (gpu, "cpu")
    )
    assert off(found, expected)[1] < CLOSE["sample"][1]


def test_volumes_are_restored_block_by_block(gpu, request_, monkeypatch):
    """The blocks of a volume are those of the whole, as on a CPU."""
    run(replace(request_, device="cpu"))
    there = replace(request_, output=request_.output.with_name("there.ome.zarr"), device=gpu)
    run(there)
    assert off(voxels(there.output), voxels(request_.output))[1] < CLOSE["sample"][1]


@pytest.mark.parametrize("preset", ["msdsr", "end-to-end"])
def test_the_papers_recipes(gpu, stack, preset):
    model = quickly(preset, texture(8, 48, 48), steps=4, device=gpu)
    steps = 5 if preset == "msdsr" else None
    found, expected = (
        model.predict(stack, "ZYX", SIZE, steps=steps, device=device).volume
        for device in (gpu, "cpu")
    )
    assert off(found, expected)[1] < 1e-2  # hardly trained, it multiplies what is rounded


def test_losses_agree_with_the_cpus(gpu, model, monkeypatch):
    """Masks, planes and noise levels are drawn on the CPU; so is noise here, to compare."""

    def drawn_here(shape, generator, device):
        return torch.randn(*shape, generator=generator).to(device)

    for user in ("training.objectives", "models.diffusion.measured_example"):
        monkeypatch.setattr(f"isoslice.{user}.normal", drawn_here)
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = []
    for device in ("cpu", gpu):
        network = model.network.to(device)
        generator = torch.Generator().manual_seed(1)
        loss = ResidualObjective(model.config).loss(network, images.to(device), generator)
        losses.append(float(loss))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.slow
def test_a_large_sample(gpu, model):
    """512^3, by the default settings, measured planes bit for bit."""
    stack = texture(129, 512, 512)
    found = model.predict(stack, "ZYX", SIZE, device=gpu, mode="sample").volume
    assert found.shape == (513, 512, 512)
    np.testing.assert_array_equal(found[::4], stack)
    # As rough between planes as in them: it is a sample, not a mean.
    rough = [np.abs(np.diff(planes.astype(float), axis=2)).mean() for planes in (found, stack)]
    assert 0.5 < rough[0] / rough[1] < 1.5
