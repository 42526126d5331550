"""Write the README of a package: what it does, what it was trained on, how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence

from isoslice import __version__
from isoslice.models.config import ModelConfig
from isoslice.models.exchange.about import About
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.files.card import validation_lines

RISKS = (
    "Detail between the measured planes is invented: it is what the training images make "
    "plausible, not a measurement. Do not count, measure or diagnose from structures that exist "
    "only between measured planes, and do not use the model on specimens, stains or instruments "
    "unlike its training images."
)
LIMITATIONS = (
    "The specimen is taken to look the same along Z as along X and Y, planes as point samples, "
    "evenly spaced. The mean is smoother than the specimen, and comes without standard deviations."
)


def documentation(model: ModelBundle, config: ModelConfig, factor: int, about: About) -> str:
    """Write it as Markdown."""
    info, uncertainty = model.info, " --uncertainty" if model.head is not None else ""
    sources = info.get("sources", [])
    listed = sources if isinstance(sources, Sequence) and not isinstance(sources, str) else []
    lines = [
        f"# {about.name}",
        "",
        "Fills in the planes between those of a z-stack that is sharp in XY and coarse in Z. It",
        "was trained by isoslice on 2D images alone.",
        "",
        "![An XZ slice as measured, and restored](cover.png)",
        "",
        "## What goes in, what comes out",
        "",
        f"- In: `stack`, n planes {factor} pixels apart, n at least 2, of any height and width;",
        "  intensities as measured, all of them finite.",
        f"- Out: `volume`, (n - 1) * {factor} + 1 planes, on the same scale of intensities. Plane",
        f"  {factor} * i is the stack's plane i, unchanged; nothing is extrapolated.",
        f"- The whole stack at once: {_normalisation(config)}.",
        "  Tiles that are put together show seams.",
        *_rows(config),
        "",
        "## Read this first",
        "",
        RISKS,
        "",
        LIMITATIONS,
        "",
        "## Uncertainty",
        "",
        "Each voxel is its expected value given the planes: an average over all that could lie",
        "there. What differs from one possibility to the next is blurred, and nothing here says",
        "how far off a voxel may be."
        + (f" The model itself knows: `{uncertainty.strip()}`, below." if uncertainty else ""),
        "",
        "## Training data",
        "",
        *(f"- {source}" for source in listed[:100]),
        *([f"- and {len(listed) - 100} more"] if len(listed) > 100 else []),
        f"- {info.get('planes', '?')} planes, {config.network.channels} channel(s)",
        *_pixels(config),
        "",
        "## Validation",
        "",
        *validation_lines(config, info),
        "",
        "On your own data: hide every second plane of a stack, restore it, and compare with what",
        "was hidden, and with linear interpolation. `isoslice check STACK -m MODEL` does so.",
        "",
        "## With isoslice",
        "",
        "    isoslice import PACKAGE.zip -o MODEL",
        f"    isoslice predict STACK -m MODEL -o MEAN.tif --mode mean{uncertainty}",
        "",
        "That gives the same volume and more: samples as sharp as the training images, standard",
        "deviations, any factor, planes that are uneven, blurred, noisy, lost or damaged, stacks",
        "larger than memory, warnings where to doubt. It also keeps to the detector's limits,",
        "leaves voxels without data empty, and normalises stacks as though they had the noise of",
        "the training images; this package does none of that.",
        "",
        "## Licence, authors",
        "",
        f"- weights: {about.license or 'no licence was stated; ask whoever made the model'}",
        "- program (`architecture.py`): MIT, the isoslice developers",
        *([f"- authors: {', '.join(about.authors)}"] if about.authors else []),
        f"- model {model.fingerprint}, exported by isoslice {__version__}",
        "",
        "If you use it, please cite *Super-resolution of biomedical volumes with 2D supervision*",
        "(Jiang, Gedeon et al. 2024, https://doi.org/10.48550/arXiv.2404.09425), whose method",
        "isoslice builds on.",
    ]
    return "\n".join(lines) + "\n"


def _normalisation(config: ModelConfig) -> str:
    if config.intensities is None:
        return "inside, percentiles of all of it become 0 and 1"
    low, high = config.intensities
    return f"inside, intensities {low:g} and {high:g} become 0 and 1"


def _pixels(config: ModelConfig) -> list[str]:
    if config.pixel_size is None:
        return []
    y, x = config.pixel_size
    return [f"- pixel size: {y:g} x {x:g} {config.unit or 'of an unknown unit'} (Y, X)"]


def _rows(config: ModelConfig) -> list[str]:
    spacing = config.training.row_spacing
    if spacing == 1:
        return []
    return [
        f"- Planes of the volume are meant to lie {spacing:g} pixels apart, not one: the model",
        "  was trained for that.",
    ]
