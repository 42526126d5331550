"""Several processes as SLURM starts them, and what ends them: signals, and the death of one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import isoslice
from conftest import texture, write_stack
from isoslice.training.distributed.topology import cores
from isoslice.training.loop import CHECKPOINT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cores() < 2, reason="two processes need two cores"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "images.ome.tif", texture(6, 48, 48), voxel_size=(1, 1, 1))


def start(images: Path, *options: object, **environment: str) -> subprocess.Popen[str]:
    arguments = ["train", images, "-o", images.with_name("model"), "--device", "cpu", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "isoslice", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        # A test run started in the background may hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def slurm(images: Path, *options: object) -> list[subprocess.Popen[str]]:
    """Two tasks on two nodes, which are this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    step = {
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",  # two nodes share the cores here
    }
    return [
        start(images, "--nodes", 2, *options, SLURM_PROCID=rank, SLURM_NODEID=rank, **step)
        for rank in "01"
    ]


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it never said {text}")


def workers(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not path.exists():
        pytest.skip("no /proc to find the processes in")
    return [int(pid) for pid in path.read_text(encoding="utf-8").split()]


def assert_gone(pids: list[int], within: float) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end:
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        if not any(
            s.exists() and s.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
            for s in states
        ):
            return
        time.sleep(0.1)
    raise AssertionError("processes are left")


def test_tasks_of_two_nodes_train_one_model(images):
    tasks = slurm(images, "--steps", 3)
    (said, heard), (silent, other) = (task.communicate(timeout=120) for task in tasks)
    assert [task.returncode for task in tasks] == [0, 0], heard + other
    assert said.startswith("model: ")
    assert (silent, other) == ("", "")
    info = isoslice.Model.load(images.with_name("model")).info
    assert (info["processes"], info["nodes"], info["steps"]) == (2, 2, 3)
    assert not images.with_name("model.training").exists()


@pytest.mark.parametrize("which", [(0, 1), (1,)])
def test_sigterm_ends_all_tasks_after_the_same_step(images, which):
    """A cluster tells all tasks, a user perhaps one."""
    tasks = slurm(images, "--minutes", 5)
    wait_for(tasks[0], "training: ")
    for rank in which:
        tasks[rank].send_signal(signal.SIGTERM)
    (_, heard), _ = (task.communicate(timeout=60) for task in tasks)
    assert [task.returncode for task in tasks] == [130, 130]
    assert "run the same again with --resume" in heard
    assert (images.with_name("model.training") / CHECKPOINT).exists()
    tasks = slurm(images, "--steps", 1, "--resume")
    for task in tasks:
        task.communicate(timeout=120)
    assert [task.returncode for task in tasks] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_keeps_the_training(images, number):
    process = start(images, "--minutes", 5, "--devices", 2)
    wait_for(process, "training: ")
    pids = workers(process)
    assert len(pids) == 2
    process.send_signal(number)
    _, heard = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same again with --resume" in heard
    assert_gone(pids, within=1)
    assert (images.with_name("model.training") / CHECKPOINT).exists()


def test_without_the_process_that_started_them_they_end(images, tmp_path):
    place = tmp_path / "temporary"
    place.mkdir()
    process = start(images, "--minutes", 5, "--devices", 2, TMPDIR=str(place))
    wait_for(process, "training: ")
    pids = workers(process)
    process.kill()
    process.communicate()
    assert_gone(pids, within=30)
    assert not list(place.iterdir())
    assert (images.with_name("model.training") / CHECKPOINT).exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_all(images, rank):
    process = start(images, "--minutes", 5, "--devices", 2)
    wait_for(process, "training: ")
    pids = workers(process)
    os.kill(pids[rank], signal.SIGKILL)
    _, heard = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = heard.splitlines()[-1:]
    assert f"error: process {rank} of 2 was killed" in line
    assert_gone(pids, within=1)
