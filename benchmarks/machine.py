"""What this machine can do: its convolution peak and the package's import times; prints both."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from isoslice.inference.model import Model
from isoslice.runtime.threads import on_all_cores


def median_seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time of `run` after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def convolution_peak(width: int = 64, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of a 3x3 convolution, channels-last, 16 images of 64 x 64.

    On all cores: shared among them, or one on each at the same time, whichever is faster.
    """
    layer = torch.nn.Conv2d(width, width, 3, padding=1, dtype=dtype)
    layer = layer.to(memory_format=torch.channels_last)
    x = torch.randn(16, width, 64, 64, dtype=dtype).contiguous(memory_format=torch.channels_last)
    repeats, threads = 10, torch.get_num_threads()

    def convolve(_: object = None) -> None:
        with torch.inference_mode():
            for _ in range(repeats):
                layer(x)

    def on_each_core() -> None:
        list(on_all_cores(convolve, range(threads), torch.device("cpu")))

    shared, each = median_seconds(convolve), median_seconds(on_each_core)
    operations = 2 * 9 * width**2 * 16 * 64**2 * repeats
    return max(operations / shared, threads * operations / each) / 1e9


def network_flops(model: Model) -> float:
    """Operations of one evaluation of isoslice's own network, per pixel."""
    device = next(model.network.parameters()).device
    x = torch.zeros(1, 2 * model.config.network.channels + 1, 64, 64, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x, torch.zeros(1, device=device))
    return counter.get_total_flops() / 64**2


def seconds_of(*command: str, repeats: int = 5) -> float:
    """Median wall time of a Python command line."""
    return median_seconds(
        lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True),
        repeats,
    )


def start_times() -> dict[str, float]:
    """Seconds that importing isoslice and asking for help add to a bare interpreter, and totals."""
    bare = seconds_of("-c", "pass")
    imported = seconds_of("-c", "import isoslice")
    helped = seconds_of("-m", "isoslice", "--help")
    return {"bare python": bare, "import isoslice": imported - bare, "isoslice --help": helped}


if __name__ == "__main__":
    print(f"convolution peak: {convolution_peak():.0f} GFLOP/s")
    for what, seconds in start_times().items():
        print(f"{what}: {seconds:.2f} s")
