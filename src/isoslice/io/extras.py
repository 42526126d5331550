"""Optional libraries: import one, or raise an error that says how to install it."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

from isoslice.errors import DataError, IsosliceError


def require(
    module: str,
    package: str,
    what: str,
    kind: type[IsosliceError] = DataError,
    *,
    path: Path | None = None,
) -> ModuleType:
    """Import a library that is not always installed.

    Parameters
    ----------
    module
        Name it is imported by; may be dotted.
    package
        Name it is installed by; several are separated by spaces.
    what
        What needs it, with article: ``"a NIfTI file"``.
    kind
        Error to raise.
    path
        File that the error names.

    Raises
    ------
    IsosliceError
        Of type `kind`, if it is not installed, or is installed but broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_part(module, error.name):
            raise kind(_missing(package, what, path)) from error
        # Installed, but one of its own dependencies is missing or of the wrong version.
        text = " ".join(str(error).split())[:200]
        raise kind(
            f"{_where(path)}got {what}, but the library {module}, which it needs, cannot be "
            f"imported ({type(error).__name__}: {text}), expected a working one; run: python -m "
            f"pip install --force-reinstall {package}"
        ) from error


def require_installed(
    module: str,
    package: str,
    what: str,
    kind: type[IsosliceError] = DataError,
    *,
    path: Path | None = None,
) -> None:
    """Check as `require` does that a library is installed, without importing it.

    Raises
    ------
    IsosliceError
        Of type `kind`, if it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise kind(_missing(package, what, path))


def _missing(package: str, what: str, path: Path | None) -> str:
    names = package.split()
    noun = "the package" if len(names) == 1 else "the packages"
    return (
        f"{_where(path)}got {what}, which needs {noun} {' and '.join(names)}; run: "
        f"python -m pip install {package}"
    )


def _where(path: Path | None) -> str:
    return "" if path is None else f"{path}: "


def _is_part(module: str, missing: str | None) -> bool:
    return missing is not None and f"{module}.".startswith(f"{missing}.")
