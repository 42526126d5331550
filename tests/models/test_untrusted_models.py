"""Models and checkpoints made to harm: refused before anything is built, and never run."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from conftest import Bomb
from isoslice.errors import ModelError
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, MsdsrConfig, NetworkSettings, UNetSettings
from isoslice.models.files.msdsr_checkpoint import AVERAGED, RAW, import_msdsr
from isoslice.models.networks.error_head import SpreadHead
from isoslice.models.networks.factory import build_network


def edit(path: Path, **changes) -> None:
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8"
    )


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    shape = NetworkSettings(widths=(8, 8), blocks_down=(1, 0), blocks_up=(0, 0))
    config = ModelConfig(network=shape, sigma_data=0.1)
    Model(config, build_network(config).eval(), {}).save(tmp_path / "m.model")
    return tmp_path / "m.model"


def no_model(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Model.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "training.json"])
def test_settings_nested_too_deeply_or_too_long(model_copy, name):
    (model_copy / name).write_text("[" * 200_000, encoding="utf-8")
    no_model(model_copy, "settings that cannot be read")
    with (model_copy / name).open("ab") as file:
        file.truncate(2**30)
    no_model(model_copy, "got a file of 1 GB, expected at most 1")


def test_settings_of_a_huge_network_build_nothing(model_copy, monkeypatch):
    import isoslice.models.files.bundle as module

    monkeypatch.setattr(module, "build_network", lambda _: pytest.fail("it was built"))
    huge = {"widths": [2048], "blocks_down": [2], "blocks_up": [1]}
    edit(model_copy / "config.json", network=huge)
    no_model(model_copy, "weights that do not fit config.json")
    edit(model_copy / "config.json", network={**huge, "widths": [4096], "blocks_up": [16]})
    no_model(model_copy, "more than 500 M weights")


def test_weights_that_are_no_file(model_copy):
    weights = model_copy / "weights.safetensors"
    weights.unlink()
    os.mkfifo(weights)
    no_model(model_copy, "no isoslice model there")
    weights.unlink()
    weights.symlink_to("/dev/zero")
    no_model(model_copy, "no isoslice model there")


def test_weights_may_be_a_link_and_nothing_but_weights(model_copy, tmp_path):
    """Caches of downloaded models link to their store, so links to files are followed."""
    weights = model_copy / "weights.safetensors"
    weights.rename(tmp_path / "stored")
    weights.symlink_to(tmp_path / "stored")
    assert Model.load(model_copy).fingerprint
    weights.unlink()
    weights.symlink_to("/etc/passwd")
    no_model(model_copy, "weights that cannot be read")
    weights.unlink()
    weights.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    no_model(model_copy, "weights that cannot be read")
    weights.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    no_model(model_copy, "weights that cannot be read")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_type(model_copy):
    weights = load((model_copy / "weights.safetensors").read_bytes())
    save_file({n: t.double() for n, t in weights.items()}, model_copy / "weights.safetensors")
    no_model(model_copy, "weights that do not fit config.json")


def checkpoint(path: Path, change=lambda name, tensor: tensor) -> Path:
    network = build_network(MsdsrConfig(network=UNetSettings(width=8)))
    weights = {}
    for name, tensor in network.state_dict().items():
        weights[RAW + name] = change(name, tensor)
        weights[AVERAGED + name.replace(".", "")] = weights[RAW + name]
    torch.save({"state_dict": weights}, path)
    return path


def no_checkpoint(path: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        import_msdsr(path)
    assert "\n" not in str(caught.value)


def test_checkpoints_with_programs_run_none(tmp_path):
    torch.save({"state_dict": {"a": Bomb(tmp_path / "ran")}}, tmp_path / "a.ckpt")
    no_checkpoint(tmp_path / "a.ckpt", "got a")
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    no_checkpoint(tmp_path / "a.ckpt", "not a zip file")
    assert not (tmp_path / "ran").exists()


def test_checkpoint_bombs(tmp_path):
    path = checkpoint(tmp_path / "a.ckpt")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part + bytes(2**22 if name.endswith("/0") else 0))
    no_checkpoint(tmp_path / "b.ckpt", "are compressed")
    # A tensor of one number that claims to be many.
    spread = checkpoint(tmp_path / "c.ckpt", lambda _, t: torch.zeros(1).expand(t.shape))
    no_checkpoint(spread, "no plain array of numbers")
    wide = torch.zeros(1, 1, 1, 1).expand(512, 3, 3, 3)
    many = checkpoint(
        tmp_path / "d.ckpt", lambda n, t: wide if n == "input_blocks.0.0.weight" else t
    )
    no_checkpoint(many, "expected shape|no plain array")
    many = checkpoint(
        tmp_path / "e.ckpt",
        lambda n, t: torch.zeros(8, 100, 3, 3) if n == "input_blocks.0.0.weight" else t,
    )
    no_checkpoint(many, "another layout")


def test_what_a_model_knows_of_itself_is_not_trusted(model_copy, tmp_path):
    trust = model_copy / "trust.json"
    good = trust.read_text(encoding="utf-8")
    for text in ("[" * 200_000, "{}garbage", '{"format": 2}', '{"unknown": 1}', "null"):
        trust.write_text(text, encoding="utf-8")
        no_model(model_copy, "trust.json: got a file that cannot be read")
    trust.write_text(good, encoding="utf-8")
    Model.load(model_copy)
    trust.unlink()  # as of an earlier version
    assert Model.load(model_copy).trust.calibration is None


def test_a_head_of_another_network_is_refused(model_copy):
    spread = model_copy / "spread.safetensors"
    save_file({"enter.weight": torch.zeros(1)}, spread)
    no_model(model_copy, "weights that do not fit")
    spread.write_bytes(b"nonsense")
    no_model(model_copy, "weights that cannot be read")
    other = SpreadHead(1, 8, 0.1).state_dict()
    save_file({name: t * float("nan") for name, t in other.items()}, spread)
    no_model(model_copy, "not finite")
    save_file(dict(other), spread)
    assert Model.load(model_copy).head is not None
