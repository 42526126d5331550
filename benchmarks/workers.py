"""What do engines cost? One process against two workers and two parts; the price of a task.

    python benchmarks/workers.py MODEL VOLUME --factor 4

Throughput: ``isoslice predict`` of the same stack, once in one process with two threads, once on
two workers of a local Dask cluster, once in two parts at once; in turn, several times, medians.
From the first task to the last one, and with the start of processes. Outputs are compared file by
file.

Overheads: what each task costs beside its work, by doing nothing in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from isoslice.data.grid import thin
from isoslice.data.volume import Volume
from isoslice.inference.engine import executors as engines
from isoslice.inference.engine.begin import Request, begin
from isoslice.inference.engine.job import Job
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.worker import this_process
from isoslice.inference.model import Model
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import open_volume
from isoslice.runtime.progress import Progress

ENGINES = {"one process, two threads": [[]], "two workers": [["--workers", "2"]]}
ENGINES["two parts"] = [["--part", "1/2"], ["--part", "2/2"]]


def run_once(command: list[str], output: Path, options: list[list[str]]) -> tuple[float, float]:
    """Run an engine; return seconds in all, and from the first task to the last."""
    began = time.time()
    # Parts share the cores, as they would on a machine of their own each.
    threads = {"OMP_NUM_THREADS": "1"} if len(options) > 1 else {}
    runs = [
        subprocess.Popen([*command, "-o", str(output), *extra], env={**os.environ, **threads})
        for extra in options
    ]
    if any(run.wait() for run in runs):
        raise SystemExit("a run failed")
    seconds = time.time() - began
    times = json.loads(Path(f"{output}.json").read_text(encoding="utf-8"))["times"]
    return seconds, times[1] - times[0]


def same(a: Path, b: Path) -> bool:
    """Whether two outputs have the same files."""
    names = [sorted(p.relative_to(x) for p in x.rglob("*") if p.is_file()) for x in (a, b)]
    return names[0] == names[1] and all(
        (a / name).read_bytes() == (b / name).read_bytes() for name in names[0]
    )


def overheads(request: Request) -> None:
    """Measure what a task costs beside its work."""
    worker = this_process("auto")
    volume, model = open_volume(request.stack), Model.load(request.model)
    job = begin(request, volume, model, Progress(), worker)
    ledger, stage = Ledger(job.folder), next(job.stages())
    with mock.patch.object(Job, "run_task", return_value={}):
        for shared, name in ((False, "claim, record"), (True, "claim, look, find it done")):
            times = []
            for index in range(200):
                start = time.perf_counter()
                engines.do_task(job, ledger, stage, index, print, shared=shared)
                times.append(time.perf_counter() - start)
            print(f"{name}: {1e3 * statistics.median(times):.2f} ms a task", flush=True)
    start = time.perf_counter()
    for _ in range(100):
        job.check_stack()
    print(f"look whether the stack is there: {10 * (time.perf_counter() - start):.2f} ms")
    with engines.local_cluster(1, 1) as client:
        client.submit(int, 0).result()
        start = time.perf_counter()
        for number in range(500):
            client.submit(int, number, pure=False).result()
        print(f"Dask, one task after the other: {2 * (time.perf_counter() - start):.2f} ms a task")
        start = time.perf_counter()
        client.gather(client.map(int, range(5000), pure=False))
        print(f"Dask, many at once: {(time.perf_counter() - start) / 5:.2f} ms a task")
    shutil.rmtree(job.folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--axes", default="ZYX")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--side", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    data = thin(np.asarray(read_volume(options.volume, axes=options.axes).data), options.factor)
    repeat = [1, *(-(-options.side // n) for n in data.shape[1:])]
    data = np.tile(data, repeat)[:, : options.side, : options.side]
    spacing = {"Z": float(options.factor), "Y": 1.0, "X": 1.0}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volume(folder / "stack.ome.zarr", Volume(data, "ZYX", spacing, "micrometer"))
        command = [sys.executable, "-m", "isoslice", "predict", str(folder / "stack.ome.zarr")]
        command += ["-m", str(options.model), "-q", "--memory", "4GB"]
        for repetition in range(options.repeats):
            for name, extra in ENGINES.items():
                output = folder / f"{name}.ome.zarr"
                if repetition:
                    shutil.rmtree(output)
                seconds[name].append(run_once(command, output, extra))
                print(name, seconds[name][-1], flush=True)
        first, *others = (folder / f"{name}.ome.zarr" for name in ENGINES)
        print("the same files:", all(same(first, other) for other in others))
        base = None
        for name, times in seconds.items():
            total, working = (statistics.median(each) for each in zip(*times, strict=True))
            base = base or working
            print(f"{name}: {total:.1f} s in all, {working:.1f} s at work, {base / working:.3f}")
        overheads(Request(folder / "stack.ome.zarr", options.model, folder / "o.ome.zarr", slab=1))


if __name__ == "__main__":
    main()
