"""What a restoration is to be, settled before the first voxel: all that voxels depend on."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from isoslice import __version__
from isoslice.data.frames import Frame, frames_of
from isoslice.data.normalization import Normalization
from isoslice.data.volume import Volume
from isoslice.inference.inspection import Inspection
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.stack import Stack
from isoslice.models.files.bundle import ModelBundle


class Plan(BaseModel):
    """A restoration of one stack by one model.

    Attributes
    ----------
    isoslice
        Version that made it.
    source
        The stack.
    model, recipe
        Fingerprint of the model, and its recipe.
    options
        Resolved.
    factor
        Output planes per measured plane.
    along
        The axis that is coarse.
    separate
        Whether each channel is restored by itself.
    normalization
        Of the stack's intensities, per channel.
    lost
        Planes that were lost, of each time point and channel.
    doubts
        What was warned of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    isoslice: str = __version__
    source: str
    model: str
    recipe: str
    options: ResolvedOptions
    factor: Annotated[int, Field(ge=2)]
    along: Literal["Z", "Y", "X"]
    separate: bool
    normalization: Normalization
    lost: tuple[tuple[tuple[int, ...], ...], ...]
    doubts: tuple[str, ...] = ()

    def frames(self, volume: Volume) -> list[Frame]:
        """List what is restored at once: time points, or each channel of them.

        `volume` is the stack, its coarse axis called Z.
        """
        shape = volume.size("T"), volume.size("C"), volume.size("Z")
        return frames_of(shape, self.factor, self.lost, self.separate, self.options.seed)


def plan_restoration(
    stack: Stack,
    inspection: Inspection,
    model: ModelBundle,
    options: ResolvedOptions,
    doubts: tuple[str, ...],
) -> Plan:
    """Settle everything; see `Plan`."""
    return Plan(
        source=stack.volume.source,
        model=model.fingerprint,
        recipe=model.config.recipe,
        options=options,
        factor=stack.factor,
        along=cast("Literal['Z', 'Y', 'X']", stack.along),
        separate=stack.separate,
        normalization=inspection.normalization,
        lost=inspection.lost,
        doubts=doubts,
    )
