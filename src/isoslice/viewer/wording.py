"""Messages of isoslice in the words of the panel: options of the command line by their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
#: Parts of notes that say how something is computed, which is of no use in a panel.
TECHNICAL = ("computing on ", "training on ", " slices are restored at once")
_OPTION = re.compile(r"(--[a-z-]+)")


def in_the_panel(message: str) -> str:
    """Name controls in place of options of the command line; others stay as they are."""
    return _OPTION.sub(lambda found: LABELS.get(found[1], found[1]), message)


def is_technical(note: str) -> bool:
    """Whether a note says how something is computed, not what."""
    return any(part in note for part in TECHNICAL)


def unevenly_spaced(positions: Sequence[float]) -> str:
    """Say that the planes of a file are unevenly spaced, and what is made of it."""
    return (
        f"the file's planes are unevenly spaced, from {positions[0]:g} to {positions[-1]:g}: they "
        "are restored where they lie; with another voxel size along Z, evenly"
    )
