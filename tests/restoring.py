"""Restore planes (C, n, Y, X) by a network of the residual recipe, as `Model.predict` does."""

import numpy as np
import torch

from isoslice.inference.detail.blend import Gains
from isoslice.inference.fields import Layout, MemoryStore
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.measured import PlanesInMemory
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.recipes.residual import ResidualRecipe
from isoslice.inference.recipes.residual_stages import GAINS, SCALE
from isoslice.inference.stages import task_count

CPU = torch.device("cpu")


def frame_work(network, config, planes, grid, options, device=CPU, block=256, **more):
    """Prepare one frame in memory."""
    recipe = ResidualRecipe(config)
    shape = grid.depth, *planes.shape[2:]
    dtype = recipe.field_dtype(float(np.abs(planes).max()))
    store = MemoryStore(Layout(len(planes), shape, dtype, shape[1:], (block,) * 3), device)
    work = FrameWork(
        network,
        options,
        recipe.stages(options),
        grid,
        PlanesInMemory(torch.from_numpy(planes), grid),
        store,
        device,
        **more,
    )
    return recipe, work


def run_stages(recipe, work, until=None, given=None, report=lambda fraction: None):
    """Run stages one after the other; return outputs (C, Z, Y, X) by name.

    `given` are numbers that are not to be found; `until` is the last stage.
    """
    given, layout = given or {}, work.store.layout
    outputs: dict[str, np.ndarray] = {}
    total = sum(stage.cost for stage in work.stages)
    done = 0.0
    for stage in work.stages:
        tasks = task_count(stage, layout)
        for index in range(tasks):
            if stage.name in given:
                work.store.write_numbers(stage.name, given[stage.name])
            elif stage.kind == "pass":
                recipe.run_pass(
                    work,
                    stage,
                    index,
                    lambda share, done=done, cost=stage.cost: report((done + share * cost) / total),
                )
            elif stage.kind == "numbers":
                recipe.find_numbers(work, stage)
            else:
                for name, values in recipe.make_block(work, stage, index).outputs.items():
                    into = outputs.setdefault(
                        name, np.empty((layout.channels, *layout.shape), np.float32)
                    )
                    into[(slice(None), *work.block(index).slices())] = values.cpu().numpy()
        done += stage.cost
        report(done / total)
        if stage.name == until:
            break
        work.store.keep_only({field for each in work.stages for field in each.reads})
    return outputs


def restore(
    network,
    config,
    planes,
    grid,
    *,
    mode="sample",
    evaluations=5,
    detail=None,
    gains=None,
    seed=0,
    device=CPU,
    report=lambda fraction: None,
):
    """Restore a volume (C, Z, Y, X), with measured planes as they are in `planes`."""
    steps = 2 if mode == "mean" else evaluations
    options = ResolvedOptions(mode=mode, steps=steps, detail=detail, seed=seed)
    recipe, work = frame_work(network, config, planes, grid, options, device)
    given = {} if gains is None else {GAINS: [each.tolist() for each in gains]}
    volume = run_stages(recipe, work, given=given, report=report)["volume"]
    volume[:, list(grid.known)] = planes
    return volume


def gains_of(network, config, planes, grid, evaluations=5):
    """Return the gains of detail that are found for a stack."""
    options = ResolvedOptions(mode="sample", steps=evaluations)
    recipe, work = frame_work(network, config, planes, grid, options)
    run_stages(recipe, work, until=GAINS)
    return Gains(*(torch.tensor(each) for each in work.store.numbers(GAINS)))


def with_std(estimator, planes, grid, options, **more):
    """Return a volume and its standard deviations (C, Z, Y, X), and the numbers of their scale."""
    recipe, work = frame_work(
        estimator.network.denoiser, estimator.config, planes, grid, options,
        estimator=estimator, **more,
    )  # fmt: skip
    outputs = run_stages(recipe, work)
    outputs["volume"][:, list(grid.known)] = planes
    return outputs, work.store.numbers(SCALE)
