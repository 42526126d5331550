"""Pretrain one model for every specimen: packed corpus in, model folder out.

    PYTHONPATH=src:benchmarks python -m pretrain.learn corpus.npz -o MODEL --minutes 60

On a CPU or a GPU, by the seed alone; --resume goes on from the last checkpoint in MODEL.training,
--start from a finished model, with a schedule of its own.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from isoslice.data.crops import draw_crops
from isoslice.data.planes import PlaneStack
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.diffusion.units import Units, units_of_crops
from isoslice.models.networks.factory import build_network
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import terminal_progress
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.objectives import ResidualObjective
from isoslice.training.session import TrainingRun, run_here
from pretrain.packed import Packed, read_packed
from pretrain.variants import variants

#: Crops by which the units of a variant are measured.
CROPS = 32
#: How often crops of a modality are drawn grows with this power of its pixels.
MODALITY_POWER = 0.5
#: Deviation of residuals of a tile that shows something.
LEAST_RESIDUAL = 1e-4


def training_stacks(
    packed: list[Packed], settings: TrainingSettings
) -> tuple[list[PlaneStack], list[Units]]:
    """Return variants of all stacks that are not held out, and the units of each."""
    chosen = [each for each in packed if not each.held_out]
    weights = modality_weights(chosen)

    def of_one(index: int) -> list[tuple[PlaneStack, Units]]:
        each, made = chosen[index], []
        planes = np.asarray((each.planes - each.low) / (each.high - each.low), np.float32)
        rng = np.random.default_rng((settings.seed, index))
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + index)
        for variant in variants(planes, settings.crop, rng):
            crops = draw_crops([variant.stack], CROPS, settings.crop, generator)
            units = units_of_crops(crops, settings, generator)
            if LEAST_RESIDUAL < float(units.sigma_data) < 1:  # else of a blank tile
                weight = weights[index] * variant.share
                made.append((replace(variant.stack, weight=weight), units))
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = [pair for made in pool.map(of_one, range(len(chosen))) for pair in made]
    return [stack for stack, _ in pairs], [units for _, units in pairs]


def modality_weights(stacks: list[Packed]) -> list[float]:
    """Return how often each stack is drawn: modalities by a power of their pixels, then groups."""
    pixels: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in stacks:
        pixels[each.modality][each.group] += each.planes.size
    weights = []
    for each in stacks:
        groups = pixels[each.modality]
        of_modality = sum(groups.values()) ** MODALITY_POWER
        roots = {name: size**MODALITY_POWER for name, size in groups.items()}
        of_group = roots[each.group] / sum(roots.values())
        weights.append(of_modality * of_group * each.planes.size / groups[each.group])
    return weights


def checkpoints(output: Path) -> Path:
    """Return the folder beside a model to be that holds its checkpoints until it is finished."""
    return output.with_name(output.name + ".training")


def main(arguments: Sequence[str] | None = None) -> None:
    """Pretrain as the command line says."""
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="what pretrain.pack wrote")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--measured-share", type=float, default=0.4)
    parser.add_argument("--even-share", type=float, default=defaults.even_share)
    parser.add_argument("--no-signal-share", type=float, default=defaults.no_signal_share)
    parser.add_argument("--start", metavar="MODEL", help="a folder, or pretrained")
    parser.add_argument("--widths", type=int, nargs="+", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    settings = TrainingSettings(
        seed=given.seed,
        batch=given.batch,
        learning_rate=given.rate,
        measured_share=given.measured_share,
        even_share=given.even_share,
        no_signal_share=given.no_signal_share,
        validation_share=0.0,
    )
    widths = {"widths": tuple(given.widths)} if given.widths else {}
    packed = read_packed(given.corpus)
    stacks, units = training_stacks(packed, settings)
    typical = float(np.median([float(each.sigma_data) for each in units]))
    before = Model.load(given.start) if given.start else None
    shape = before.config.network if before else NetworkSettings(measured=True, **widths)
    config = ModelConfig(network=shape, training=settings, sigma_data=typical)
    network = build_network(config, settings.seed)
    if before:
        network.load_state_dict(before.network.state_dict())
    objective = ResidualObjective(config, units=tuple(units))
    sources = sorted({each.source for each in packed})
    progress = terminal_progress(False)
    job = TrainingRun(
        network,
        objective,
        config,
        stacks,
        [],
        {"sources": sources, "variants": len(stacks)},
        minutes=given.minutes,
        steps=given.steps,
        device=choose_device(given.device),
        workdir=checkpoints(given.output),
        resume=given.resume,
    )
    model = run_here(job, ProcessTopology(), progress)
    progress.close()
    model.save(given.output, overwrite=True)


if __name__ == "__main__":
    main()
