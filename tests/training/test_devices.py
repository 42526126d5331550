"""Training in several processes: as if it were one with a larger batch, whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.data.crops import draw_crops
from isoslice.data.planes import PlaneStack, plane_stacks
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.models.config import MaskedTraining, ModelConfig, UNetSettings
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import preset_config
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.topology import ProcessTopology, cores
from isoslice.training.launcher import launch, read_job, write_job
from isoslice.training.loop import CHECKPOINT
from isoslice.training.objectives import MaskedObjective, ResidualObjective, micro_batches_per_step
from isoslice.training.session import TrainingRun
from isoslice.training.steps import Training
from tiny_training import NETWORK, SETTINGS, fast, stripes, weights

several = pytest.mark.skipif(cores() < 2, reason="two processes need two cores")
CONFIG = ModelConfig(sigma_data=0.1, network=NETWORK, training=SETTINGS)


@dataclass(frozen=True)
class PlainDescent(ResidualObjective):
    """isoslice's loss, its steps as long as the gradient: the weights tell the gradient."""

    clip_norm: float = 1e6
    parts: int = 1
    fails: int | None = None

    @property
    def micro_batch(self) -> int:
        return self.training.batch // self.parts

    def loss(self, network: nn.Module, images, generator, stacks=None) -> torch.Tensor:
        if self.fails is not None and torch.distributed.get_rank() == self.fails:
            raise SettingsError("got a fault in one process")
        with torch.autocast("cpu", enabled=False):  # to compare more than bfloat16's digits
            return super().loss(network, images, generator)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": list(network.parameters()), "scale": 1.0}], lr=1.0)

    def rate(self, step: int, done: float) -> float:
        return 1.0

    def decay(self, step: int) -> float:
        return 0.0

    def post_step(self, network: nn.Module) -> None:
        """Leave the weights as the step made them."""


@pytest.fixture
def one_thread():
    """As torchrun has it; what is measured before training depends on it in its last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(objective=None, steps=1, workdir=None, device="cpu") -> TrainingRun:
    torch.manual_seed(0)
    return TrainingRun(
        build_network(CONFIG),
        objective or PlainDescent(CONFIG),
        CONFIG,
        plane_stacks([Volume(stripes(), "ZYX")]),
        [],
        {"sources": []},
        minutes=None,
        steps=steps,
        device=torch.device(device),
        workdir=workdir,
        resume=False,
    )


def test_a_job_survives_its_file(tmp_path):
    """Arrays come back as they were, and lie in the file, not in memory."""
    sent = job()
    write_job(sent, tmp_path)
    got = read_job(tmp_path)
    assert got.config == sent.config
    np.testing.assert_array_equal(got.training[0].data, sent.training[0].data)
    assert not got.training[0].data.flags.owndata
    crops = [draw_crops(j.training, 3, 32, torch.Generator().manual_seed(0)) for j in (sent, got)]
    assert torch.equal(*crops)
    assert all(map(torch.equal, sent.untrained.parameters(), got.untrained.parameters()))
    empty = TrainingRun(**{**vars(sent), "held_out": [PlaneStack(np.zeros((0, 1, 4, 4)), None)]})
    write_job(empty, tmp_path)
    assert read_job(tmp_path).held_out[0].data.shape == (0, 1, 4, 4)


@pytest.mark.parametrize(
    ("processes", "own", "published"), [(1, 1, 32), (2, 1, 16), (3, 1, 11), (64, 1, 1)]
)
def test_processes_share_the_parts_of_a_batch(processes, own, published):
    assert micro_batches_per_step(ResidualObjective(CONFIG), processes) == own
    assert micro_batches_per_step(MaskedObjective(preset_config("msdsr")), processes) == published


@pytest.mark.parametrize("parts", [1, 2])
def test_a_gradient_is_clipped_once_it_is_whole(parts):
    work = job(PlainDescent(CONFIG, parts=parts, clip_norm=1e-3))
    alone = ProcessTopology()
    training = Training(work.untrained, work.training, work.objective, work.device, alone)
    before = weights(training).clone()
    for part in range(parts):
        training.accumulate(part)
        assert torch.equal(weights(training), before)
    training.update(done=0.0)
    moved = weights(training) - before
    assert float(moved.detach().norm()) == pytest.approx(1e-3, rel=1e-3)
    averaged = torch.cat([p.flatten() for p in training.averaged.parameters()])
    assert torch.equal(averaged, weights(training))  # of one step
    assert training.step == 1


@pytest.mark.slow
@several
@pytest.mark.parametrize("parts", [1, 4])
def test_two_processes_take_the_gradient_of_their_joint_batch(parts):
    work = job(PlainDescent(CONFIG, parts=parts))
    found = weights(launch(work, 2, Progress()))

    network = job().untrained.train()
    before = torch.cat([p.detach().flatten() for p in network.parameters()])
    losses = []
    each = max(1, parts // 2)
    for rank, part in itertools.product(range(2), range(each)):
        # docs/how-to/training.md: crops, masks and noise follow from (seed, step, process).
        generator = torch.Generator().manual_seed(part * 1_009 + rank + 1)
        count = work.objective.micro_batch
        images = draw_crops(work.training, count, SETTINGS.crop, generator, quarter_turns=True)
        losses.append(work.objective.loss(network, images, generator))
    assert len({float(loss.detach()) for loss in losses}) == 2 * each
    (sum(losses) / len(losses)).backward()
    expected = -torch.cat([p.grad.flatten() for p in network.parameters()])
    length = expected.norm()
    assert length > 1e-3
    assert (found - before - expected).norm() < 1e-4 * length


TOGETHER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tiny_training import fast, weights
from isoslice.training.distributed.topology import find_topology
import torch
place = find_topology(2, 1, torch.device("cpu"))
found = []
for options in ({"steps": 5}, {"minutes": 0.02}):
    model = fast(devices=2, **options)
    found += [model.fingerprint, model.info["steps"], model.info["loss"], model.info["validation"]]
with open(f"{sys.argv[2]}/{place.rank}.json", "w") as file:
    json.dump(found, file)
"""


