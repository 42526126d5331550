"""Options for reading an image: axes, voxel size, series, channels, time points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from isoslice.errors import SettingsError

#: Positions of planes as they are given: see `ReadOptions`.
Positions = Sequence[float] | Literal["even"]

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
    positions
        Of the planes along Z, in the unit of the voxel size; replace the file's. ``"even"`` takes
        planes as evenly spaced whatever the file says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: str | None = None
    voxel_size: tuple[Positive, Positive, Positive] | None = None
    unit: str | None = None
    series: str | None = None
    channel: str | None = None
    time: str | None = None
    positions: tuple[float, ...] | Literal["even"] | None = None


def given_positions(positions: Positions | None) -> tuple[float, ...] | Literal["even"] | None:
    """Return positions of planes as they are kept.

    Raises
    ------
    SettingsError
        If they are neither numbers nor ``"even"``.
    """
    if positions is None:
        return None
    if isinstance(positions, str) and positions == "even":
        return "even"
    try:
        if not isinstance(positions, str):
            return tuple(float(z) for z in positions)
    except (TypeError, ValueError):
        pass
    raise SettingsError(
        f"got positions {positions!r:.60}, expected a number for each plane, or 'even'"
    )
