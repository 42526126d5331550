"""Atomic output: written under a hidden name in the same folder, renamed when complete.

A half-written volume looks like a volume, so every output, file or folder, gets its final name only
once it is complete.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from isoslice.errors import OutputError

#: Prefix of unfinished outputs; readers skip hidden names.
DRAFT_PREFIX = ".isoslice-draft-"
#: Files of folders that may be replaced (all names of one entry): isoslice or zarr wrote them.
_REPLACEABLE_CONTENTS = (
    ("zarr.json",),
    (".zgroup",),
    (".zarray",),
    ("config.json", "weights.safetensors"),
)
_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or write to another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or write to another disk",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "that disk is read-only; choose another folder",
    errno.ENOENT: "a folder on the way is missing; create it first",
    errno.ENOTDIR: "a file stands where a folder was expected; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def check_output(path: str | Path, overwrite: bool = False) -> None:
    """Check before hours of work that the result can be written to `path`.

    Parameters
    ----------
    path
        File or folder to be written.
    overwrite
        Whether an existing result may be replaced.

    Raises
    ------
    OutputError
        If the folder around `path` is missing or not writable, if `path` exists and `overwrite`
        is False, or if `path` is a folder that neither isoslice nor zarr made.
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise OutputError(f"{path}: got a folder, expected the name of a file to write")
    target = _target(path)
    if not target.parent.is_dir():
        problem = "is not a folder" if target.parent.exists() else "does not exist"
        raise OutputError(
            f"{path}: the folder {target.parent} {problem}; create it first or choose another path"
        )
    if target.exists():
        if not overwrite:
            raise OutputError(f"{path} exists; choose another name or add --overwrite")
        if target.is_dir() and not _replaceable(target):
            raise OutputError(
                f"{path}: got a folder that is neither an OME-Zarr nor an isoslice model, which "
                "is never replaced; choose another name"
            )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: the folder {target.parent} is not writable; choose another folder"
        )


def check_apart(output: str | Path, source: str | Path) -> None:
    """Raise `OutputError` if output and source are the same file, under any name."""
    try:
        same = Path(output).samefile(source)
    except OSError:  # one of them does not exist
        return
    if same:
        raise OutputError(
            f"{output}: got the input as output, expected another name, since measured data are "
            "never replaced; choose another output"
        )


@contextmanager
def atomic_output(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft path that becomes `path` when the block succeeds.

    The draft lies in the same folder and has the same suffix. The block creates a file or a folder
    there. If the block raises anything, including an interrupt, the draft is removed and `path`
    stays as it was.

    Parameters
    ----------
    path
        Final file or folder; a symbolic link is followed, and stays.
    overwrite
        Replace an existing file, OME-Zarr or model folder.

    Yields
    ------
    Path
        Where to write; nothing exists there yet.

    Raises
    ------
    OutputError
        As `check_output`, and for every OSError inside the block (disk full, no permission).
    """
    path = Path(path)
    check_output(path, overwrite)
    target = _target(path)
    draft = _beside(target)
    try:
        try:
            yield draft
            if not draft.exists():
                raise OutputError(f"{path}: nothing was written there; please report this")
            # `path` may have been created while the block ran.
            check_output(path, overwrite)
            _put(draft, target)
        except OSError as error:
            raise output_error(path, error) from error
    except BaseException:
        _remove(draft)
        raise


@contextmanager
def atomic_write(path: Path, *, fsync: bool = False) -> Iterator[BinaryIO]:
    """Yield a binary stream whose content becomes the file `path` when the block succeeds.

    Parameters
    ----------
    path
        A file of isoslice's own in an existing folder; replaced if it exists.
    fsync
        Wait until the file and its directory entry are on the disk.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        with draft.open("wb") as stream:
            yield stream
            if fsync:
                stream.flush()
                os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if fsync:
        flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    with suppress(PermissionError):  # folders cannot be opened on Windows
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def output_error(path: str | Path, error: OSError) -> OutputError:
    """Return the one-line `OutputError` for `error`, with advice."""
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    # NumPy reports a full disk as "N requested and M written", without an error number.
    short = error.errno is None and "written" in reason
    unknown = "check the disk's free space and permissions"
    advice = _ADVICE.get(errno.ENOSPC if short else error.errno or 0, unknown)
    return OutputError(f"{path}: could not be written ({reason}); {advice}")


def replace_output(finished: Path, path: Path) -> None:
    """Move a finished output to `path`, replacing one that `check_output` allows."""
    try:
        _put(finished, _target(path))
    except OSError as error:
        raise output_error(path, error) from error


def _target(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _beside(target: Path) -> Path:
    return target.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(4)}-{target.name}")


def _put(draft: Path, target: Path) -> None:
    """Rename `draft` to `target`; folders cannot be replaced atomically: the old one is moved."""
    if not (target.is_dir() or (draft.is_dir() and target.exists())):
        draft.replace(target)
        return
    aside = _beside(target)
    target.rename(aside)
    try:
        draft.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _replaceable(folder: Path) -> bool:
    """Whether `folder` is empty or was written by isoslice or zarr: others are never deleted."""
    if not any(folder.iterdir()):
        return True
    return any(all((folder / name).is_file() for name in names) for names in _REPLACEABLE_CONTENTS)


def remove_output(path: Path) -> None:
    """Remove an earlier output, if it can be, and if it is one that may be replaced."""
    with suppress(OSError):
        if not path.is_dir() or _replaceable(path):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
