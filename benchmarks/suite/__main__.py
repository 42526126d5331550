"""The benchmark suite on the command line: ``python benchmarks/suite --data FOLDER -o OUT``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    return tuple(float(part) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    """Describe the options."""
    made = argparse.ArgumentParser(
        prog="python benchmarks/suite",
        description="Every case, scale and method: tables, pictures, JSON. Run again, it goes on.",
    )
    yes_no = argparse.BooleanOptionalAction
    made.add_argument("--data", type=Path, required=True, help="folder with the volumes")
    made.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    made.add_argument("--case", action="append", choices=["fib25", "lucchi", "mouse_ct"])
    made.add_argument("--factor", type=int, action="append", choices=[2, 4, 8])
    made.add_argument("--minutes", type=float, default=20, help="training time of each model")
    made.add_argument("--distill", action=yes_no, default=True)
    made.add_argument("--msdsr", action=yes_no, default=True)
    made.add_argument("--msdsr-factors", type=numbers, default=(4,), metavar="K,K")
    made.add_argument("--care", type=Path, metavar="PYTHON", help="interpreter with csbdeep")
    made.add_argument("--eclare", type=Path, metavar="PYTHON", help="interpreter with eclare")
    made.add_argument(
        "--eclare-blocks", action=yes_no, default=False, help="restore by it the blocks alone"
    )
    made.add_argument("--features", type=Path, help="Inception network as TorchScript")
    made.add_argument("--light", action="store_true", help="simple features, for a quick look")
    made.add_argument("--pictures", action=yes_no, default=True)
    made.add_argument("--curve", type=numbers, metavar="M,M", help="training minutes to compare")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--seed", type=int, default=0)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the suite; 1 if a method failed."""
    # As a folder that Python runs, this one is first in the path, with names as "store" in it.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE]
    sys.path.insert(0, str(HERE.parent))
    options = parser().parse_args(arguments)

    import torch

    from isoslice.errors import IsosliceError
    from isoslice.evaluation.benchmark.tables import text
    from isoslice.evaluation.slicefid.features import inception, texture
    from isoslice.runtime.progress import terminal_progress
    from suite.run import run_suite
    from suite.settings import SuiteSettings, peers

    torch.set_num_threads(options.threads)
    progress = terminal_progress(quiet=False)
    settings = SuiteSettings(
        minutes=options.minutes,
        seed=options.seed,
        threads=options.threads,
        distill=options.distill,
        msdsr=options.msdsr,
        msdsr_factors=tuple(int(factor) for factor in options.msdsr_factors),
        peers=peers(options.care, options.eclare, options.eclare_blocks),
    )
    cases = options.case or ["fib25", "lucchi", "mouse_ct"]
    try:
        extractor = texture() if options.light else inception(options.features)
        if options.curve:
            from suite.curve import run_curve

            table = run_curve(
                cases[0], options.curve, options.data, options.output, settings, extractor, progress
            )
            print(text(table))
            return 0
        outcome = run_suite(
            cases,
            options.factor or [2, 4, 8],
            options.data,
            options.output,
            settings,
            extractor,
            progress,
            pictures=options.pictures,
        )
    except IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        progress.close()
    for table in outcome.tables:
        print(text(table))
    for bar in outcome.bars:
        print(f"{bar.result:12}  {bar.name}: {bar.value} ({bar.sense} {bar.target:.3g})")
    for failure in outcome.failures:
        print(failure, file=sys.stderr)
    print(f"tables, pictures and suite.json: {options.output}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
