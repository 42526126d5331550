"""What prediction asks of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from isoslice.inference.fields import Files
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.stages import Stage
from isoslice.models.choices import Mode

#: Gaussian noise of the images' shape and device; the argument numbers sampling steps.
Noise = Callable[[int], Tensor]
#: Called with the share of a task that is done.
Report = Callable[[float], None]


class BlockResult(NamedTuple):
    """What a block of a frame gives.

    Attributes
    ----------
    outputs
        Parts (C, z, y, x) of volumes, normalised: ``volume``, ``std``, ``sample-1``, ...; in single
        precision, on any device.
    files
        What it left in the store.
    """

    outputs: Mapping[str, Tensor]
    files: Files


class Recipe(Protocol):
    """How a model of one kind restores frames, stage by stage, and rows."""

    @property
    def most_accurate(self) -> Mode:
        """The mode with the highest PSNR."""

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Choose mode, steps and detail where they are not given.

        Raises
        ------
        SettingsError
            If the recipe cannot do what is asked for.
        """

    def stages(self, options: ResolvedOptions) -> tuple[Stage, ...]:
        """List what a frame takes, in its order."""

    def field_dtype(self, largest: float) -> torch.dtype:
        """Choose the type of fields, by the largest absolute normalised intensity."""

    def batch_slices(self, pixels: int, device: str) -> int:
        """Say how many slices of so many pixels make a batch; slabs hold whole batches."""

    def network_bytes(self, pixels: int, threads: int, device: str = "cpu") -> int:
        """Say what the network takes for batches of slices of so many pixels each.

        In half precision, as measured on a CPU: docs/explanation/scaling.md.
        """

    def run_pass(self, work: FrameWork, stage: Stage, index: int, report: Report) -> Files:
        """Run a pass over one of its slabs."""

    def find_numbers(self, work: FrameWork, stage: Stage) -> Files:
        """Find the numbers of a stage, of the frame as a whole."""

    def make_block(self, work: FrameWork, stage: Stage, index: int) -> BlockResult:
        """Make a block of a stage."""

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Fill in hidden rows of images (N, C, H, W), which are 0; `masks` (N, H) are known."""
