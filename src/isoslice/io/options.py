"""Options for reading an image: axes, voxel size, series, channels, time points."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ReadOptions(BaseModel):
    """Arguments of `open_volume` without the path; saved with a job.

    Attributes
    ----------
    axes
        One letter of TCZYX per stored dimension; replaces the file's axes.
    voxel_size
        Spacing along Z, Y and X; replaces the file's.
    unit
        Of `voxel_size`; by default the file's, or micrometres where it has none.
    series, channel, time
        Which image of several, which channels (``"1"``, ``"DAPI"``, ``"0,2"``), which time points
        (``"3"``, ``"2:5"``); numbers count from 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: str | None = None
    voxel_size: tuple[Positive, Positive, Positive] | None = None
    unit: str | None = None
    series: str | None = None
    channel: str | None = None
    time: str | None = None
