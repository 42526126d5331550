"""The main job, measured: train on one specimen, restore another whose truth is known.

    python benchmarks/main_job.py --data FOLDER            # both cases, 20 minutes each
    python benchmarks/main_job.py --data FOLDER --case fib25 --minutes 5
    python benchmarks/main_job.py --data FOLDER --reuse    # score the models of the last run again

FOLDER holds fib25_a.tif, fib25_b.tif and mouse_ct_0..3.nii.gz. Every method is aligned alike (see
isoslice.geometry). Nothing tested was trained on. Tables, models, restored volumes and pictures go
to benchmarks/output.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

import isoslice
from isoslice.device import choose_device, describe
from isoslice.evaluation import evaluate
from isoslice.figures import comparison_figure
from isoslice.geometry import crop_to_grid, even_grid, thin
from isoslice.interpolate import interpolate
from isoslice.progress import terminal_progress
from isoslice.volume import Volume, VoxelSize
from machine import convolution_peak, start_times

FACTOR = 4
EVALUATIONS = 8
UNITS = {None: "voxels", "micrometer": "µm", "millimeter": "mm"}


@dataclass(frozen=True)
class Case:
    """Volumes to train on, and one to test on."""

    train: tuple[str, ...]
    test: str


CASES = {
    "fib25": Case(("fib25_a.tif",), "fib25_b.tif"),
    "mouse_ct": Case(tuple(f"mouse_ct_{i}.nii.gz" for i in range(3)), "mouse_ct_3.nii.gz"),
}


def read(path: Path) -> Volume:
    """Read a volume with its axes in the order ZYX; spacing is 1 where the file has none."""
    volume = isoslice.read_volume(path)
    known = volume.voxel_size is not None
    return Volume(
        np.ascontiguousarray(volume.tczyx()[0, 0]),
        "ZYX",
        volume.spacing if known else dict.fromkeys("ZYX", 1.0),
        volume.unit if known else None,
        source=volume.source,
    )


def network_flops(model: isoslice.Model) -> float:
    """Operations of one evaluation, per pixel."""
    x = torch.zeros(1, 2 * model.config.network.channels + 1, 64, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(x, torch.zeros(1))
    return counter.get_total_flops() / 64**2


def methods(
    model: isoslice.Model, truth: Volume, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Restore the thinned truth by every method; volumes, and seconds of the learned ones."""
    coarse = thin(truth.data, FACTOR)
    grid = even_grid(len(coarse), FACTOR)
    limits = np.iinfo(truth.data.dtype)
    volumes = {
        name: np.clip(np.rint(interpolate(coarse, grid, name)), limits.min, limits.max).astype(
            truth.data.dtype
        )
        for name in ("nearest", "linear", "cubic")
    }
    size = truth.voxel_size
    assert size is not None
    stack = replace(
        truth,
        data=coarse,
        spacing=dict(zip("ZYX", VoxelSize(size.z * FACTOR, size.y, size.x), strict=True)),
    )
    seconds = {}
    small = replace(stack, data=coarse[:3, :64, :64])
    for mode in ("mean", "sample"):
        model.predict(small, mode=mode)  # warm up
        start = time.perf_counter()
        restored = model.predict(stack, mode=mode, steps=EVALUATIONS, seed=seed)
        seconds[mode] = time.perf_counter() - start
        volumes[mode] = restored.volume
    return volumes, seconds


def run_case(name: str, options: argparse.Namespace, console: Console) -> dict[str, object]:
    """Train (or load), restore, score; print and return the numbers."""
    case = CASES[name]
    output = options.output / name
    output.mkdir(parents=True, exist_ok=True)
    folder = output / "model"
    if options.reuse and folder.exists():
        model = isoslice.Model.load(folder)
    else:
        images = [read(options.data / file) for file in case.train]
        model = isoslice.train(
            images,
            minutes=options.minutes,
            seed=options.seed,
            device=options.device,
            progress=terminal_progress(quiet=False),
        )
        model.save(folder, overwrite=True)
    truth = read(options.data / case.test)
    cropped = replace(truth, data=crop_to_grid(truth.data, FACTOR))
    peak_before = convolution_peak()
    volumes, seconds = methods(model, cropped, options.seed)
    peak = max(peak_before, convolution_peak())

    voxels = cropped.data.size
    flops = network_flops(model)
    columns = ["method", "PSNR missing", "PSNR all", "SSIM", "grad Z", "grad Y", "grad X"]
    table = Table(
        *columns,
        "voxels/s",
        title=f"{name}: {', '.join(case.train)} -> {case.test}, {FACTOR}x, "
        f"trained {model.info['minutes']:.1f} min ({model.info['steps']} steps)",
    )
    rows: dict[str, dict[str, float | None]] = {}
    for method, volume in volumes.items():
        restored = Volume(volume, "ZYX", cropped.spacing, source=method)
        scores = evaluate(cropped, restored, factor=FACTOR).mean
        rate = voxels / seconds[method] if method in seconds else None
        rows[method] = {
            "psnr_missing": scores.psnr_missing,
            "psnr": scores.psnr,
            "ssim": scores.ssim,
            **{f"gradient_{axis}": scores.gradient_ratio[axis] for axis in "ZYX"},
            "voxels_per_second": rate,
        }
        cells = [f"{scores.psnr_missing:.2f}", f"{scores.psnr:.2f}", f"{scores.ssim:.3f}"]
        cells += [f"{scores.gradient_ratio[axis]:.2f}" for axis in "ZYX"]
        table.add_row(method, *cells, f"{rate:,.0f}" if rate else "")
    console.print(table)
    achieved = EVALUATIONS * voxels * flops / seconds["sample"] / 1e9
    best = max(rows["linear"]["psnr_missing"] or 0, rows["cubic"]["psnr_missing"] or 0)
    summary = {
        "mean over the better of linear and cubic, dB": (rows["mean"]["psnr_missing"] or 0) - best,
        "sample against linear, dB": (rows["sample"]["psnr_missing"] or 0)
        - (rows["linear"]["psnr_missing"] or 0),
        "sample's gradient along Z, truth = 1": rows["sample"]["gradient_Z"],
        f"voxels/s at {EVALUATIONS} evaluations": rows["sample"]["voxels_per_second"],
        "inside the network, GFLOP/s": achieved,
        "convolution peak here, GFLOP/s": peak,
        "share of the peak": achieved / peak,
        "kFLOP a pixel and evaluation": flops / 1e3,
    }
    for label, value in summary.items():
        console.print(f"  {label}: {value:,.2f}")
    comparison_figure(
        {
            "input": thin(cropped.data, FACTOR),
            "linear": volumes["linear"],
            "isoslice mean": volumes["mean"],
            "isoslice sample": volumes["sample"],
            "truth": cropped.data,
        },
        tuple(cropped.spacing[axis] for axis in "ZYX"),
        output / "comparison.png",
        unit=UNITS.get(cropped.unit, cropped.unit),
        overwrite=True,
    )
    return {"rows": rows, "summary": summary, "training": dict(model.info)}


def main() -> None:
    """Run the cases asked for and write everything to the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", choices=list(CASES), action="append")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--reuse", action="store_true", help="score saved models")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    options = parser.parse_args()
    console = Console(width=120)
    device = describe(choose_device(options.device))
    results: dict[str, object] = {
        "isoslice": isoslice.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.processor() or platform.machine()}, {device}",
        "start": start_times(),
    }
    console.print(results["machine"], results["start"])
    for name in options.case or list(CASES):
        results[name] = run_case(name, options, console)
        file = options.output / "main_job.json"
        file.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"written to {options.output}")


if __name__ == "__main__":
    main()
