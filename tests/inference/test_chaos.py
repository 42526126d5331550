"""Runs that are killed at random moments, again and again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isoslice import write_volume
from isoslice.data.volume import Volume
from isoslice.inference.engine.ledger import Ledger
from jobs_setup import SPACING, files, small_model

#: A run of many small tasks, which says what it does.
RUN = """
import os, sys, time
import isoslice.inference.engine.begin as begin
from isoslice.inference.engine.job import Job
from isoslice.inference.passes import BATCH_PIXELS
begin.BLOCK = 64
BATCH_PIXELS.update(dict.fromkeys(BATCH_PIXELS, 29 * 90 * 4))
run_task = Job.run_task
def told(job, stage, index, report):
    with open(os.environ["COMPUTED"], "a") as log:
        log.write(stage.task(index) + "\\n")
    time.sleep(0.05)
    return run_task(job, stage, index, report)
Job.run_task = told
"""
COMMAND = """
from isoslice.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def computed(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def recorded(folder: Path) -> tuple[set[str], set[str]]:
    ledger = Ledger(folder)
    return set(ledger.done), ledger.stages


def descendants(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            child = int(path.parent.name)
            found += [child, *descendants(child)]
    return found


def kill(process: int, choose: random.Random) -> None:
    """Kill all of a run, or its parent alone; or a worker first, which is replaced."""
    what = choose.choice(["all", "parent", "worker"])
    workers = descendants(process)
    if what == "worker" and workers:
        os.kill(choose.choice(workers), signal.SIGKILL)
        time.sleep(choose.uniform(0.0, 2.0))
        what = choose.choice(["all", "parent"])
    if what == "parent":
        os.kill(process, signal.SIGKILL)
    else:
        os.killpg(process, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("options", "wanted"), [(["--workers", "2"], 30), ([], 10), (["--part", "1/2"], 10)]
)
def test_killed_runs_go_on(tmp_path, options, wanted):
    """What is recorded is never computed again, and voxels are those of a run left alone."""
    if "--workers" in options:
        pytest.importorskip("distributed")
    small_model(tmp_path / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (8, 90, 75)).astype(np.uint8)
    write_volume(tmp_path / "stack.ome.zarr", Volume(data, "ZYX", SPACING, "micrometer"))
    script, log = tmp_path / "run.py", tmp_path / "computed"
    script.write_text(
        RUN + COMMAND, encoding="utf-8"
    )  # workers import it again, and so its patches
    base = [sys.executable, str(script), "predict", str(tmp_path / "stack.ome.zarr")]
    base += ["-m", str(tmp_path / "m.model"), "--device", "cpu", "-q", "--slab", "5"]
    environment = {**os.environ, "COMPUTED": str(log), "OMP_NUM_THREADS": "1"}
    undisturbed = tmp_path / "undisturbed.ome.zarr"
    subprocess.run([*base, "-o", str(undisturbed)], check=True, env=environment)
    total = len(computed(log))
    assert total > 50
    expected = files(undisturbed)

    choose, kills, outputs = random.Random(0), 0, 0
    while kills < wanted:
        outputs += 1
        began = len(computed(log))
        output = tmp_path / f"out{outputs}.ome.zarr"
        folder = output.with_name(output.name + ".unfinished")
        while not output.exists():
            (before, stages), started = recorded(folder), len(computed(log))
            planned = (folder / "plan.json").exists()
            resume = ["--resume"] if planned and "--part" not in options else []
            process = subprocess.Popen(
                [*base, "-o", str(output), *resume, *options],
                env=environment,
                start_new_session=True,
                stderr=subprocess.PIPE,
            )
            endings = {0}
            if kills < wanted:
                try:
                    process.wait(choose.uniform(1.5, 6.0))
                except subprocess.TimeoutExpired:
                    kill(process.pid, choose)
                    kills += 1
                    endings |= {-signal.SIGKILL}
            errors = process.communicate(timeout=600)[1].decode()
            if "another run is writing it" in errors:
                time.sleep(1)
                continue
            if len(endings) > 1 and "a worker ended while it started" in errors:
                endings |= {
                    1
                }  # the worker that was killed; the run came to its end before its turn
            assert process.returncode in endings, errors
            again = set(computed(log)[started:])
            assert not before & again
            assert not {task for task in again if task.rpartition("/")[0] in stages}
        assert files(output) == expected
        assert len(computed(log)) - began >= total
