"""Child processes: run a command, read the JSON it prints last, keep what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoslice.errors import IsosliceError

#: Lines of a failed child that are shown.
SHOWN = 4


class ChildError(IsosliceError):
    """A child process that failed, or said nothing that can be read."""


def run_child(command: Sequence[object], threads: int, log: Path) -> dict[str, Any]:
    """Run a command and return the record on the last line of its output.

    Parameters
    ----------
    command
        An interpreter, a script and its arguments.
    threads
        For libraries that ask the environment.
    log
        Receives all it says.

    Raises
    ------
    ChildError
        If it cannot be started, fails, or ends without a record.
    """
    words = [str(word) for word in command]
    environment = dict(os.environ)
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    what = f"{Path(words[1]).name} {words[2]}"
    try:
        with log.open("w", encoding="utf-8") as errors:
            done = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", env=environment
            )
    except OSError as error:
        raise ChildError(
            f"{words[0]}: got no interpreter ({error.strerror}), expected one that runs {what}; "
            "correct the option that names it"
        ) from error
    lines = done.stdout.splitlines()
    with log.open("a", encoding="utf-8") as errors:
        errors.write(done.stdout)
    if done.returncode:
        tail = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][
            -SHOWN:
        ]
        raise ChildError(
            f"{what}: got exit status {done.returncode}, expected 0; see {log} "
            f"({' | '.join(tail)[-400:]})"
        )
    try:
        record = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ChildError(
            f"{what}: got no JSON on the last line it printed, expected its record; see {log}"
        ) from error
    if not isinstance(record, dict):
        raise ChildError(f"{what}: got {record!r}, expected a record; see {log}")
    return record
