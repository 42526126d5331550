"""Which libraries an error went through, and their versions, for a message to be reported."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from types import FrameType, ModuleType

import isoslice

#: Looked at for messages only: nothing here may fail.
_OWN = "isoslice"


def versions(libraries: Sequence[str] = ()) -> str:
    """Name versions: ``isoslice 0.1.0, tifffile 2026.9.1, numpy 2.4.0, Python 3.12.1``."""
    told = [f"{_OWN} {isoslice.__version__}"]
    for name in dict.fromkeys((*libraries, "numpy")):
        version = version_of(name)
        told.append(f"{name} {version}" if version else name)
    return ", ".join([*told, f"Python {platform.python_version()}"])


def version_of(name: str) -> str | None:
    """Return the version of an imported library, by the name it is imported by."""
    version = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return metadata.version(name)
    except Exception:
        return None


def libraries_of(error: BaseException) -> list[str]:
    """List other people's libraries in an error's traceback, and those that our code there uses."""
    libraries: dict[str, None] = {}
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        name = _library(frame.f_globals.get("__name__"))
        libraries |= dict.fromkeys([name] if name else _used(frame))
    name = _library(getattr(error, "name", None)) if isinstance(error, ImportError) else None
    return [*libraries, name] if name and name not in libraries else list(libraries)


def _used(frame: FrameType) -> Iterator[str]:
    """List libraries that one of our frames got its names and values from."""
    if not str(frame.f_globals.get("__name__")).startswith(f"{_OWN}.io."):
        return
    for value in (*frame.f_globals.values(), *frame.f_locals.values()):
        module = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
        name = _library(module)
        if name is not None:
            yield name


def _library(module: object) -> str | None:
    """Return the library of a module, or None for isoslice, Python and tests."""
    top = str(module or "").partition(".")[0]
    ours = top in (_OWN, "__main__", "builtins", "") or top in sys.stdlib_module_names
    return None if ours or version_of(top) is None else top
