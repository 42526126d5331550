"""How a restoration is cut into tasks, settled once, so that every worker does the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.engine.restoration import Cut
from isoslice.inference.plan import Plan
from isoslice.io.formats.omezarr.reader import MARKER_FILES, is_zarr
from isoslice.io.formats.planes.reader import find_planes, is_pattern
from isoslice.io.options import ReadOptions


class JobPlan(BaseModel):
    """A restoration on the disk, and how it is cut; saved in the unfinished output.

    Attributes
    ----------
    plan, cut
        All that voxels depend on, and how the work is cut into tasks.
    stack, reading, stack_digest, stack_glance
        Path of the stack, how it is read, and what its files were; see `files_digest`.
    profile_digest
        Of the file that the slice profile was read from; its samples are in the plan.
    arithmetic
        Such as ``cpu bfloat16``: others round differently.
    unnamed
        Whether names of files, folders and machines are left out of what is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(ge=3, le=3)] = 3
    plan: Plan
    cut: Cut
    stack: str
    reading: ReadOptions
    stack_digest: str
    stack_glance: str
    profile_digest: str = ""
    arithmetic: str
    unnamed: bool = False


#: What must not have changed when a run goes on, and what to call it.
_SAME = {
    "isoslice": "version of isoslice",
    "stack_digest": "stack",
    "fingerprint": "model",
    "axes": "axes",
    "voxel_size": "voxel size",
    "unit": "unit",
    "series": "series",
    "channel": "channel",
    "time": "time",
    "positions": "list of positions",
    "factor": "factor",
    "isotropic": "choice of isotropic voxels",
    "spacing": "output spacing",
    "along": "coarse axis",
    "mode": "mode",
    "steps": "number of steps",
    "detail": "detail",
    "seed": "seed",
    "direction": "direction",
    "blur": "blur",
    "uncertainty": "uncertainty",
    "samples": "number of samples",
    "keep_samples": "choice of what is kept",
    "slice_profile": "slice profile",
    "profile_digest": "file of the slice profile",
    "denoise": "choice to denoise",
    "missing": "choice of missing planes",
    "arithmetic": "arithmetic",
}


def check_same(before: JobPlan, now: dict[str, object], folder: Path) -> None:
    """Refuse to go on with what was begun otherwise.

    Parameters
    ----------
    before
        The plan of the unfinished run.
    now
        What this one was asked for: some of the entries of the plan, its options and `reading`.
    folder
        The unfinished output, for the message.

    Raises
    ------
    SettingsError
        Says what has changed.
    """
    then = {
        **before.plan.options.model_dump(),
        **before.plan.model_dump(),
        **before.reading.model_dump(),
        **before.model_dump(exclude={"plan"}),
        "fingerprint": before.plan.model,
    }
    changed = []
    for key, name in _SAME.items():
        if key in now and now[key] != then[key]:
            long = isinstance(now[key], Mapping) or isinstance(then[key], Mapping)
            digest = key.endswith(("digest", "fingerprint", "positions"))
            asked = ["not given" if each[key] is None else each[key] for each in (now, then)]
            was = "" if digest or long else f" (now {asked[0]}, before {asked[1]})"
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
        A file, a folder with all that is in it, or a folder or pattern of planes: those alone.
    """
    digest = hashlib.sha256()
    for name, entry in _files(path):
        digest.update(f"{name}\0{entry.st_size}\0{entry.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def unnamed(volume: Volume, stack: Path) -> Volume:
    """Call a stack by a number in place of its name: of the same files it is the same.

    So a model knows the stack that it has learned from, and nobody else a patient.
    """
    return replace(volume, source=f"unnamed.{files_digest(stack)[:8]}")


def files_glance(path: Path) -> str:
    """Tell cheaply whether an input is still there: as `files_digest`, of metadata alone."""
    digest = hashlib.sha256()
    files = _metadata(path, depth=2) if path.is_dir() else [path]
    for file in find_planes(path) if _is_planes(path) else files:
        try:
            entry = file.stat()
        except OSError:
            return "gone"
        digest.update(f"{file}\0{entry.st_size}\0{entry.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _metadata(path: Path, depth: int) -> list[Path]:
    """List the metadata of a Zarr folder and of what it holds: no chunks, of which are many."""
    marks = [path / name for name in MARKER_FILES]
    files = [mark for mark in marks if mark.is_file()]
    if depth and files:
        with os.scandir(path) as entries:  # an array's, as there is little else in a group
            inner = sorted(entry.name for entry in islice(entries, 100) if entry.is_dir())
        for name in inner:
            files += _metadata(path / name, depth - 1)
    return files


def measured_files(path: Path) -> list[Path]:
    """List what must never be replaced: a stack, and the planes of a folder or pattern."""
    return [path, *(find_planes(path) if _is_planes(path) else ())]


def _is_planes(path: Path) -> bool:
    """Whether an input is a folder or pattern of planes."""
    return is_pattern(path) or (path.is_dir() and not is_zarr(path))


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if _is_planes(path) and (planes := find_planes(path)):
        for plane in planes:
            yield plane.name, plane.stat()
        return
    if not path.is_dir():
        yield path.name, path.stat()
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            yield file.relative_to(path).as_posix(), file.stat()
