"""The memory that a volume takes which does not fit into it.

    python benchmarks/outofcore.py MODEL --memory 4GB

For volumes of several sizes, up to 20 billion voxels and more, each kind of task is done once in a
process of its own, and the process's peak of resident memory is read from the system: a slab of
every pass, the gains, a block of the output. The stack is real: one chunk of it, repeated on the
disk by links. What a pass finds of the one before is a sparse file, so that nobody has to wait for
hours. With --run SIDE such a volume is also given to ``isoslice predict`` itself, which is stopped
after three minutes, in one process and on two workers. Needs Linux.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

from isoslice.inference.engine import need as need_module
from isoslice.inference.engine.begin import Request, begin
from isoslice.inference.engine.job import FIELDS, Job
from isoslice.inference.engine.slabs import parse_memory
from isoslice.inference.engine.worker import this_process
from isoslice.inference.model import Model
from isoslice.inference.stages import Stage
from isoslice.io import read_volume
from isoslice.io.formats.omezarr.metadata import Description, metadata
from isoslice.io.formats.omezarr.pyramid import Level
from isoslice.io.reading import open_volume
from isoslice.runtime.progress import Progress

CHUNK = 64
#: The command line, on a disk that may be too small for the whole run.
COMMAND = """
import sys
import isoslice.inference.engine.need as need
need.free_bytes = lambda folder: 2**62
from isoslice.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def repeated_stack(path: Path, shape: tuple[int, int, int], factor: int, source: Path) -> None:
    """Write a stack of which every chunk is the same one, a link to one file."""
    voxels = np.asarray(read_volume(source, axes="ZYX").data)[::factor]
    tile = np.tile(voxels, [-(-CHUNK // n) for n in voxels.shape])[:CHUNK, :CHUNK, :CHUNK]
    group = zarr.create_group(store=path, zarr_format=3)
    array = group.create_array("0", shape=shape, dtype=tile.dtype, chunks=(CHUNK,) * 3)
    array[:CHUNK, :CHUNK, :CHUNK] = tile[: shape[0], : shape[1], : shape[2]]
    first = path / "0" / "c" / "0" / "0" / "0"
    counts = [-(-n // CHUNK) for n in shape]
    for index in np.ndindex(*counts):
        chunk = path / "0" / "c" / Path(*map(str, index))
        chunk.parent.mkdir(parents=True, exist_ok=True)
        if not chunk.exists():
            os.link(first, chunk)
    image = Description(
        "ZYX", {"Z": float(factor), "Y": 1.0, "X": 1.0}, "micrometer", None, (), tile.dtype
    )
    group.attrs["ome"] = metadata(image, [Level(shape, (1, 1, 1))])


def sparse_field(job: Job, stage: Stage) -> None:
    """Pretend that a pass has been made: files of the right size, with nothing in them."""
    assert stage.step is not None
    layout, plane = job.restoration.layout(0), stage.step.plane
    z, y, x = layout.shape
    width = x if plane == "XZ" else y
    for index, slab in enumerate(layout.slab_ranges(plane)):
        path = job.folder / FIELDS / "frame-0" / stage.name / f"{index:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (slab.stop - slab.start) * layout.channels * z * width * layout.dtype.itemsize
        with path.open("wb") as stream:
            stream.truncate(size)


def peak() -> float:
    """Return this process's peak of resident memory, in GB, and begin anew."""
    found = high_water(os.getpid())
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return found


def high_water(process: int) -> float:
    """Return a process's peak of resident memory, in GB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 / 1e9 if match else 0.0


def family(process: int) -> list[int]:
    """List a process and all its descendants."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text(encoding="utf-8").split():
            found += family(int(child))
    return found


def one_of_each(stack: Path, model: Path, output: Path, budget: int, rows: list[list[str]]) -> None:
    """Do one task of each stage; tell each one's peak."""
    request = Request(stack, model, output, memory=budget, threads=2)
    worker = this_process("auto")
    job = begin(request, open_volume(stack), Model.load(model), Progress(), worker)
    job.compute_on(torch.device(worker.kind))
    voxels = f"{job.voxels / 1e9:.2f}"
    peaks = {"plan": peak()}
    passes = {stage.name: stage for stage in job.restoration.frame_stages if stage.step}
    for stage, tasks in zip(job.restoration.frame_stages, job.stages(), strict=True):
        for name in stage.reads:
            if name in passes:
                sparse_field(job, passes[name])
        job.run_task(tasks, tasks.tasks // 2, lambda fraction: None)
        peaks[stage.name] = peak()
        print(voxels, stage.name, f"{peaks[stage.name]:.2f} GB", flush=True)
    rows.append(
        [voxels, f"{budget / 1e9:g}", str(job.saved.cut.slabs[0]), f"{max(peaks.values()):.2f}"]
        + [f"{peaks[name]:.2f}" for name in peaks]
    )


def stopped_run(stack: Path, model: Path, output: Path, budget: str, options: list[str]) -> None:
    """Run the command for three minutes; tell the peak of each of its processes."""
    command = [sys.executable, "-c", COMMAND, "predict", str(stack), "-m", str(model)]
    command += ["-o", str(output), "--memory", budget, *options]
    process = subprocess.Popen(command)
    peaks: dict[int, float] = {}
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        for member in family(process.pid):
            peaks[member] = max(peaks.get(member, 0.0), high_water(member))
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    told = ", ".join(f"{value:.2f}" for value in sorted(peaks.values(), reverse=True))
    print(f"isoslice predict {' '.join(options)}: exit {code}; peaks in GB: {told}", flush=True)


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="a real volume, axes ZYX")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--sides", type=int, nargs="*", default=[1001, 2721, 4001])
    parser.add_argument("--folder", type=Path, help="where; a temporary folder by default")
    parser.add_argument("--run", type=int, help="side of a volume for the command itself")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    budget = parse_memory(options.memory)
    if options.one:  # in a process of its own
        rows: list[list[str]] = []
        need_module.free_bytes = lambda folder: 2**62  # its files are sparse
        one_of_each(Path(options.one[0]), options.model, Path(options.one[1]), budget, rows)
        print("row", ",".join(rows[0]), flush=True)
        return
    table = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for side in options.sides:
            stack = Path(folder, f"{side}.ome.zarr")
            planes = (side - 1) // options.factor + 1
            repeated_stack(stack, (planes, side, side), options.factor, options.source)
            output = Path(folder, f"{side}.out.ome.zarr")
            command = [sys.executable, __file__, str(options.model), "--source", "-", "--memory"]
            command += [options.memory, "--one", str(stack), str(output)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
                assert process.stdout is not None
                for line in process.stdout:
                    print(line, end="", flush=True)
                    if line.startswith("row "):
                        table.append(line[4:].strip().split(","))
        if options.run:
            stack = Path(folder, f"{options.run}.ome.zarr")
            if not stack.exists():
                planes = (options.run - 1) // options.factor + 1
                shape = (planes, options.run, options.run)
                repeated_stack(stack, shape, options.factor, options.source)
            for extra in ([], ["--workers", "2"]):
                output = Path(folder, "run.ome.zarr")
                stopped_run(stack, options.model, output, options.memory, extra)
                subprocess.run(["rm", "-rf", f"{output}.unfinished"], check=True)
    names = ["billion voxels", "budget GB", "slices", "peak GB", "plan"]
    names += [f"pass {i + 1}" for i in range(5)] + ["gains", "block"]
    print(" | ".join(names))
    for row in table:
        print(" | ".join(row))
    if options.output and table:
        with options.output.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(names)
            writer.writerows(table)


if __name__ == "__main__":
    main()
