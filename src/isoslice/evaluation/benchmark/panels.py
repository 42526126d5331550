"""Figures of the benchmark: restorations side by side; needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError
from isoslice.evaluation.benchmark.canvas import Page, RowBlock, save_page
from isoslice.evaluation.figures import check_matplotlib

#: With more columns, 2D figures show one factor below the other.
MAX_COLUMNS = 12
#: Converts an image of shape (C, H, W) for display, to uint8 of shape (H, W, 3).
Colours = Callable[[NDArray[Any]], NDArray[np.uint8]]
IntensityWindow = tuple[float, float]


def rows_figure(
    path: str | Path,
    truth: Sequence[NDArray[Any]],
    inputs: Mapping[int, Sequence[NDArray[Any]]],
    results: Mapping[int, Mapping[str, Sequence[NDArray[Any]]]],
    *,
    colours: Colours | None = None,
    window: IntensityWindow | None = None,
    overwrite: bool = False,
) -> None:
    """Draw 2D images restored from some of their rows, and save a PNG.

    One row of panels for each example: the truth, then for every factor the input and what each
    method made of it. Where that gets too wide, the factors lie one below the other.

    Parameters
    ----------
    path
        Where to write the PNG.
    truth
        Images of shape (C, H, W).
    inputs
        For each factor (rows of the image per known row) the known rows of each image: as many
        rows as are known, or an image as high as the truth with NaN in the other rows. Unknown
        rows are black.
    results
        For each factor and method, the restored images.
    colours
        How to show an image; by default one channel in grey, three as red, green and blue.
    window
        Intensities shown as black and white; by default percentiles of the truth.
    overwrite
        Replace an existing file.

    Raises
    ------
    DataError
        If an image, method or factor is missing, or shapes don't fit.
    OutputError
        If the picture cannot be written, or exists and `overwrite` is False.
    SettingsError
        If matplotlib is missing.
    """
    check_matplotlib()
    if not truth or not results:
        raise DataError("got no images to show, expected a truth and results; give one or more")
    if set(inputs) != set(results):
        raise DataError(
            f"got inputs for {_factors(inputs)} and results for {_factors(results)}, expected the "
            "same factors; add the missing ones"
        )
    methods = _same_methods(results)
    shape = truth[0].shape
    window = _window(truth, window)

    def shown(what: str, images: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
        _check_images(what, images, shape, len(truth), 3)
        return [picture(image, window, colours) for image in images]

    pictures = {}
    for factor, restored in results.items():
        at = f"at {_scale(factor)}"
        known = [_place_rows(image, shape, factor) for image in inputs[factor]]
        pictures[factor] = [
            shown(f"input {at}", known),
            *(shown(f"{name} {at}", restored[name]) for name in methods),
        ]
    first, names = shown("truth", truth), ("input", *methods)
    if 1 + len(pictures) * len(names) <= MAX_COLUMNS:
        columns = [first, *(column for columns in pictures.values() for column in columns)]
        groups = [_scale(factor) for factor in pictures for _ in names]
        page = Page(
            ("truth", *(name for _ in pictures for name in names)),
            ("", *groups),
            (_block("", [""] * len(truth), columns),),
        )
    else:
        page = Page(
            ("truth", *names),
            ("",) * (1 + len(names)),
            tuple(
                _block(_scale(factor), [""] * len(truth), [first, *columns])
                for factor, columns in pictures.items()
            ),
        )
    save_page(page, path, overwrite=overwrite)


def volume_figure(
    path: str | Path,
    volumes: Mapping[int, Mapping[str, NDArray[Any]]] | Mapping[str, Mapping[str, NDArray[Any]]],
    at: tuple[int, int, int],
    window: IntensityWindow | None = None,
    *,
    colours: Colours | None = None,
    overwrite: bool = False,
) -> None:
    """Draw one XY, XZ and YZ plane of volumes, one column for each method, and save a PNG.

    Voxels are square: the volumes are isotropic. Z runs down the XZ and YZ planes.

    Parameters
    ----------
    path
        Where to write the PNG.
    volumes
        For each factor, or each label of another kind, the volumes of shape (C, Z, Y, X) by
        method, the truth first; the same methods for all. Blocks lie one below the other.
    at
        Voxel (z, y, x) that the planes pass through, best one that was not measured.
    window
        Intensities shown as black and white; by default percentiles of the truth.
    colours
        How to show an image; by default one channel in grey, three as red, green and blue.
    overwrite
        Replace an existing file.

    Raises
    ------
    DataError
        If a method is missing, shapes don't fit, or `at` lies outside.
    OutputError
        If the picture cannot be written, or exists and `overwrite` is False.
    SettingsError
        If matplotlib is missing.
    """
    check_matplotlib()
    methods = _same_methods(volumes)
    if not methods:
        raise DataError("got no volumes to show, expected the truth and others; give one or more")
    truths = []
    for key, block in volumes.items():
        truths.append(block[methods[0]])
        for name in methods:
            _check_images(f"{name} at {_scale(key)}", [block[name]], truths[-1].shape, 1, 4)
        _check_inside(at, truths[-1].shape)
    window = _window(truths, window)
    blocks = []
    for key, block in volumes.items():
        columns = [
            [picture(plane, window, colours) for plane in planes(block[name], at)]
            for name in methods
        ]
        blocks.append(_block(_scale(key), ["XY", "XZ", "YZ"], columns))
    page = Page(methods, ("",) * len(methods), tuple(blocks))
    save_page(page, path, overwrite=overwrite)


def planes(volume: NDArray[Any], at: tuple[int, int, int]) -> tuple[NDArray[Any], ...]:
    """Return the XY, XZ and YZ planes through `at` of a volume of shape (C, Z, Y, X)."""
    z, y, x = at
    return volume[:, z], volume[:, :, y], volume[:, :, :, x]


def picture(
    image: NDArray[Any], window: IntensityWindow, colours: Colours | None = None
) -> NDArray[np.uint8]:
    """Convert an image (C, H, W) for display, to (H, W, 3); pixels with a NaN are black.

    Without `colours`, `window` becomes black to white; with it, `window` has no effect.
    """
    known = np.isfinite(image).all(axis=0)
    filled = np.where(known, image, 0)
    shape = (*image.shape[1:], 3)
    if colours is not None:
        shown = np.asarray(colours(filled))
        if shown.shape != shape or shown.dtype != np.uint8:
            raise DataError(
                f"got colours of shape {shown.shape} and type {shown.dtype}, expected {shape} and "
                "uint8; correct the function that makes them"
            )
    else:
        if len(image) not in (1, 3):
            raise DataError(
                f"got an image of {len(image)} channels, expected 1 or 3; choose one, or give "
                "colours for them"
            )
        low, high = window
        scaled = (filled.astype(np.float64) - low) / (high - low)
        grey = np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)
        shown = np.broadcast_to(np.moveaxis(grey, 0, -1), shape)
    return np.where(known[..., None], shown, np.uint8(0))


def _block(
    label: str, names: Sequence[str], columns: Sequence[Sequence[NDArray[np.uint8]]]
) -> RowBlock:
    rows = zip(*columns, strict=True)
    return RowBlock(label, tuple((name, row) for name, row in zip(names, rows, strict=True)))


def _scale(key: int | str) -> str:
    return key if isinstance(key, str) else f"{key}x"


def _factors(keys: Mapping[int, Any]) -> str:
    return ", ".join(map(_scale, keys)) or "none"


def _same_methods(
    blocks: Mapping[int, Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
) -> tuple[str, ...]:
    """Return the methods of the first block, in its order; all blocks must have them."""
    first = tuple(next(iter(blocks.values()), {}))
    for key, block in blocks.items():
        missing = [name for name in first if name not in block]
        extra = [name for name in block if name not in first]
        if missing or extra:
            raise DataError(
                f"{_scale(key)}: got "
                + " and ".join(
                    [f"no {name}" for name in missing] + [f"{name} besides" for name in extra]
                )
                + f", expected {', '.join(first)} as in the other scales; add the missing or leave "
                "it out everywhere"
            )
    return first


def _check_images(
    what: str, images: Sequence[NDArray[Any]], shape: tuple[int, ...], count: int, axes: int
) -> None:
    if len(images) != count:
        raise DataError(
            f"{what}: got {len(images)} images, expected {count}; give one for each example"
        )
    expected = "(C, H, W)" if axes == 3 else "(C, Z, Y, X)"
    for image in images:
        if image.ndim != axes or image.shape != shape or 0 in shape:
            raise DataError(
                f"{what}: got shape {image.shape}, expected {expected}"
                + (f" of {shape}, as the truth's" if len(shape) == axes else "")
                + "; crop it or correct its axes"
            )


def _check_inside(at: tuple[int, int, int], shape: tuple[int, ...]) -> None:
    if not all(0 <= index < side for index, side in zip(at, shape[1:], strict=True)):
        raise DataError(
            f"got planes at {at} (z, y, x), expected a voxel of a volume of {shape[1:]}; choose "
            "one inside"
        )


def _window(truths: Sequence[NDArray[Any]], given: IntensityWindow | None) -> IntensityWindow:
    if given is not None:
        if not given[0] < given[1]:
            raise DataError(f"got the window {given}, expected the lower end first; swap them")
        return given
    values = np.concatenate([truth.ravel() for truth in truths])
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise DataError("got a truth without one finite voxel; check the data")
    low, high = np.percentile(finite, (0.5, 99.7))
    return float(low), float(max(high, low + 1e-12))


def _place_rows(image: NDArray[Any], shape: tuple[int, ...], factor: int) -> NDArray[Any]:
    """Place known rows in an image of the full height, NaN between them."""
    if image.ndim != 3 or image.shape[1] == shape[1]:
        return image
    known = np.arange(0, shape[1], factor)
    if image.shape != (shape[0], len(known), *shape[2:]):
        raise DataError(
            f"input at {_scale(factor)}: got shape {image.shape}, expected {shape} with NaN in "
            f"the unknown rows, or only the {len(known)} known ones; take every {factor}th row"
        )
    full = np.full(shape, np.nan)
    full[:, known] = image
    return full
