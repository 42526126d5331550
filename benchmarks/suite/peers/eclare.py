"""ECLARE, which learns from the very stack it restores, run by an interpreter that has it.

    python eclare.py train --stack COARSE.npy --factor 4 --minutes 20 --model FOLDER
    python eclare.py restore --model FOLDER --stack COARSE.npy --factor 4 --output FULL.npy

`--kernel` tells it the profile of planes: gaussian:FWHM, rect:WIDTH, or own, which it finds itself.
Both print one line of JSON last. Imports nothing of isoslice: arrays and JSON go in and out.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

#: The default of 128 leaves a few dozen steps in 20 minutes on two cores, and steps are what it
#: needs: its network begins far from zero. On a piece of fib25_b at 4x, 19 steps of 16 patches came
#: out 1.7 dB below cubic interpolation, 175 steps of 4 (more time, too) 0.2 dB above.
BATCH = 4
#: Steps that tell how long one takes; the machine may be busy for some of them.
TRIAL = 20
#: A training that ended in less than this share of its time, because the machine was busy when a
#: step was timed, is done again with more steps, so often at most.
ENOUGH, TRIES = 0.8, 4
#: Planes are point samples. The thinnest Gaussian that ECLARE accepts has three taps: 0, 1 and 0.
POINT = "gaussian:0.51"


class Watch:
    """Takes the place of ECLARE's progress bar, and knows when each step was done."""

    def __init__(self, *_: object) -> None:
        self.times: list[float] = [time.monotonic()]
        Watch.last = self

    def update(self, losses: dict[str, Any]) -> None:
        """Note the time."""
        self.times.append(time.monotonic())
        self.loss = float(losses["loss"])

    def close(self) -> None:
        """Do nothing."""

    last: Watch


def run(
    stack: np.ndarray,
    learn_from: np.ndarray,
    factor: int,
    steps: int,
    limits: tuple[float, float],
    kernel: Any,
) -> tuple[Any, Any]:
    """Call ECLARE's own function: learn from one stack for some steps, restore another.

    Parameters
    ----------
    stack, learn_from
        Planes (Z, Y, X).
    factor, steps
        The scale, and how often to update the network.
    limits
        Intensities that become 0 and 1: ECLARE takes the least and the largest of the stack.
    kernel
        What planes see along Z, as ECLARE's `parse_kernel` gives it.

    Returns
    -------
    The volume, n k planes, and the network's state.
    """
    import eclare.eclare as module
    from eclare.utils.train_set import TrainSet

    module.LossProgBar = Watch
    low, high = limits
    image, known = (scaled(part, limits) for part in (stack, learn_from))
    data = TrainSet(known, 0, verbose=False)
    volume, state, _ = module.run_eclare(
        image=image,
        slice_separation=float(factor),
        scales=[1, 1, 1],
        lr_axis=0,
        header=None,
        affine=None,
        orig_min=low,
        orig_max=high,
        blur_kernel=kernel,
        dataset=data,
        device="cpu",
        batch_size=BATCH,
        n_patches=steps * BATCH,
    )
    return volume, state


