"""What a model knows of its own errors: measured when training is over, stored beside the weights.

Two files of a model folder: ``spread.safetensors`` holds the head that predicts errors, and
``trust.json`` how far its predictions hold, and what the training images were like. Models without
them predict as ever, but cannot tell where to doubt.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from isoslice.models.reliability.calibration import Calibration
from isoslice.models.reliability.out_of_distribution import Familiar


class Trust(BaseModel):
    """What was measured; None where it could not be, or the recipe has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(ge=1, le=1)] = 1
    calibration: Calibration | None = None
    familiar: Familiar | None = None
