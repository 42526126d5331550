"""Libraries that an error involves, and their versions, for error messages."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from types import FrameType, ModuleType

import isoslice

#: This package; used for messages only, so nothing here may fail.
_OWN = "isoslice"


def versions(libraries: Sequence[str] = ()) -> str:
    """List versions: ``isoslice 0.2.0, tifffile 2026.9.1, numpy 2.4.0, Python 3.12.1``."""
    listed = [f"{_OWN} {isoslice.__version__}"]
    for name in dict.fromkeys((*libraries, "numpy")):
        version = version_of(name)
        listed.append(f"{name} {version}" if version else name)
    return ", ".join([*listed, f"Python {platform.python_version()}"])


def version_of(name: str) -> str | None:
    """Return the version of a library by the name it is imported by, or None."""
    version = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return metadata.version(name)
    except Exception:
        return None


def libraries_of(error: BaseException) -> list[str]:
    """List the libraries in an error's traceback, and those that isoslice's code there uses."""
    libraries: dict[str, None] = {}
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        name = _library(frame.f_globals.get("__name__"))
        libraries |= dict.fromkeys([name] if name else _used(frame))
    name = _library(getattr(error, "name", None)) if isinstance(error, ImportError) else None
    return [*libraries, name] if name and name not in libraries else list(libraries)


def _used(frame: FrameType) -> Iterator[str]:
    """Yield the libraries from which a frame of isoslice has its names and values."""
    if not str(frame.f_globals.get("__name__")).startswith(f"{_OWN}.io."):
        return
    for value in (*frame.f_globals.values(), *frame.f_locals.values()):
        module = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
        name = _library(module)
        if name is not None:
            yield name


def _library(module: object) -> str | None:
    """Return the library of a module, or None for isoslice, Python and scripts."""
    top = str(module or "").partition(".")[0]
    ours = top in (_OWN, "__main__", "builtins", "") or top in sys.stdlib_module_names
    return None if ours or version_of(top) is None else top
