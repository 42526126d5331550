"""How long a prediction takes from nothing: to the first block, to the end, and beside the network.

    python benchmarks/cold_start.py STACK.tif -m pretrained --axes ZYX --voxel-size 4,1,1nm
    python benchmarks/cold_start.py STACK.tif --output OUT.ome.zarr --repeats 5 --busy --mode mean

What it does not know goes to `isoslice predict`. Each run is a program of its own; medians of all.

start, first block, end: seconds from the start of the program until everything is loaded, until
the first restored block is in its place, and until the program has ended. prediction: seconds from
reading to writing. network: those of all threads inside it, over their number; beside: the share of
the prediction that is left. With --busy, on a machine that does other things, all are of processor
time, and with one thread (OMP_NUM_THREADS=1) what the clock would show if it did nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


class Watch:
    """Adds up what calls take by a clock, of all threads, and notes when the first one ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds, self.first_end = 0.0, 0.0
        self._clock, self._lock = clock, threading.Lock()

    def on(self, owner: Any, name: str) -> None:
        """Watch a function or method from now on."""
        function = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            start = self._clock()
            try:
                return function(*arguments)
            finally:
                end = self._clock()
                with self._lock:
                    self.seconds += end - start
                    self.first_end = self.first_end or end

        setattr(owner, name, watched)


def predict(arguments: list[str], started: float, *, busy: bool) -> dict[str, float]:
    """Predict as the command does, in this program, which started at a time; return seconds."""
    import torch

    from isoslice.cli import main
    from isoslice.inference.engine import predict, sinks
    from isoslice.models.networks.denoiser import Denoiser

    clock = time.process_time if busy else partial(_since, started)
    loaded = clock()
    network = Watch(time.thread_time if busy else clock)
    whole, blocks = Watch(clock), Watch(clock)
    network.on(Denoiser, "forward")
    whole.on(predict, "predict_file")
    for sink in (sinks.ArraySink, sinks.ZarrSink):
        blocks.on(sink, "write")
    if code := main(["predict", *arguments]):
        raise SystemExit(code)
    inside = network.seconds / (1 if busy else torch.get_num_threads())
    return {
        "start": loaded,
        "first block": blocks.first_end,
        "prediction": whole.seconds,
        "network": inside,
        "beside": 1 - inside / whole.seconds,
    }


def _since(moment: float) -> float:
    return time.time() - moment


def measure(arguments: list[str], output: str, *, busy: bool) -> dict[str, float]:
    """Run it as a program of its own, into a folder that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [*arguments, "-o", str(Path(folder, output)), "--quiet"]
        started, used = time.time(), os.times()
        code = f"import cold_start; cold_start.run_here({arguments}, {started}, busy={busy})"
        command = [sys.executable, "-c", code]
        here = Path(__file__).parent
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=here).stdout
        now = os.times()
        processor = now.children_user + now.children_system
        processor -= used.children_user + used.children_system
        return {**json.loads(told), "end": processor if busy else time.time() - started}


def run_here(arguments: list[str], started: float, *, busy: bool) -> None:
    """Print what `predict` returns; in the program that `measure` starts."""
    print(json.dumps(predict(arguments, started, busy=busy)))


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("stack", type=Path)
    parser.add_argument("--mode", action="append", help="mean, sample; both by default")
    parser.add_argument("--output", default="OUT.ome.tif", help="whose suffix says the format")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", action="store_true", help="processor time, not the clock's")
    options, others = parser.parse_known_args()
    if not {"-m", "--model"} & set(others):
        others += ["-m", "pretrained"]
    columns = ("start", "first block", "end", "prediction", "network", "beside")
    print(f"{'':8}", *(f"{name:>11}" for name in columns))
    modes = options.mode or ["mean", "sample"]
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    for _ in range(options.repeats):
        for mode in modes:  # in turn: the machine may change
            arguments = [str(options.stack.absolute()), *others, "--mode", mode]
            found[mode].append(measure(arguments, options.output, busy=options.busy))
    for mode, runs in found.items():
        medians = [statistics.median(run[name] for run in runs) for name in columns]
        print(f"{mode:8}", *(f"{each:11.2f}" for each in medians[:-1]), f"{medians[-1]:11.1%}")


if __name__ == "__main__":
    main()
