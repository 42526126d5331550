"""What isoslice's own recipe makes of a frame's fields: gains, scale, volumes, deviations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.baselines import gaussian_blur3
from isoslice.data.box import Box, widened
from isoslice.data.grid import PlaneGrid
from isoslice.inference.agreement import (
    Compose,
    PlaneErrors,
    agreeing,
    write_errors,
)
from isoslice.inference.compose import Residual, compose
from isoslice.inference.detail.blend import Gains
from isoslice.inference.detail.strength import find_gains
from isoslice.inference.fields import Files
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.recipes.protocol import BlockResult
from isoslice.inference.recipes.residual_stages import (
    AVERAGE,
    CHANGES,
    GAINS,
    LEVEL,
    MEAN,
    PLANE_ERRORS,
    SCALE,
    SPREAD,
    VARIANCES,
    detail_origin,
    sample,
    squares,
)
from isoslice.inference.sample_spread import (
    REACH,
    BlockSums,
    average_of,
    change_sums,
    joined,
    level_of,
    smoothed_variance,
    variance_sums,
)
from isoslice.inference.stages import RESULT, Stage
from isoslice.inference.uncertainty import deviation, stack_scale
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import at_once


def find_numbers(config: ModelConfig, work: FrameWork, stage: Stage) -> Files:
    """Find gains, the scale of deviations, or averages over blocks; see `protocol.Recipe`."""
    if stage.name == GAINS:
        residual = Residual(
            work.store, detail_origin(config), sample(config, work.options.steps, 0)
        )
        gains = find_gains(config, work.planes.read, work.planes.shape[1:], work.grid, residual)
        return work.store.write_numbers(GAINS, [each.tolist() for each in gains])
    if stage.name == LEVEL:
        return work.store.write_numbers(LEVEL, level_of(_sums(work, VARIANCES)))
    if stage.name == AVERAGE:
        return work.store.write_numbers(AVERAGE, average_of(_sums(work, CHANGES)))
    estimator = work.estimator
    assert estimator is not None  # there is such a stage with one only
    scale = stack_scale(
        estimator,
        work.planes.read,
        work.planes.shape[1:],
        usual_gap(work.grid),
        work.measurement,
        own=work.own,
        device=work.device,
    )
    numbers = {name: value for name, value in asdict(scale).items() if name != "calibration"}
    numbers |= {"factor": scale.calibration.factor, "multiples": scale.calibration.multiples}
    return work.store.write_numbers(SCALE, numbers)


def usual_gap(grid: PlaneGrid) -> int:
    """Return how many output planes lie between measured ones: the factor, at least 2.

    Lost planes leave wider gaps, of even planes; others have any.
    """
    gaps = np.diff(grid.known)
    return max(2, int(gaps.min()) if grid.is_whole else round(float(np.median(gaps))))


@torch.inference_mode()
def make_block(config: ModelConfig, work: FrameWork, stage: Stage, index: int) -> BlockResult:
    """Make a block of a stage; see `protocol.Recipe.make_block`."""
    box = work.block(index)
    if stage.name == RESULT:
        outputs, errors = _results(config, work, box)
        files = {} if errors is None else write_errors(work.store, PLANE_ERRORS, index, errors)
        return BlockResult(outputs, files)
    if stage.name == VARIANCES:
        sums = variance_sums(_std(config, work, box).cpu().numpy(), _variance(work, box))
        return BlockResult({}, work.store.write_numbers(VARIANCES, sums, index))
    if stage.name == CHANGES:
        level, std = work.store.numbers(LEVEL), _std(config, work, box).cpu().numpy()
        sums = change_sums(std, _variance(work, box), level)
        return BlockResult({}, work.store.write_numbers(CHANGES, sums, index))
    drawn = _sample(config, work, box, stage.draw)
    distance = _mean(config, work, box).sub_(drawn).square_().cpu().numpy()
    if stage.draw:
        distance += work.store.read_blocks(squares(stage.draw - 1), box.slices())
    files = work.store.write_block(stage.name, index, distance)
    kept = {f"sample-{stage.draw + 1}": drawn} if work.options.keep_samples else {}
    return BlockResult(kept, files)


def _results(
    config: ModelConfig, work: FrameWork, box: Box
) -> tuple[Mapping[str, Tensor], PlaneErrors | None]:
    options = work.options
    wide = widened(box, work.store.layout.shape, (1, 1, 1)) if options.blur else box
    volume, errors = agreeing(work, wide, _composer(config, work, 0))
    if options.blur:
        blurred = gaussian_blur3(volume.cpu().numpy())
        volume = torch.from_numpy(blurred)[(slice(None), *box.slices(wide.start))]
    if not options.estimates_errors:
        return {"volume": volume}, errors
    std = _std(config, work, box)
    if options.samples:
        level, average = work.store.numbers(LEVEL), work.store.numbers(AVERAGE)
        std = torch.from_numpy(joined(std.cpu().numpy(), _variance(work, box), level, average))
    return {"volume": volume, "std": std}, errors


def _composer(config: ModelConfig, work: FrameWork, draw: int) -> Compose:
    """Return what composes the volume: the mean, or a sample where no several are averaged."""
    if work.options.mode == "mean" or work.options.samples:
        return partial(_composed_mean, config, work)
    return partial(_composed_sample, config, work, draw=draw)


def _mean(config: ModelConfig, work: FrameWork, box: Box) -> Tensor:
    return agreeing(work, box, partial(_composed_mean, config, work))[0]


def _sample(config: ModelConfig, work: FrameWork, box: Box, draw: int) -> Tensor:
    compose = partial(_composed_sample, config, work, draw=draw)
    return agreeing(work, box, compose)[0]


def _composed_mean(config: ModelConfig, work: FrameWork, box: Box) -> Tensor:
    return compose(config, work.planes, Residual(work.store, MEAN), box)


def _composed_sample(config: ModelConfig, work: FrameWork, box: Box, draw: int) -> Tensor:
    field = sample(config, work.options.steps, draw)
    gains = Gains(*(torch.tensor(each) for each in work.store.numbers(GAINS)))
    return compose(
        config,
        work.planes,
        Residual(work.store, detail_origin(config), field),
        box,
        work.options.detail,
        gains.of_planes(torch.from_numpy(work.grid.distances)),
    )


def _std(config: ModelConfig, work: FrameWork, box: Box) -> Tensor:
    """Make the deviations that the error head predicts, (C, z, y, x); 0 on known planes."""
    store, place = work.store, box.slices()
    total = store.numbers(SCALE)["total"]
    std = torch.empty(store.layout.channels, *box.shape, device=store.device)
    base = work.planes.base(place, config.softening, store.device)
    step = at_once(math.prod(std.shape) // box.shape[0], store.device)
    for row in range(0, box.shape[0], step):  # some planes, for memory
        rows = slice(row, min(row + step, box.shape[0]))
        z = slice(place[0].start + rows.start, place[0].start + rows.stop)
        linear = base.part((rows, slice(None), slice(None)))
        mean, spread = (store.read(name, (z, *place[1:])) for name in (MEAN, SPREAD))
        std[:, rows] = deviation(config, linear, mean, spread, total)
    return std


def _variance(work: FrameWork, box: Box) -> NDArray[np.float32]:
    """Smooth the variance of all samples in a block."""
    samples = work.options.samples
    wide = widened(box, work.store.layout.shape, (REACH,) * 3)
    summed = work.store.read_blocks(squares(samples - 1), wide.slices())
    return smoothed_variance(summed, samples)[(slice(None), *box.slices(wide.start))]


def _sums(work: FrameWork, name: str) -> list[BlockSums]:
    return [BlockSums(*work.store.numbers(name, i)) for i in range(work.store.layout.blocks)]
