"""Which tasks are done: one line each, written once a task's files are safely on the disk."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Name of the files with the lines; every writer has its own.
_PREFIX, _SUFFIX = "done-", ".jsonl"


class Ledger:
    """Lines about finished tasks and stages in a folder, by any number of writers.

    Parameters
    ----------
    folder
        Where the files with the lines are.

    Attributes
    ----------
    done
        Finished tasks, and the files (with their bytes) that each left.
    stages
        Stages that are done as a whole, whose tasks' files may be gone.
    writers
        How many tasks each writer recorded: host, process, and a number by chance.
    times
        When the first task began and the last one ended, in seconds since 1970.
    """

    def __init__(self, folder: Path) -> None:
        self.done: dict[str, dict[str, int]] = {}
        self.stages: set[str] = set()
        self.writers: Counter[str] = Counter()
        self.times: tuple[float, float] | None = None
        self._folder = folder
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._own = folder / f"{_PREFIX}{name}{_SUFFIX}"
        self._read: dict[Path, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that writers have added."""
        for path in sorted(self._folder.glob(f"{_PREFIX}*{_SUFFIX}")):
            begun = self._read.get(path, 0)
            with path.open("rb") as stream:
                stream.seek(begun)
                # The last line of a writer that was killed may be cut off.
                whole, newline, _ = stream.read().rpartition(b"\n")
            self._read[path] = begun + len(whole) + len(newline)
            for line in whole.splitlines():
                with suppress(ValueError, KeyError, TypeError):  # after a power cut, not a line
                    self._take(json.loads(line), path)

    def _take(self, entry: Mapping[str, Any], path: Path) -> None:
        if "stage" in entry:
            self.stages.add(entry["stage"])
        else:
            ended, began = entry["ended"], entry["ended"] - entry["seconds"]
            self.done[entry["task"]] = dict(entry["files"])
            self.writers[path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)] += 1
            first, last = self.times or (began, ended)
            self.times = min(first, began), max(last, ended)

    def record(self, task: str, files: Mapping[str, int], seconds: float = 0.0) -> None:
        """Record that a task is done, with the files it left, their bytes, and what it took."""
        ended = round(time.time(), 3)
        line = {"task": task, "files": dict(files), "seconds": round(seconds, 3), "ended": ended}
        self._write(line)

    def record_stage(self, stage: str) -> None:
        """Record that all tasks of a stage are done."""
        self._write({"stage": stage})

    def forget_damaged(self, tasks: Iterable[str], root: Path) -> None:
        """Forget those of `tasks` whose files, named from `root`, are not as they were recorded."""
        for task in tasks:
            if task in self.done and not _whole(root, self.done[task]):
                del self.done[task]

    def _write(self, entry: Mapping[str, Any]) -> None:
        with self._own.open("ab") as stream:
            stream.write((json.dumps(entry) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
            self._read[self._own] = stream.tell()
        self._take(entry, self._own)


def _whole(root: Path, files: Mapping[str, int]) -> bool:
    try:
        return all((root / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False
