"""XZ of a stack before and after: interpolated, taken for points, and with a slice profile.

    python benchmarks/profile_pictures.py CT.tif -m MODEL --voxel-size 5,0.45,0.45 --factor 5
        --profile auto --truth THIN.tif --first 2 -o ct.png
    python benchmarks/profile_pictures.py VOLUME.tif -m MODEL --seen gaussian:4.71 --factor 4
        --profile auto -o em.png
    python benchmarks/profile_pictures.py CONFOCAL.tif -m MODEL --profile auto -o confocal.png

With `--truth`, another stack whose planes are those of the result, from `--first`, is shown, too.
With `--seen`, the stack is a volume that stands for the truth: every `--factor`-th plane of it is
seen through that profile (FWHM or width in voxels), which makes the stack.

One row of pictures, of one XZ slice, all with the grey values of the first, pixels as large along
Z as along X; the middle of it once more below, enlarged. What was told and found is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import isoslice
from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.measurement import Measurement
from isoslice.data.profile import Profile, parse_profile

Planes = NDArray[Any]
#: Share of the slice that is shown enlarged, and height of a row of pictures in inches at most.
PART, TALL = 0.5, 3.0


def seen(volume: Planes, asked: str, factor: int) -> tuple[Planes, Planes]:
    """See every `factor`-th plane of a volume through a profile in voxels: planes and truth."""
    kind, width = parse_profile(asked)
    assert kind in ("point", "slab", "gaussian")
    count = (len(volume) - 1) // factor + 1
    truth = volume[: (count - 1) * factor + 1].astype(float)
    places = tuple(map(float, even_grid(count, factor).known))
    matrix = Measurement(places, len(truth), Profile(kind, width or 0.0)).matrix
    return np.einsum("iz,zyx->iyx", matrix, truth).astype(np.float32), truth


def restored(options: argparse.Namespace) -> tuple[dict[str, Planes], tuple[float, float]]:
    """Restore the stack in each way: volumes by title, and spacings of Z and X of all."""
    stack = isoslice.read_volume(options.stack, axes=options.axes)
    planes = np.asarray(stack.data)
    size = options.voxel_size or tuple(stack.spacing.get(axis, 1.0) for axis in "ZYX")
    truth = None
    if options.seen:
        planes, truth = seen(planes, options.seen, options.factor)
        size = (size[1] * options.factor, size[1], size[2])
    elif options.truth:
        truth = np.asarray(isoslice.read_volume(options.truth, axes="ZYX").data)[options.first :]
    model = isoslice.Model.load(options.model)
    factor = options.factor or max(2, round(size[0] / size[1]))
    linear = interpolate(planes.astype(np.float32), even_grid(len(planes), factor))
    found = {"planes, linear": linear}
    told: tuple[tuple[str, dict[str, Any]], ...] = (
        ("taken for points", {}),
        (f"slice profile {options.profile}", {"slice_profile": options.profile}),
    )
    for title, extra in told:
        made = model.predict(planes, "ZYX", size, factor, mode=options.mode, **extra)
        told_it = made.provenance.get("slice_profile", {})
        print(f"{title}: {told_it.get('kind')} {told_it.get('width_in_output_planes')}")
        found[title] = made.volume
    if truth is not None:
        found["truth"] = truth[: len(made.volume)]
    return found, (size[0] / factor, size[2])


def picture(found: dict[str, Planes], spacing: tuple[float, float], row: float, path: Path) -> None:
    """Draw the XZ slice at a share of the height of all volumes, and a part of it below."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    slices = {title: np.asarray(v[:, round(row * (v.shape[1] - 1))]) for title, v in found.items()}
    first = next(iter(slices.values()))
    low, high = np.percentile(first, [0.5, 99.8])
    depth, width = first.shape[0] * spacing[0], first.shape[1] * spacing[1]
    across = min(10 / len(slices), TALL * width / depth)
    size = across * len(slices), 2 * across * depth / width + 0.3
    figure, axes = plt.subplots(2, len(slices), figsize=size)
    # In its own shape, from the middle of the slice.
    corner = [round((1 - PART) / 2 * n) for n in first.shape]
    for (title, image), (whole, part) in zip(slices.items(), axes.T, strict=True):
        cut = image[corner[0] : -corner[0], corner[1] : -corner[1]]
        for place, shown in ((whole, image), (part, cut)):
            place.imshow(shown, "gray", vmin=low, vmax=high, aspect=spacing[0] / spacing[1])
            place.set_xticks([])
            place.set_yticks([])
        whole.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    with Image.open(path) as drawn:
        grey = drawn.convert("L")
    grey.save(path, optimize=True)


def main() -> None:
    """Restore, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stack", type=Path)
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--axes", default=None)
    parser.add_argument(
        "--voxel-size", type=lambda t: tuple(float(n) for n in t.split(",")), default=None
    )
    parser.add_argument("--factor", type=int)
    parser.add_argument("--profile", default="auto")
    parser.add_argument("--seen")
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--mode", default="mean")
    parser.add_argument("--row", type=float, default=0.5, help="of Y, 0 to 1")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    found, spacing = restored(options)
    picture(found, spacing, options.row, options.output)


if __name__ == "__main__":
    main()
