"""The bars of the measurement model: ``python benchmarks/suite/measured --data FOLDER -o OUT``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VOLUMES = ("fib25", "lucchi", "mouse_ct", "brain_t1_b", "mouse_brain_2p")
PARTS = ("points", "blurred", "own", "adapted", "uneven", "cost", "peers", "pair")


def parser() -> argparse.ArgumentParser:
    """Describe the options."""
    made = argparse.ArgumentParser(
        prog="python benchmarks/suite/measured",
        description="Planes that are no points, on five volumes and a real pair. Run again, it "
        "goes on.",
    )
    add = made.add_argument
    add("--data", type=Path, action="append", required=True, help="folder with volumes; repeat")
    add("-o", "--output", type=Path, required=True, help="folder of the results")
    add("--volume", action="append", choices=VOLUMES, help="repeat for several; default: all")
    add("--part", action="append", choices=PARTS, help="repeat for several; default: all")
    add("--minutes", type=float, default=3, help="training time of each model")
    add("--steps", type=int, help="of isoslice's models, in place of minutes: on a busy machine")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--care", type=Path, metavar="PYTHON", help="interpreter with csbdeep")
    add("--eclare", type=Path, metavar="PYTHON", help="interpreter with eclare")
    add(
        "--peer-case",
        action="append",
        choices=("gaussian", "slab-noise"),
        help="planes that other programs restore; default: gaussian",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure; 1 if something failed."""
    # As a folder that Python runs, this one is first in the path, with names as "bars" in it.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE]
    sys.path.insert(0, str(HERE.parent.parent))
    options = parser().parse_args(arguments)

    import torch

    from isoslice.errors import IsosliceError
    from isoslice.evaluation.benchmark.tables import text
    from isoslice.runtime.progress import terminal_progress
    from suite.measured.bench import Settings
    from suite.measured.run import run_measured
    from suite.measured.tables import bars_text
    from suite.settings import peers

    torch.set_num_threads(options.threads)
    progress = terminal_progress(quiet=False)
    programs = peers(options.care, options.eclare)
    settings = Settings(options.minutes, options.seed, options.threads, programs, options.steps)
    try:
        outcome = run_measured(
            options.volume or VOLUMES,
            options.part or PARTS,
            tuple(options.peer_case or ["gaussian"]),
            options.data,
            options.output,
            settings,
            progress,
        )
    except IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        progress.close()
    for table in outcome.tables:
        print(text(table))
    print(bars_text(outcome.bars))
    for failure in outcome.failures:
        print(failure, file=sys.stderr)
    print(f"measured.csv, bars.md and tables: {options.output}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