def scaled(stack: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Bring intensities to 0 to 1."""
    low, high = limits
    return (stack.astype(np.float32) - low) / (high - low)


def parsed(name: str) -> Any:
    """Return a profile by its name, such as ``gaussian:4.7``."""
    from eclare.utils.blur_kernel_ops import parse_kernel

    kind, _, width = name.partition(":")
    return parse_kernel(None, kind, float(width))


def found_kernel(stack: np.ndarray, factor: int, folder: Path) -> Any:
    """Have ECLARE find the profile (ESPRESO), as its own `main` does where no thickness is told."""
    from eclare.espreso import run_espreso
    from eclare.utils.train_set import TrainSet

    data = TrainSet(stack, 0, verbose=False)
    psf, picture = folder / "espreso_psf.npy", folder / "espreso_psf.png"
    generator, _ = run_espreso(float(factor), data, "cpu", psf, picture)
    return generator().detach().cpu()


def deviation(kernel: Any) -> float:
    """Return the standard deviation of a profile, in output planes."""
    weights = kernel.double().flatten().numpy()
    at = np.arange(len(weights))
    middle = np.average(at, weights=weights)
    return float(np.sqrt(np.average((at - middle) ** 2, weights=weights)))


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train for about the time asked for: its learning rate needs the number of steps at first."""
    import torch

    stack = np.load(options.stack)
    small = stack[:2, :32, :32]
    limits = float(stack.min()), float(stack.max())
    options.model.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    if options.kernel == "own":
        kernel = found_kernel(scaled(stack, limits), options.factor, options.model)
    else:
        kernel = parsed(options.kernel)
    finding = (time.monotonic() - start) / 60
    run(small, stack, options.factor, TRIAL, limits, kernel)
    pace = float(np.median(np.diff(Watch.last.times)[1:]))
    steps, minutes = max(1, round(60 * options.minutes / pace)), 0.0
    for _ in range(TRIES):
        _, state = run(small, stack, options.factor, steps, limits, kernel)
        taken, done = Watch.last.times, steps
        minutes = (taken[-1] - taken[0]) / 60
        if minutes >= ENOUGH * options.minutes:
            break
        steps = round(steps * options.minutes / minutes)
    torch.save({"state": state, "limits": limits}, options.model / "eclare.pt")
    note = f"kernel's deviation {deviation(kernel):.2f}, found in {finding:.1f} min"
    record = {"minutes": minutes, "steps": done, "loss": Watch.last.loss, "batch": BATCH}
    return {**record, "note": note}


def restore(options: argparse.Namespace) -> dict[str, Any]:
    """Restore a stack, or several (B, Z, Y, X); plane i * factor is measured plane i's place."""
    import eclare.eclare as module
    import torch

    saved = torch.load(options.model / "eclare.pt", weights_only=True)
    network = module.WDSR

    def trained(**shape: Any) -> Any:
        model = network(**shape)
        model.load_state_dict(saved["state"])
        return model

    module.WDSR = trained
    stack = np.load(options.stack)
    parts = stack if stack.ndim == 4 else stack[None]
    small, point = parts[0, :2, :32, :32], parsed(POINT)

    def restored(part: np.ndarray) -> np.ndarray:
        volume, _ = run(part, small, options.factor, 0, saved["limits"], point)
        return volume if options.as_returned else realigned(volume, options.factor)

    restored(small)
    start = time.perf_counter()
    volumes = np.stack([restored(part) for part in parts])
    seconds = time.perf_counter() - start
    np.save(options.output, volumes if stack.ndim == 4 else volumes[0])
    return {"seconds": seconds, "peak_mb": peak_mb()}


def realigned(volume: np.ndarray, factor: int, taps: int = 5) -> np.ndarray:
    """Move planes to where isoslice's grid has them, and drop those beyond the measured ones.

    ECLARE takes planes for slabs: measured plane i lies in the middle of output planes i k to
    (i + 1) k - 1. For even k that is between two of them, so planes are interpolated (Lanczos).
    """
    depth = (len(volume) // factor - 1) * factor + 1
    shift = (factor - 1) / 2
    whole = int(np.floor(shift))
    if shift == whole:
        return volume[whole : whole + depth]
    reach = np.arange(1 - taps, taps + 1)
    weights = np.sinc(shift - whole - reach) * np.sinc((shift - whole - reach) / taps)
    weights /= weights.sum()
    found = np.zeros((depth, *volume.shape[1:]), np.float32)
    for offset, weight in zip(reach, weights, strict=True):
        at = np.clip(np.arange(depth) + whole + offset, 0, len(volume) - 1)
        found += np.float32(weight) * volume[at]
    return found


def peak_mb() -> float:
    """Return the largest memory this process had, in MB; Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Train or restore, as asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=["train", "restore"])
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--factor", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernel", default=POINT, help="gaussian:FWHM, rect:WIDTH or own")
    parser.add_argument("--as-returned", action="store_true", help="as ECLARE writes it")
    options = parser.parse_args()
    # This script has the name of the package it imports, and its folder comes first.
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    import torch

    torch.set_num_threads(options.threads)
    np.random.seed(options.seed)  # noqa: NPY002 - what ECLARE draws from
    print(json.dumps(train(options) if options.task == "train" else restore(options)))


if __name__ == "__main__":
    main()
