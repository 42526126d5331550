"""Sample data of the plugin: a small real stack, its planes four times as far apart as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Fluorescent nuclei: see the README beside it.
STACK = Path(__file__).with_name("sample") / "nuclei.tif"
#: Spacing along Z, Y and X in micrometres.
VOXEL_SIZE = (1.16, 0.26, 0.26)


def nuclei() -> list[tuple[Any, dict[str, Any], str]]:
    """Return one image layer of 15 planes of 96 x 96 pixels, with its voxel size."""
    import tifffile

    described = {
        "name": "nuclei, every 4th plane",
        "scale": VOXEL_SIZE,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    return [(tifffile.imread(STACK), described, "image")]
