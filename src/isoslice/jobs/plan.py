"""What is to be done, settled once, so that every worker does the same, now and after a break."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from isoslice.errors import SettingsError

#: Gains of fine and of coarse detail, each (C, distances); None for a mean.
StoredGains = tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]] | None
Size = Annotated[int, Field(ge=1)]


class Plan(BaseModel):
    """Everything that voxels depend on; saved in the unfinished output."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Annotated[int, Field(ge=1, le=1)] = 1
    isoslice: str
    #: The stack, how it was to be read, and what its files were.
    stack: str
    axes: str | None
    voxel_size: tuple[float, float, float] | None
    stack_digest: str
    #: The model's folder, and its fingerprint.
    model: str
    model_fingerprint: str
    factor: Annotated[int, Field(ge=2)]
    mode: str
    steps: Size
    detail: float | None
    seed: Annotated[int, Field(ge=0)]
    blur: bool
    #: Such as ``cpu bfloat16``: others round differently.
    arithmetic: str
    #: Intensities that become 0 and 1, per channel.
    low: tuple[float, ...]
    high: tuple[float, ...]
    #: Shape of a block, how far influence is followed, and one entry for each time point.
    core: tuple[Size, Size, Size]
    reach: tuple[Size, Size]
    gains: tuple[StoredGains, ...]


#: What must not have changed when a run goes on, and what to call it.
_SAME = {
    "stack_digest": "stack",
    "model_fingerprint": "model",
    "axes": "axes",
    "voxel_size": "voxel size",
    "factor": "factor",
    "mode": "mode",
    "steps": "number of steps",
    "detail": "detail",
    "seed": "seed",
    "blur": "blur",
    "arithmetic": "arithmetic",
}


def check_same(before: Plan, now: dict[str, object], folder: Path) -> None:
    """Refuse to go on with what was begun otherwise.

    Parameters
    ----------
    before
        The plan of the unfinished run.
    now
        What this one was asked for: some of the plan's entries.
    folder
        The unfinished output, for the message.

    Raises
    ------
    SettingsError
        Says what has changed.
    """
    changed = []
    for key, name in _SAME.items():
        if key in now and now[key] != getattr(before, key):
            digest = key.endswith(("digest", "fingerprint"))
            was = "" if digest else f" (now {now[key]}, before {getattr(before, key)})"
            changed.append(f"another {name}{was}")
    if changed:
        raise SettingsError(
            f"{folder}: got {', '.join(changed)} than the run that --resume is to continue; ask "
            "for the same as then, or begin anew with --overwrite"
        )


def files_digest(path: Path) -> str:
    """Tell whether an input's files have changed: a digest of names, sizes and times.

    Parameters
    ----------
    path
        A file, or a folder with all that is in it.
    """
    digest = hashlib.sha256()
    for name, entry in _files(path):
        digest.update(f"{name}\0{entry.st_size}\0{entry.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if not path.is_dir():
        yield path.name, path.stat()
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            yield file.relative_to(path).as_posix(), file.stat()