@pytest.mark.slow
@several
def test_torchruns_processes_end_with_the_same_weights_at_the_same_step(tmp_path, one_thread):
    script = tmp_path / "script.py"
    script.write_text(TOGETHER, encoding="utf-8")
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *arguments, script, Path(__file__).parents[1], tmp_path],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    first, second = (
        json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)
    )
    assert first == second
    assert first[1] == 5
    assert first[0] == fast(steps=5, devices=2).fingerprint  # whoever starts the processes
    assert first[0] != fast(steps=5).fingerprint  # they do see different crops


@pytest.mark.slow
@several
def test_record_and_budget_of_two_processes():
    model = fast(minutes=0.03, devices=2)
    info = model.info
    assert 0 < info["minutes"] < 0.2
    assert (info["processes"], info["nodes"], info["batch"]) == (2, 1, 2 * SETTINGS.batch)
    assert info["images_seen"] == info["steps"] * 2 * SETTINGS.batch
    assert info["device"].startswith("2 x cpu, ")
    result = model.predict(texture(4, 40, 40), axes="ZYX", voxel_size=(2, 1, 1))
    assert result.volume.shape == (7, 40, 40)


@pytest.mark.slow
@several
def test_published_recipes_learn_with_parts_of_their_batch():
    settings = MaskedTraining(batch=8, micro_batch=2, crop=32, hidden_rows=(12, 20))
    network = UNetSettings(width=8, groups=2, head_channels=8)
    for preset in ("msdsr", "end-to-end"):
        options = {"preset": preset, "settings": settings, "network": network}
        model = fast(steps=2, devices=2, **options)
        assert model.info["images_seen"] == 16


@pytest.mark.slow
@several
def test_resumed_training_of_two_equals_undisturbed_training(tmp_path):
    class Stop(Progress):
        def update(self, task, fraction, detail=""):
            if fraction < 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fast(steps=150, devices=2, workdir=tmp_path, progress=Stop())
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]
    stopped = torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"]
    assert 0 < stopped < 150
    resumed = fast(steps=150, devices=2, workdir=tmp_path, resume=True)
    assert resumed.info["steps"] == 150
    torch.testing.assert_close(weights(resumed), weights(fast(steps=150, devices=2)))


@pytest.mark.slow
@several
@pytest.mark.parametrize("rank", [0, 1])
def test_what_ails_one_process_ends_all_and_is_told(rank):
    begun = time.monotonic()
    with pytest.raises(SettingsError, match=r"^got a fault in one process$"):
        launch(job(PlainDescent(CONFIG, fails=rank), steps=5), 2, Progress())
    assert time.monotonic() - begun < 60


@pytest.mark.slow
@several
def test_command_with_two_devices(cli: Cli, tmp_path):
    images = write_stack(tmp_path / "images.ome.tif", texture(6, 48, 48), voxel_size=(1, 1, 1))
    model, student, out = tmp_path / "model", tmp_path / "student", tmp_path / "out.tif"
    options = ["--device", "cpu", "--devices", 2]
    code, said, heard = cli("train", images, "-o", model, "--steps", 2, *options)
    assert (code, said.splitlines()[0]) == (0, f"model: {model}")
    assert heard[0] == "starting 2 processes"
    assert any("computing on 2 x cpu" in line for line in heard)
    assert any(line.startswith("training: 100%") for line in heard)
    assert cli("distill", model, images, "-o", student, "--steps", 1, "-q", *options).code == 0
    assert isoslice.Model.load(student).info["processes"] == 2
    stack = write_stack(tmp_path / "stack.ome.tif", texture(4, 40, 40))
    assert cli("predict", stack, "-m", student, "-o", out, "-q").code == 0
    assert not list(tmp_path.glob("*.training"))
