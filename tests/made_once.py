"""What takes long to make is made once, by whichever process of a test run comes first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a file or folder that `make` writes; do not change it, others read it too."""
    from isoslice.inference.engine.locks import claimed

    run = factory.getbasetemp()
    # Each of several processes has a folder of its own in that of the run.
    shared = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run
    path, unfinished = shared / name, shared / f"unfinished-{name}"
    with claimed(shared / f"{name}.lock", wait=True):
        if not path.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(path)
    return path
