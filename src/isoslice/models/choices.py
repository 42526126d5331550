"""Names that several functions and commands take as options; light, for the command line's sake."""

from __future__ import annotations

from typing import Literal

#: The residual's mean, or one sample.
Mode = Literal["sample", "mean"]
#: Recipe to train: isoslice's own, the MSDSR paper's, or the paper's baseline.
Preset = Literal["isoslice", "msdsr", "end-to-end"]
#: Slices that the paper's recipes restore.
Direction = Literal["both", "XZ", "YZ"]
