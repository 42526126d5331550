"""Messages of isoslice in the words of the panel: options of the command line by their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Options that messages name, and the controls that stand for them.
LABELS: Mapping[str, str] = {
    "--axes": "Axes",
    "--voxel-size": "Voxel size",
    "--factor": "Factor",
    "--missing": "Missing planes",
    "--slice-profile": "Slice profile",
    "--along": "Coarse axis",
    "--model": "Model",
    "--resume": "Resume",
    "--overwrite": "another name",
    "--mode": "the slider, Mean",
}
_OPTION = re.compile(r"(--[a-z-]+)")


def in_the_panel(message: str) -> str:
    """Name controls in place of options of the command line; others stay as they are."""
    return _OPTION.sub(lambda found: LABELS.get(found[1], found[1]), message)
