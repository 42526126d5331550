"""Make the model that comes with isoslice: folder of a corpus in, model folder out.

    PYTHONPATH=src:benchmarks python -m pretrain --corpus FOLDER -o MODEL --minutes 60

Packs the corpus (`pack`), learns (`learn`, which takes all other options) and packages (`package`).
What is between lies beside MODEL: MODEL.npz, MODEL.learned and its checkpoints. --resume goes on
with what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pretrain import learn, pack, package


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack, learn and package as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m pretrain", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"), metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    parser.add_argument("--resume", action="store_true")
    given, how = parser.parse_known_args(arguments)
    packed, learned = (
        given.output.with_name(given.output.name + end) for end in (".npz", ".learned")
    )
    if not (given.resume and packed.exists()):
        pack.main(["--corpus", str(given.corpus), "-o", str(packed), "--overwrite"])
    if not (given.resume and learned.exists()):
        goes_on = given.resume and learn.checkpoints(learned).exists()
        how += ["--resume"] if goes_on else []
        learn.main([str(packed), "-o", str(learned), *how])
    package.main([str(learned), str(packed), "-o", str(given.output)])


if __name__ == "__main__":
    main()
