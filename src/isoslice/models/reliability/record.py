"""Reliability record of a model, measured after training and stored beside the weights.

``trust.json`` holds this record: the calibration of predicted errors, and the texture of the
training images; ``spread.safetensors`` holds the head that predicts errors. Models without these
files predict as well, but without errors or warnings of unfamiliar images.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from isoslice.models.reliability.calibration import Calibration
from isoslice.models.reliability.out_of_distribution import OodReference


class Trust(BaseModel):
    """What was measured; None where that was impossible, or the recipe has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(ge=1, le=1)] = 1
    calibration: Calibration | None = None
    familiar: OodReference | None = None
