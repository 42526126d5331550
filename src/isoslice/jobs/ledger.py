"""Which blocks are done: one line each, written once the block itself is safely on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Name of the files with the lines; every writer has its own.
_PREFIX, _SUFFIX = "done-", ".jsonl"


@dataclass
class Ledger:
    """Lines about finished blocks in a folder.

    Attributes
    ----------
    folder
        Where the files with the lines are.
    writer
        Name of this writer, alone in writing its file.
    """

    folder: Path
    writer: str = "all"
    _begun: bool = field(default=False, repr=False)

    def record(self, index: int, files: Mapping[str, int]) -> None:
        """Record that a block is done, with the files it is in and their bytes."""
        path = self.folder / f"{_PREFIX}{self.writer}{_SUFFIX}"
        line = json.dumps({"block": index, "files": dict(files)}) + "\n"
        with path.open("a+b") as stream:
            if not self._begun and _ends_badly(stream):
                line = "\n" + line
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self._begun = True

    def done(self, image: Path) -> set[int]:
        """Return the blocks that all writers recorded, and whose files are as they were then.

        Parameters
        ----------
        image
            Folder that the files' names start from.
        """
        found: dict[int, Mapping[str, int]] = {}
        for path in sorted(self.folder.glob(f"{_PREFIX}*{_SUFFIX}")):
            for line in path.read_bytes().splitlines():
                # The last line of a writer that was killed may be cut off.
                with suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    found[int(entry["block"])] = dict(entry["files"])
        return {index for index, files in found.items() if _whole(image, files)}


def _ends_badly(stream: object) -> bool:
    """Whether a file's last line was cut off."""
    from io import SEEK_END
    from typing import BinaryIO, cast

    file = cast(BinaryIO, stream)
    if file.seek(0, SEEK_END) == 0:
        return False
    file.seek(-1, SEEK_END)
    return file.read(1) != b"\n"


def _whole(image: Path, files: Mapping[str, int]) -> bool:
    try:
        return all((image / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False
