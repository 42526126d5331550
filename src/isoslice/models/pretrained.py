"""The model that comes with isoslice: learned from many kinds of specimens, for any stack.

Where its images are from and under which licences: docs/reference/pretrained-data.md.
"""

from __future__ import annotations

from pathlib import Path

from isoslice.runtime.paths import at_home

#: What it is called in place of a folder.
PRETRAINED = "pretrained"


def folder() -> Path:
    """Return the folder of the model."""
    return Path(__file__).with_name("weights")


def model_path(given: str | Path) -> Path:
    """Return the folder of a model: that of the pretrained one if it is called so.

    Where there is a folder of that name, that one is meant.
    """
    path = at_home(Path(given))
    return folder() if str(given) == PRETRAINED and not path.exists() else path
