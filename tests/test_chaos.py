"""Runs that are killed at random moments, again and again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from isoslice import write_volume
from isoslice.config import ModelConfig, NetworkSettings
from isoslice.io import read_volume
from isoslice.model import Model
from isoslice.network import Denoiser
from isoslice.volume import Volume

#: A run that makes many small blocks, and says which one it computes.
RUN = """
import sys, os
from pathlib import Path
import isoslice.jobs.begin as begin
from isoslice.blocks import Reach
from isoslice.jobs.job import Job
begin.REACH = Reach(8, 8)
begin.window_voxels = lambda *_: 700_000
restore = Job.restore
def told(self, index, report=lambda fraction: None):
    with open(os.environ["COMPUTED"], "a") as log:
        log.write(f"{index}\\n")
    return restore(self, index, report)
Job.restore = told
from isoslice.cli import main
sys.exit(main(sys.argv[1:]))
"""
KILLS = 30


def computed(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def recorded(folder: Path) -> set[int]:
    found = set()
    for path in folder.glob(".isoslice/done-*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found.add(json.loads(line)["block"])
            except ValueError:
                continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
def test_killed_runs_go_on(tmp_path, options):
    """Of the parent and, with workers, of these: what is recorded is never computed again."""
    if options:
        pytest.importorskip("distributed")
    torch.manual_seed(0)
    shape = NetworkSettings(channels=1, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    network = Denoiser(1, shape.widths, shape.blocks_down, shape.blocks_up).eval()
    network.renormalize()
    Model(ModelConfig(sigma_data=0.1, network=shape), network).save(tmp_path / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (40, 260, 260)).astype(np.uint8)
    spacing = {"Z": 2.0, "Y": 0.5, "X": 0.5}
    write_volume(tmp_path / "stack.ome.zarr", Volume(data, "ZYX", spacing, "micrometer"))
    log, output = tmp_path / "computed", tmp_path / "out.ome.zarr"
    folder = output.with_name("out.ome.zarr.unfinished")
    base = [sys.executable, "-c", RUN, "predict", str(tmp_path / "stack.ome.zarr")]
    base += ["-m", str(tmp_path / "m.model"), "--device", "cpu", "-q"]
    environment = {**os.environ, "COMPUTED": str(log), "OMP_NUM_THREADS": "1"}

    undisturbed = tmp_path / "undisturbed.ome.zarr"
    subprocess.run([*base, "-o", str(undisturbed)], check=True, env=environment)
    total = len(computed(log))
    assert total > 10
    log.unlink()

    choose = random.Random(0)
    kills = 0
    while not output.exists():
        resume = ["--resume"] if (folder / ".isoslice" / "plan.json").exists() else []
        if not resume:
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        before, started = recorded(folder), len(computed(log))
        process = subprocess.Popen(
            [*base, "-o", str(output), *resume, *options],
            env=environment,
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        if kills < KILLS:
            time.sleep(choose.uniform(1.0, 4.0))
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        _, errors = process.communicate(timeout=600)
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        again = set(computed(log)[started:])
        assert not before & again
    np.testing.assert_array_equal(read_volume(output).data, read_volume(undisturbed).data)
