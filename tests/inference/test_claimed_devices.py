"""Everything that computes on a GPU, on the CPU with tensors that claim to be on one.

With the masks left on the CPU in `roughness.linear_error` and `masking.fill_rows`, as they once
were, samples fail here as they did on a GPU ("where: expected all tensors on the same device").
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import isoslice.training.loop
from claimed_devices import WrongDeviceError, claimed, claimed_device
from conftest import texture
from isoslice.data import masking as masks
from isoslice.evaluation.holdout.run import check
from isoslice.evaluation.slicefid import features
from isoslice.models.config import MaskedTraining, NetworkSettings, TrainingSettings, UNetSettings
from isoslice.models.exchange.expected import ExpectedVolume
from isoslice.training import blend
from isoslice.training.adapt import adapt
from isoslice.training.blend import Blend
from isoslice.training.distillation import distill
from isoslice.training.train import train
from jobs_setup import run, voxels

KINDS = ("cuda", "mps")
SIZE = (3.0, 1.0, 1.0)


@pytest.fixture(params=KINDS)
def device(request):
    with claimed_device(request.param) as found:
        yield found


@pytest.fixture
def float32(monkeypatch):
    """The CPU computes as the device that is claimed does."""
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: False)


def test_claims_follow_tensors(device):
    there, here = torch.ones(3, 4, device=device), torch.ones(3, 4)
    assert there.device.type == there[1:].device.type == (there + 1).device.type == device.type
    assert there.cpu().device.type == here.device.type == "cpu"
    assert here.to(there).device.type == torch.nn.Linear(2, 2).to(device).weight.device.type
    weight = torch.nn.Parameter(there)
    (weight * 2).sum().backward()
    assert weight.grad.device.type == device.type
    assert (there * torch.tensor(2.0)).device.type == device.type  # a scalar may be anywhere
    assert there[torch.tensor([0, 2])].device.type == device.type  # and so may an index
    there[:, 0] = here[:, 0]
    here.copy_(there)
    assert claimed(here) == "cpu"


@pytest.mark.parametrize(
    "mistake",
    [
        lambda there, here: there + here,
        lambda there, here: here.add_(there),
        lambda there, here: torch.where(here > 0, there, 0.0),
        lambda there, here: torch.cat([there, here]),
        lambda there, here: here[there.long()[0]],
        lambda there, here: there.lerp(there, torch.tensor(0.5)),
        lambda there, here: there.numpy(),
        lambda there, here: np.asarray(there),
        lambda there, here: torch.randn(3, device=there.device, generator=torch.Generator()),
        lambda there, here: torch.nn.Linear(4, 4)(there),
        lambda there, here: torch.nn.functional.conv1d(there[None], here[:, None]),
    ],
)
def test_what_a_gpu_refuses_is_refused(device, mistake):
    with pytest.raises(WrongDeviceError):
        mistake(torch.ones(3, 4, device=device), torch.ones(3, 4))


def test_mps_has_no_double_precision_and_not_all_operations():
    with claimed_device("mps") as device:
        there = torch.ones(3, 4, device=device)
        for mistake in (
            there.double,
            lambda: torch.zeros(2, dtype=torch.float64, device=device),
            lambda: there.cummax(dim=1),
        ):
            with pytest.raises(WrongDeviceError):
                mistake()


def test_rows_are_filled_wherever_the_masks_are(device):
    images, known = torch.rand(2, 1, 9, 4), masks.even_rows(9, 4).expand(2, -1)
    found = masks.fill_rows(images.to(device), known.to(device))
    assert torch.equal(found.cpu(), masks.fill_rows(images, known))


MODES = {
    "mean": {"mode": "mean"},
    "sample": {"mode": "sample"},
    "half the detail": {"detail": 0.5},
    "uncertainty": {"mode": "mean", "uncertainty": True},
    "sample with uncertainty": {"mode": "sample", "uncertainty": True},
    "samples": {"samples": 2, "keep_samples": True},
}
SLOW = {"samples", "sample with uncertainty"}


@pytest.fixture(scope="module")
def stack():
    return texture(5, 40, 44)


@pytest.mark.parametrize("free", [2**40, 0], ids=["in its memory", "volume elsewhere"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=pytest.mark.slow if name in SLOW else ())
        for name, options in MODES.items()
    ],
)
def test_volumes_are_restored(float32, tiny_model, stack, options, kind, free):
    expected = tiny_model.predict(stack, "ZYX", SIZE, device="cpu", **options)
    with claimed_device(kind, free):
        found = tiny_model.predict(stack, "ZYX", SIZE, device=kind, **options)
        again = tiny_model.predict(stack, "ZYX", SIZE, device="cpu", **options)
    # Batches are of another size, which may change last digits.
    for name in ("volume", "std"):
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(
                getattr(found, name).astype(float), getattr(expected, name), atol=1
            )
            np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))


@pytest.mark.slow
def test_a_stack_is_checked(float32, tiny_model, stack, device):
    with claimed_device("cpu"):
        expected = check(stack, tiny_model, "ZYX", SIZE, device="cpu", mode="sample")
    found = check(stack, tiny_model, "ZYX", SIZE, device=device.type, mode="sample")
    assert found.psnr["model"] == pytest.approx(expected.psnr["model"], abs=0.1)
    assert found.predicted["model"] == pytest.approx(expected.predicted["model"], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_volumes_are_restored_block_by_block(float32, request_, monkeypatch, kind):
    """The passes on the device, the rest beside it."""
    run(replace(request_, device="cpu"))
    elsewhere = replace(
        request_, output=request_.output.with_name("elsewhere.ome.zarr"), device=kind
    )
    with claimed_device(kind):
        run(elsewhere)
    ours, theirs = (voxels(each.output).astype(float) for each in (request_, elsewhere))
    np.testing.assert_allclose(ours, theirs, atol=1)


OWN = {
    "settings": TrainingSettings(crop=32, batch=4),
    "network": NetworkSettings(widths=(8, 8), blocks_down=(1, 1), blocks_up=(1, 1)),
}
PAPER = {
    "settings": MaskedTraining(batch=4, crop=32, hidden_rows=(18, 28), learning_rate=1e-3),
    "network": UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(OWN, id="isoslice"),
        *(pytest.param({"preset": name, **PAPER}, id=name) for name in ("msdsr", "end-to-end")),
    ],
)
def test_training_then_predicting(stack, device, recipe, tmp_path, monkeypatch):
    """With validations and checkpoints, and resumed from one."""
    monkeypatch.setattr(isoslice.training.loop, "VALIDATION_SECONDS", 0.0)
    monkeypatch.setattr(isoslice.training.loop, "CHECKPOINT_SECONDS", 0.0)
    options = {"device": device.type, "workdir": tmp_path, **recipe}
    train(stack, axes="ZYX", steps=2, **options)
    model = train(stack, axes="ZYX", steps=4, resume=True, **options)
    assert model.info["steps"] == 4
    assert {claimed(p) for p in model.network.parameters()} == {"cpu"}
    model.save(tmp_path / "model")
    steps = 3 if recipe.get("preset") == "msdsr" else None
    found = model.predict(stack, "ZYX", SIZE, device=device.type, steps=steps)
    np.testing.assert_array_equal(found.volume[::3], stack)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_adapting_then_predicting(stack, device, kept, monkeypatch):
    monkeypatch.setattr(blend, "SHARES", (kept or 0.5,))
    monkeypatch.setattr(blend, "LEAST_GAIN", 0.0 if kept else np.inf)
    monkeypatch.setattr(Blend, "gain", property(lambda one: one.share - 0.5))
    settings = TrainingSettings(crop=32, batch=2)
    options = {"steps": 1, "device": device.type, "settings": settings}
    model = adapt(stack, axes="ZYX", voxel_size=SIZE, **options)
    assert model.info["adaptation"]["share"] == kept
    assert {claimed(p) for p in model.network.parameters()} == {"cpu"}
    found = model.predict(stack, "ZYX", SIZE, device=device.type, mode="mean")
    np.testing.assert_array_equal(found.volume[::3], stack)


@pytest.mark.slow
def test_distilling_then_predicting(tiny_model, stack, device, tmp_path):
    tiny_model.network.cpu()
    student = distill(tiny_model, stack, axes="ZYX", steps=1, device=device.type)
    found = student.predict(stack, "ZYX", SIZE, device=device.type, mode="sample")
    np.testing.assert_array_equal(found.volume[::3], stack)
    assert {claimed(p) for p in tiny_model.network.parameters()} == {"cpu"}


def test_features_are_extracted(device, tmp_path, monkeypatch):
    load = torch.jit.load
    monkeypatch.setattr(torch.jit, "load", lambda file, map_location: load(file).to(map_location))

    class Pooled(torch.nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None].expand(-1, 2048)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer PyTorch advises the authors of such files
        torch.jit.script(Pooled()).save(tmp_path / "pooled.pt")
    images = np.full((3, 3, 20, 30), 192, np.uint8)
    extractor = features.inception(tmp_path / "pooled.pt", device.type)
    np.testing.assert_allclose(extractor(images), 0.5, atol=1e-6)


@pytest.mark.parametrize("intensities", [None, (20.0, 180.0)])
def test_programs_of_packages_run_there(device, intensities):
    per_stack = {"factors": [2, 4], "even_share": 0.6}
    settings = {"per_stack": per_stack, "intensities": intensities}
    network = ExpectedVolume((8, 12), (1, 1), (1, 0), 0.1, 3, **settings).eval()
    torch.nn.init.constant_(network.denoiser.leave_gain, 0.5)
    stack = torch.from_numpy(texture(1, 1, 4, 20, 24, dtype="float32"))
    with torch.no_grad():
        here = network(stack)
        there = network.to(device)(stack.to(device))
    assert claimed(there) == device.type
    torch.testing.assert_close(there.cpu(), here)
