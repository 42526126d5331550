"""Checkpoints of the released code: read whole, read safely, or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from isoslice.errors import ModelError
from isoslice.inference.model import Model
from isoslice.models.config import MsdsrConfig, UNetSettings
from isoslice.models.files.msdsr_checkpoint import import_msdsr
from isoslice.models.networks.factory import build_network

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


def state_dict(width=8, channels=3):
    torch.manual_seed(0)
    network = build_network(MsdsrConfig(network=UNetSettings(width=width, channels=channels)))
    weights = {name: torch.randn_like(t) for name, t in network.state_dict().items()}
    return lightning_names(weights)


def lightning_names(weights):
    """As the released code's LightningModule and its moving average name them."""
    raw = {f"model.diffusion_model.{name}": t for name, t in weights.items()}
    averaged = {f"model_ema.diffusion_model{n.replace('.', '')}": t + 1 for n, t in weights.items()}
    other = {"betas": torch.zeros(1000), "model_ema.decay": torch.tensor(0.9999)}
    return {**other, **raw, **averaged}


def checkpoint(path, weights, **more):
    torch.save({"epoch": 59, "global_step": 13560, "state_dict": weights, **more}, path)
    return path


def test_averaged_and_last_weights(tmp_path):
    weights = state_dict()
    path = checkpoint(tmp_path / "d17986ac.ckpt", weights)
    name = "input_blocks.1.0.in_layers.2.weight"
    last, averaged = import_msdsr(path, averaged=False), import_msdsr(path)
    raw = weights[f"model.diffusion_model.{name}"]
    assert torch.equal(last.network.state_dict()[name], raw)
    assert torch.equal(averaged.network.state_dict()[name], raw + 1)
    assert averaged.config.srh
    assert averaged.config.intensities == (0.0, 1.0)
    assert averaged.config.sampler.steps == 200
    assert averaged.config.network.width == 8


def test_command_line(tmp_path, cli):
    path = checkpoint(tmp_path / "a.ckpt", state_dict(channels=1))
    ran = cli("import-msdsr", path, "-o", tmp_path / "m")
    assert ran.code == 0
    assert "width 8" in ran.out
    model = Model.load(tmp_path / "m")
    assert not model.config.srh
    stack = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    result = model.predict(stack, axes="ZYX", factor=2, steps=2)
    assert result.volume.shape == (5, 16, 16)
    np.testing.assert_array_equal(result.volume[::2], stack)
    assert json.loads(cli("info", tmp_path / "m", "--json").out)["recipe"] == "msdsr"


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


class Settings:
    """Any class the authors' environment may have pickled along."""

    def __init__(self):
        self.rate = 1e-3


def test_foreign_objects_are_left_out_and_nothing_runs(tmp_path):
    path = checkpoint(tmp_path / "c.ckpt", state_dict(), hyper_parameters={"cf": Settings()})
    assert import_msdsr(path).config.network.width == 8
    path = checkpoint(tmp_path / "evil.ckpt", state_dict(), hyper_parameters=Evil())
    with suppress(ModelError):  # refused, or read with a stand-in for exec: never executed
        import_msdsr(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {"encoder.weight": torch.zeros(3)}, "another layout (it holds encoder)"),
        (lambda w: {k: v for k, v in w.items() if "ema" not in k}, "take the last weights"),
        (lambda w: {**w, "model.diffusion_model.extra.weight": torch.zeros(1)}, "extra.weight"),
        (lambda w: {k: v[:1] if "qkv" in k else v for k, v in w.items()}, "shape"),
        (
            lambda w: {k: v for k, v in w.items() if "input_blocks.0.0" not in k},
            "another layout (no usable",
        ),
        (lambda w: {k: v * float("nan") for k, v in w.items()}, "not finite"),
        (lambda w: {}, "another layout (it holds nothing)"),
    ],
)
def test_other_layouts_are_refused(tmp_path, change, message):
    path = checkpoint(tmp_path / "x.ckpt", change(state_dict()))
    with pytest.raises(ModelError) as caught:
        import_msdsr(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_checkpoints(tmp_path, cli):
    text = tmp_path / "t.ckpt"
    text.write_text("hello", encoding="utf-8")
    cut = checkpoint(tmp_path / "cut.ckpt", state_dict())
    cut.write_bytes(cut.read_bytes()[:5000])
    listed = tmp_path / "list.ckpt"
    torch.save([1, 2], listed)
    for path in (text, cut, listed, tmp_path / "missing.ckpt", tmp_path):
        ran = cli("import-msdsr", path, "-o", tmp_path / "m")
        assert ran.code == 1, path
        assert len(ran.err) == 1
        assert not (tmp_path / "m").exists()


@pytest.mark.shared
@pytest.mark.skipif(not REFERENCE.is_dir(), reason="no shared folder beside the checkout")
@torch.inference_mode()
def test_reference_weights_in_a_lightning_checkpoint(tmp_path):
    stored = load_file(REFERENCE / "msdsr_reference_unet_w32.safetensors")
    weights = {k.removeprefix("model.diffusion_model."): v for k, v in stored.items()}
    path = checkpoint(tmp_path / "r.ckpt", lightning_names(weights))
    model = import_msdsr(path, averaged=False)
    model.save(tmp_path / "m")
    numbers = np.load(REFERENCE / "msdsr_reference.npz")
    found = Model.load(tmp_path / "m").network(
        torch.from_numpy(numbers["unet_x"]), torch.from_numpy(numbers["unet_t"])
    )
    np.testing.assert_allclose(found.numpy(), numbers["unet_y"], atol=1e-4)
