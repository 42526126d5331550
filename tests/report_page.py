"""What tests of reports share: a restored stack, what is shown of it, and a page taken apart."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np

from conftest import texture
from isoslice.data.grid import thin
from isoslice.data.volume import Volume, VoxelSize
from isoslice.evaluation.report import Layer, Scene
from isoslice.evaluation.report.crop import Crop

SPACING = {"Z": 8.0, "Y": 8.0, "X": 8.0}


def restored_stack(
    factor: int = 4, shape: tuple[int, int, int] = (33, 40, 48)
) -> tuple[Volume, Volume]:
    """A stack, and a volume that has its planes and that a model might have made of it."""
    true = texture(*shape)
    coarse = {"Z": 8.0 * factor, "Y": 8.0, "X": 8.0}
    stack = Volume(thin(true, factor), "ZYX", coarse, "nanometer", source="folder/cells.tif")
    made_by = {"factor": factor, "mode": "sample", "model": "0123456789ab"}
    return stack, Volume(true, "ZYX", SPACING, "nanometer", provenance=made_by)


def scene_of(voxels: np.ndarray, **others: Any) -> Scene:
    """What a report shows of a restored volume, and of `more` beside it."""
    whole = voxels.shape
    volumes = (Layer("Restored", "restored", voxels), *others.pop("more", ()))
    return Scene(volumes, VoxelSize(8, 8, 8), "nm", Crop((0, 0, 0), whole), whole, **others)


class Page(HTMLParser):
    """Collects elements, attributes and text as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""
