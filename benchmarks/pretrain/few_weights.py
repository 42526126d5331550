"""Adapt all weights, a few or a low rank, for the same processor time; compare on volumes.

    python benchmarks/pretrain/few_weights.py --seconds 18 110 --data ../shared -o few_weights.csv

Seconds are those of one thread; steps are as many as fit, by the time of a few that are timed
first, so that what else runs on the machine counts little. What is compared is the adapted network
itself, whatever share of it `isoslice.adapt` would keep: PSNR of the mean over the planes that were
left out, less that of the model as it comes, in dB; and what share is kept. A low rank is what all
weights learned, of which each layer keeps so many singular directions. With --planes, only so many
of the stack's planes are learned from, from its middle.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, it finds its own folder first, not what is beside that
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from torch import nn

import isoslice
from isoslice.data.grid import even_grid, thin
from isoslice.data.psnr import psnr
from isoslice.evaluation.metrics import data_range_of
from isoslice.runtime import device as runtime
from isoslice.training import adapt as adapting
from isoslice.training.blend import Blend, Judged
from isoslice.training.objectives import ResidualObjective
from pretrain.zero_shot import VOLUMES, Voxels, truth

#: Which weights learn, by their names.
CHOICES: dict[str, Callable[[str], bool]] = {
    "all": lambda _: True,
    "finest level": lambda name: name.startswith(("enter", "leave", "down.0", "up.0", "grow.0")),
    "last layers": lambda name: name.startswith(("leave", "up.0")),
    "gains": lambda name: name.endswith("gain") or ".level." in name or name.startswith("embed"),
}
#: Singular directions of a layer's change that a low rank keeps.
RANKS = (1, 4, 16)
#: Steps by which the time of one is found.
TIMED = 5
COLUMNS = ("volume", "planes", "weights", "seconds", "steps", "all of it", "kept share", "kept")


def few(chosen: Callable[[str], bool]) -> type[ResidualObjective]:
    """Return an objective that lets some weights learn."""

    class Few(ResidualObjective):
        def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
            for name, weight in network.named_parameters():
                weight.requires_grad_(chosen(name))
            return super().optimizer(network)

    return Few


def low_rank(old: nn.Module, new: nn.Module, rank: int) -> nn.Module:
    """Keep so many singular directions of how each layer's matrix (out, in x kernel) changed."""
    network = copy.deepcopy(old)
    with torch.no_grad():
        for weight, other in zip(network.parameters(), new.parameters(), strict=True):
            change = other - weight
            if weight.ndim > 1:
                u, s, v = torch.linalg.svd(change.flatten(1), full_matrices=False)
                change = (u[:, :rank] * s[:rank] @ v[:rank]).reshape(weight.shape)
            weight.add_(change)
    return network.eval()


def adapted(stack: Voxels, steps: int, factor: int) -> tuple[nn.Module, isoslice.Model, float]:
    """Adapt the pretrained model; return the whole of it, what is kept, and processor seconds."""
    found: dict[str, Any] = {}
    best, learn = adapting.best_blend, adapting._learn

    def judge(
        old: nn.Module, new: nn.Module, judged: Sequence[Judged], *rest: Any, **named: Any
    ) -> Blend:
        found["network"] = new
        return best(old, new, judged, *rest, **named)

    def timed(*given: Any) -> Any:
        start = time.process_time()
        outcome = learn(*given)
        found["seconds"] = time.process_time() - start
        return outcome

    adapting.best_blend = judge
    adapting._learn = timed  # type: ignore[assignment]
    try:
        size = (factor, 1, 1)
        model = isoslice.adapt(
            stack, axes="ZYX", voxel_size=size, steps=steps, device="cpu", factor=factor
        )
    finally:
        adapting.best_blend, adapting._learn = best, learn
    return found["network"], model, found["seconds"]


def rows(
    name: str,
    folder: Path,
    seconds: Sequence[float],
    planes: int | None,
    factor: int,
    choices: Sequence[str] = tuple(CHOICES),
) -> list[tuple[Any, ...]]:
    """Compare choices of weights on one volume."""
    voxels = truth(name, folder)
    stack = thin(voxels, factor)
    grid = even_grid(len(stack), factor)
    whole = voxels[: grid.depth]
    span, missing = data_range_of(whole), ~grid.mask
    first = 0 if planes is None else (len(stack) - planes) // 2
    learned = stack[first : first + (planes or len(stack))]

    def score(model: isoslice.Model) -> float:
        found = model.predict(stack, "ZYX", factor=factor, mode="mean", device="cpu").volume
        return psnr(np.asarray(found)[missing], whole[missing], span)

    pretrained = isoslice.Model.pretrained()
    before, made = score(pretrained), []
    for weights in choices:
        chosen = CHOICES[weights]
        adapting.ResidualObjective = few(chosen)  # type: ignore[misc]
        try:
            *_, spent = adapted(learned, TIMED, factor)
            for budget in seconds:
                steps = max(1, round(budget / spent * TIMED))
                network, kept, _ = adapted(learned, steps, factor)
                all_of_it = score(replace(pretrained, network=network.cpu())) - before
                share = kept.info["adaptation"]["share"]
                gain = score(kept) - before if share else 0.0
                row = (name, len(learned), weights, budget, steps, all_of_it, share, gain)
                made.append(row)
                show(row)
                if weights != "all":
                    continue
                for rank in RANKS:
                    part = low_rank(pretrained.network, network.cpu(), rank)
                    gain = score(replace(pretrained, network=part)) - before
                    made.append((name, len(learned), f"rank {rank}", budget, steps, gain, "", ""))
                    show(made[-1])
        finally:
            adapting.ResidualObjective = ResidualObjective  # type: ignore[misc]
    return made


def show(row: tuple[Any, ...]) -> None:
    """Print a row."""
    cells = (f"{value:.3f}" if isinstance(value, float) else value for value in row)
    print(*cells, sep=", ", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared"), metavar="FOLDER")
    parser.add_argument("--volume", action="append", choices=VOLUMES, help="repeat; default: all")
    parser.add_argument("--seconds", type=float, nargs="+", default=[18.0, 110.0])
    parser.add_argument("--planes", type=int)
    parser.add_argument("--weights", action="append", choices=CHOICES, help="repeat; default: all")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.float32:
        runtime.cpu_has_bfloat16 = lambda: False
    made = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", isoslice.DoubtWarning)
            for name in options.volume or VOLUMES:
                how = options.seconds, options.planes, options.factor
                made += rows(name, options.data, *how, options.weights or tuple(CHOICES))
    except isoslice.IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *made])
    return 0


if __name__ == "__main__":
    sys.exit(main())
