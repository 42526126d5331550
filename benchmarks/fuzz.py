"""Thousands of damaged files per reader: each must give a typed error or a valid read.

    python benchmarks/fuzz.py                        # 5,000 a reader, 33 readers; half an hour
    python benchmarks/fuzz.py --count 200 --reader "OME-Zarr 0.5"

Inputs are read in child processes, 500 each: one that dies counts a crash and is replaced. Address
space is limited (RLIMIT_AS) to 4 GiB above that of the child at its start, so that a reader that
allocates more fails; the readers themselves are told that 1 GiB is free. An input that takes more
than 10 s is a hang, one whose resident memory grows by more than 2 GiB (VmHWM, reset before
each) is over the limit. Prints a Markdown table and writes docs/results/fuzz.csv; inputs are the
same for the same --seed, and ``--show READER NUMBER`` runs one with its traceback.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutations import mutate
from samples import READERS, Reader, store

BATCH, SECONDS = 500, 10
TOLD, LIMIT, SPACE = 2**30, 2**31, 2**32
OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "fuzz.csv"
KINDS = ("typed errors", "valid reads", "untyped errors", "hangs", "over memory", "crashes")


class Hang(BaseException):
    """An input took too long; no reader may catch this."""


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    seconds: float = 0.0
    memory: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, number: int, kind: str, seconds: float, memory: int, text: str = "") -> None:
        """Count one input; `text` says what was wrong."""
        self.counts[kind] += 1
        self.seconds, self.memory = max(self.seconds, seconds), max(self.memory, memory)
        if kind not in KINDS[:2]:
            self.failures.append(f"{number}: {kind} {text}")


def one(reader: Reader, samples: list[Any], number: int, seed: int, folder: Path) -> str:
    """Read one damaged input; returns the kind of result, raises what is none."""
    from isoslice.errors import IsosliceError, UnhandledError

    choose = random.Random(f"{seed} {reader.name} {number}")
    path = store(mutate(choose.choice(samples), choose), folder, reader.suffix)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except UnhandledError:  # it is not to blame a damaged file on isoslice
        raise
    except IsosliceError as error:
        if "\n" in str(error):
            raise ValueError(f"a message of several lines: {error}") from error
        return KINDS[0]
    return KINDS[1]


def child(reader: Reader, start: int, stop: int, seed: int) -> None:
    """Read inputs one after the other, and say on standard output what became of each."""
    import isoslice.io.limits as limits

    limits.available_memory = lambda: TOLD
    samples = reader.samples()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sample in samples:  # every library is loaded, and every sample is valid
            reader.read(store(sample, folder, reader.suffix))
        used = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (used + SPACE, used + SPACE))
        signal.signal(signal.SIGALRM, _hang)
        for number in range(start, stop):
            print(json.dumps([number]), flush=True)
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
            before, began, text = _status("VmRSS"), time.monotonic(), ""
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                kind = one(reader, samples, number, seed, folder)
            except Hang:
                kind = "hangs"
            except Exception as error:
                kind, text = "untyped errors", f"{type(error).__name__}: {error}"[:300]
            signal.setitimer(signal.ITIMER_REAL, 0)
            took, memory = time.monotonic() - began, max(0, _status("VmHWM") - before)
            if memory > LIMIT and kind in KINDS[:2]:
                kind = "over memory"
            print(json.dumps([number, kind, took, memory, text]), flush=True)
            if kind == "hangs":
                os._exit(0)  # threads may still be at work on it; the next child goes on


def run(reader: Reader, count: int, seed: int) -> Tally:
    """Read `count` damaged inputs in child processes."""
    tally, done = Tally(), 0
    while done < count:
        stop = min(count, (done // BATCH + 1) * BATCH)
        numbers = [str(n) for n in (done, stop, seed)]
        command = [sys.executable, __file__, "--child", reader.name, *numbers]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, bufsize=0) as process,
        ):
            done = _listen(process, tally, done, stop)
            errors.seek(0)
            text = errors.read().decode(errors="replace")[-2000:]
        if process.returncode > 0:
            print(f"{reader.name}: a child ended: {text}", file=sys.stderr)
    return tally


def _listen(process: subprocess.Popen[bytes], tally: Tally, done: int, stop: int) -> int:
    """Read what a child says until it ends; returns the next input."""
    assert process.stdout is not None
    # The first message waits for imports; later, only a library that no signal interrupts.
    patience, hung, rest = 120, False, b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], patience)
        if not ready:
            hung = True
            process.kill()
            break
        content = process.stdout.read(2**16)
        if not content:
            break
        *lines, rest = (rest + content).split(b"\n")
        for line in lines:
            patience, message = 2 * SECONDS, json.loads(line)
            if len(message) > 1:
                tally.add(*message)
                done = message[0] + 1
    code = process.wait()
    if done == stop:
        return done  # what happens at its end is no input's doing
    if hung:
        tally.add(done, "hangs", 2 * SECONDS, 0, "killed")
    elif code != 0:
        tally.add(done, "crashes", 0, 0, f"exit {code}")
    return done + 1 if hung or code != 0 else done


def table(found: dict[str, Tally]) -> list[list[str]]:
    """Return the rows of the table, the header first."""
    rows = [["reader", "inputs", *KINDS, "longest (s)", "most memory (MB)"]]
    for name, tally in found.items():
        counts = [str(tally.counts[kind]) for kind in KINDS]
        total = str(sum(tally.counts.values()))
        rows.append([name, total, *counts, f"{tally.seconds:.1f}", str(tally.memory // 10**6)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="inputs a reader")
    parser.add_argument("--reader", action="append", help="one of them only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--show", nargs=2, metavar=("READER", "NUMBER"))
    options = parser.parse_args()
    readers = {reader.name: reader for reader in READERS}
    if options.child:
        start, stop, seed = map(int, options.child[1:])
        return child(readers[options.child[0]], start, stop, seed)
    if options.show:
        reader, folder = readers[options.show[0]], Path(tempfile.mkdtemp())
        print(folder)
        print(one(reader, reader.samples(), int(options.show[1]), options.seed, folder))
        return None
    found = {}
    for name in options.reader or readers:
        found[name] = run(readers[name], options.count, options.seed)
        for failure in found[name].failures[:20]:
            print(f"{name}: {failure}", file=sys.stderr, flush=True)
    rows = table(found)
    with options.output.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|---" + "|---:" * (len(row) - 1) + "|")
    return None


def _hang(*_: object) -> None:
    raise Hang


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
