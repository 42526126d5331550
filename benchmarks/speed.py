"""How fast a model restores, on any device: voxels a second, memory, share of the machine's peak.

    python benchmarks/speed.py MODEL --size 249 250 250
    python benchmarks/speed.py MODEL --size 1024 1024 1024 --device cuda
    python benchmarks/speed.py MODEL --size 249 250 250 --compile

The stack is made up: noise smoothed a little; what is in it doesn't matter for speed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isoslice.inference.model import Model
from isoslice.runtime.device import choose_device, describe, fast_dtype
from machine import convolution_peak, median_seconds, network_flops


def matrix_peak(device: torch.device, size: int = 8192) -> float:
    """GFLOP/s of a product of square matrices in the precision that networks get there."""
    a, b = torch.randn(2, size, size, device=device, dtype=fast_dtype(device))

    def product() -> None:
        torch.mm(a, b)
        torch.cuda.synchronize(device)

    return 2 * size**3 / median_seconds(product) / 1e9


def made_up(planes: int, height: int, width: int) -> np.ndarray:
    """Return a stack (planes, height, width) of uint8."""
    rng = np.random.default_rng(0)
    stack = np.empty((planes, height, width), np.uint8)
    for index in range(planes):
        coarse = rng.normal(size=(height // 4 + 2, width // 4 + 2))
        fine = np.kron(coarse, np.ones((4, 4)))[:height, :width]
        stack[index] = np.clip(128 + 40 * fine + rng.normal(size=fine.shape) * 10, 0, 255)
    return stack


def measure(model: Model, stack: np.ndarray, factor: int, device: torch.device) -> dict[str, Any]:
    """Restore twice, the first time a piece to warm up; return what was measured."""
    seen: list[int] = []  # appended to by several threads

    def count(_: Any, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].shape[0] * inputs[0].shape[2] * inputs[0].shape[3])

    def restore(planes: np.ndarray) -> np.ndarray:
        return model.predict(planes, axes="ZYX", factor=factor, device=device.type).volume

    restore(stack[:5])
    hook = model.network.register_forward_pre_hook(count)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    voxels = restore(stack).size
    seconds = time.perf_counter() - start
    hook.remove()
    on_gpu = device.type == "cuda"
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else None
    peak = matrix_peak(device) if on_gpu else convolution_peak(dtype=fast_dtype(device))
    reached = sum(seen) * network_flops(model) / seconds / 1e9
    return {
        "device": describe(device),
        "voxels": voxels,
        "seconds": round(seconds, 2),
        "Mvoxels_per_second": round(voxels / seconds / 1e6, 3),
        "evaluations_per_voxel": round(sum(seen) / voxels, 2),
        "kflops_per_evaluation": round(network_flops(model) / 1e3, 1),
        "gflops_reached_end_to_end": round(reached, 1),
        "peak_gflops": round(peak, 1),
        "peak_of": "matrix product" if on_gpu else "3x3 convolution, 64 channels",
        "share_of_peak_end_to_end": round(reached / peak, 4),
        "gpu_memory_gb": memory,
    }


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--size", type=int, nargs=3, default=(249, 250, 250), metavar="N")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true", help="torch.compile the network first")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device, model = choose_device(options.device), Model.load(options.model)
    depth, height, width = options.size
    stack = made_up((depth - 1) // options.factor + 1, height, width)
    compiling = None
    if options.compile:
        start = time.perf_counter()
        model.network.compile()
        model.predict(stack[:5], axes="ZYX", factor=options.factor, device=device.type)
        compiling = round(time.perf_counter() - start, 1)
    found = measure(model, stack, options.factor, device)
    print(json.dumps({**found, "compile_seconds": compiling}, indent=1))


if __name__ == "__main__":
    main()
