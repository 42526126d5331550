"""Child process: restore one stack by one of isoslice's methods, and say what that took.

    python restore.py --stack COARSE.npy --factor 4 --output FULL.npy --interpolation linear
    python restore.py --stack COARSE.npy --factor 4 --output FULL.npy --model FOLDER --mode sample

The last line it prints is JSON. A process of its own, so that its peak of memory is its own too.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Of the piece that is restored first, untimed.
WARM_UP = (3, 64, 64)


def peak_mb() -> float:
    """Return the largest memory this process had, in MB; Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def timed(restore: Callable[[np.ndarray], np.ndarray], stack: np.ndarray) -> dict[str, Any]:
    """Restore a small piece, then everything: the result, seconds, and the peak of memory."""
    restore(stack[(..., *(slice(n) for n in WARM_UP))])
    start = time.perf_counter()
    volume = restore(stack)
    return {"volume": volume, "seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


def interpolated(stack: np.ndarray, factor: int, method: str) -> dict[str, Any]:
    """Interpolate; whole numbers stay whole numbers."""
    from isoslice.data.grid import even_grid
    from isoslice.data.interpolation import interpolate

    def restore(planes: np.ndarray) -> np.ndarray:
        return interpolate(planes, even_grid(len(planes), factor), method)  # type: ignore[arg-type]

    return timed(restore, stack)


def predicted(
    stack: np.ndarray, factor: int, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Restore by a trained model, and measure what its network reached."""
    from isoslice.inference.model import Model
    from isoslice.runtime.device import choose_device, describe
    from isoslice.runtime.environment import environment

    model = Model.load(folder)
    machine = f"{environment().processor}: {describe(choose_device(options.device))}"
    inside = _Inside(model.network, threads_inside(options))
    steps: list[int] = []

    def restore(part: np.ndarray) -> np.ndarray:
        inside.seconds, inside.pixels = 0.0, 0
        found = model.predict(
            part,
            axes="ZYX" if part.ndim == 3 else "TZYX",
            factor=factor,
            mode=options.mode,
            steps=options.steps,
            seed=options.seed,
            device=options.device,
        )
        steps.append(int(found.provenance["steps"]))
        return found.volume

    # The machine is shared, and as fast as it is just now: its peak is taken before and after.
    peaks = _peak(options.device) if model.config.recipe == "isoslice" else None
    if stack.ndim == 4:  # blocks for the slow one: a warm-up would take long and change little
        start = time.perf_counter()
        found: dict[str, Any] = {"volume": restore(stack)}
        found |= {"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}
    else:
        found = timed(restore, stack)
    found |= {"evaluations": steps[-1], "model": model.fingerprint, "machine": machine}
    inside.remove()
    if peaks is not None:
        found |= {"inside_seconds": inside.seconds, "inside_pixels": inside.pixels}
        found["peak_gflops"] = (peaks + _peak(options.device)) / 2
        found["flops_per_pixel"] = _flops(model)
    return found


def threads_inside(options: argparse.Namespace) -> int:
    """How many threads of isoslice's sampler are in the network at once."""
    from isoslice.runtime.device import choose_device

    return int(options.threads) if choose_device(options.device).type == "cpu" else 1


def _peak(device: str) -> float:
    """GFLOP/s of a convolution just now."""
    from isoslice.runtime.device import choose_device, fast_dtype
    from machine import convolution_peak

    return convolution_peak(dtype=fast_dtype(choose_device(device)))


def _flops(model: Any) -> float:
    from machine import network_flops

    return network_flops(model)


class _Inside:
    """Adds up the time that a network spends in its forward passes, and the pixels it is given.

    On a CPU several threads are in it at once; the time is that of all of them, divided by their
    number.
    """

    def __init__(self, network: Any, threads: int) -> None:
        self.seconds, self.pixels, self._threads = 0.0, 0, threads
        self._own, self._lock = threading.local(), threading.Lock()
        self._hooks = (
            network.register_forward_pre_hook(self._begin),
            network.register_forward_hook(self._end),
        )

    def _begin(self, *_: Any) -> None:
        self._own.start = time.perf_counter()

    def _end(self, _: Any, inputs: tuple[Any, ...], __: Any) -> None:
        n, _channels, height, width = inputs[0].shape
        with self._lock:
            self.seconds += (time.perf_counter() - self._own.start) / self._threads
            self.pixels += n * height * width

    def remove(self) -> None:
        """Stop counting."""
        for hook in self._hooks:
            hook.remove()


def main() -> None:
    """Restore, save, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--factor", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--interpolation")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mode")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    # The folder of this script holds modules with everyday names.
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    sys.path.append(str(here.parent))
    stack = np.load(options.stack)
    if options.interpolation:
        found = interpolated(stack, options.factor, options.interpolation)
    else:
        import torch

        torch.set_num_threads(options.threads)
        found = predicted(stack, options.factor, options.model, options)
    np.save(options.output, found.pop("volume"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
