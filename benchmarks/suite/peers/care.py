"""CSBDeep's IsotropicCARE, run by an interpreter that has csbdeep and tensorflow.

    python care.py train --planes A.npy ... --factor 4 --minutes 20 --model FOLDER
    python care.py restore --model FOLDER --stack COARSE.npy --factor 4 --output FULL.npy

`--taps` and `--noise` tell it how planes were measured.
Both print one line of JSON last. Imports nothing of isoslice: arrays and JSON go in and out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: As in CSBDeep's example of isotropic reconstruction, but smaller patches (the planes are small).
PATCH, PATCHES = 64, 4096
#: Patches that Keras looks at after every epoch, which costs time, and steps of an epoch.
HELD_OUT, EPOCH = 64, 100


def aligned_pair(
    planes: np.ndarray, factor: int, taps: Sequence[float] = (1.0,), noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Columns 0, k, 2k, ... of `planes` (Z, Y, X), linearly filled in, and what they were.

    Columns are means by the weights `taps`, an odd number of them, with noise of that deviation.

    `csbdeep.data.anisotropic_distortions`, which the documentation uses, spreads the first and
    the last sample to the ends of the image and rounds the others: structures come to lie up to
    half a voxel off where prediction puts them. See `README.md` for what that costs.
    """
    width = (planes.shape[-1] - 1) // factor * factor + 1
    target = planes[..., :width].astype(np.float32)
    at = np.arange(width)
    left = np.minimum(at // factor, (width - 1) // factor - 1)
    share = ((at - left * factor) / factor).astype(np.float32)
    blurred = target if len(taps) == 1 else convolved(target, taps)
    coarse = blurred[..., ::factor]
    if noise:
        grain = np.random.default_rng(0).normal(0, noise, coarse.shape)
        coarse = coarse + grain.astype(np.float32)
    return coarse[..., left] * (1 - share) + coarse[..., left + 1] * share, target


def convolved(planes: np.ndarray, taps: Sequence[float]) -> np.ndarray:
    """Blur along columns; the last ones go on beyond the ends."""
    from scipy.ndimage import convolve1d

    return convolve1d(planes, np.asarray(taps, np.float32), axis=-1, mode="nearest")


def by_source(
    patches_x: np.ndarray, patches_y: np.ndarray, x: np.ndarray, *_: object
) -> tuple[np.ndarray, np.ndarray]:
    """Normalise sources and targets by the same percentiles, of the sources.

    CSBDeep takes each one's own. What was blurred has a smaller range than the truth, and
    prediction knows the range of its input alone: restored volumes would lack contrast.
    """
    from csbdeep.data import sample_percentiles
    from csbdeep.utils import normalize_mi_ma

    low, high = np.percentile(x, np.array([sample_percentiles()() for _ in patches_x]).T)
    shape = (-1, *(1,) * (patches_x.ndim - 1))
    low, high = low.reshape(shape), high.reshape(shape)
    return tuple(normalize_mi_ma(part, low, high) for part in (patches_x, patches_y))


def patches(stacks: list[np.ndarray], options: argparse.Namespace) -> tuple[np.ndarray, ...]:
    """Make source and target patches, (N, Y, X, 1), by CSBDeep's own `create_patches`."""
    from csbdeep.data import RawData, anisotropic_distortions, create_patches, norm_percentiles

    factor, documented, taps = options.factor, options.documented, options.taps

    turned = [part for stack in stacks for part in (stack, stack.swapaxes(1, 2))]

    def images() -> Iterator[tuple[np.ndarray, np.ndarray, str, None]]:
        for stack in turned:
            planes = stack.astype(np.float32)
            source, target = planes, planes
            if not documented:
                source, target = aligned_pair(planes, factor, taps, options.noise)
            yield source, target, "ZYX", None

    transforms = [anisotropic_distortions(factor, psf=None)] if documented else None
    x, y, _ = create_patches(
        RawData(images, len(turned), "planes"),
        (1, PATCH, PATCH),
        PATCHES // len(turned),
        transforms=transforms,
        normalization=by_source if len(taps) > 1 else norm_percentiles(),
        verbose=False,
    )
    return tuple(array.reshape(-1, PATCH, PATCH, 1) for array in (x, y))


def make_model() -> Any:
    """Make IsotropicCARE in its default configuration for one channel."""
    from csbdeep.models import Config, IsotropicCARE

    config = Config(
        "YX", n_channel_in=1, n_channel_out=1, train_tensorboard=False, train_reduce_lr=None
    )
    return IsotropicCARE(config, "care", basedir=None)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train for the time asked for, data generation left out."""
    import keras

    np.random.seed(options.seed)  # noqa: NPY002 - what csbdeep draws from
    keras.utils.set_random_seed(options.seed)
    x, y = patches([np.load(path) for path in options.planes], options)
    held = min(HELD_OUT, len(x) // 10)
    model = make_model()
    top = float(model.config.train_learning_rate)

    class Budget(keras.callbacks.Callback):
        """Ends training with the time; the rate falls as a cosine over it."""

        started, steps = 0.0, 0

        def on_train_begin(self, logs: Any = None) -> None:
            self.started = time.monotonic()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            share = min(1.0, (time.monotonic() - self.started) / (60 * options.minutes))
            self.model.optimizer.learning_rate = top * max(
                0.01, 0.5 * (1 + math.cos(math.pi * share))
            )

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if time.monotonic() - self.started >= 60 * options.minutes:
                self.model.stop_training = True

    budget = Budget()
    model.prepare_for_training()
    model.callbacks.append(budget)
    history = model.train(
        x[held:], y[held:], (x[:held], y[:held]), epochs=100_000, steps_per_epoch=EPOCH
    )
    seconds = time.monotonic() - budget.started
    options.model.mkdir(parents=True, exist_ok=True)
    model.keras_model.save_weights(str(options.model / "care.weights.h5"))
    loss = float(history.history["loss"][-1])
    return {"minutes": seconds / 60, "steps": budget.steps, "loss": loss, "patches": len(x)}


def restore(options: argparse.Namespace) -> dict[str, Any]:
    """Restore a stack; output plane i * factor is measured plane i's place."""
    model = make_model()
    model.keras_model.load_weights(str(options.model / "care.weights.h5"))
    stack = np.load(options.stack).astype(np.float32)

    def predict(planes: np.ndarray) -> np.ndarray:
        # CSBDeep zooms by scipy.ndimage, whose first and last planes stay the first and last: by
        # the factor itself, n planes become n k and the volume is stretched, out of line by up to
        # (k - 1) / 2 planes at both ends. This zoom gives (n - 1) k + 1 planes exactly k apart.
        zoom = ((len(planes) - 1) * options.factor + 1) / len(planes)
        return model.predict(planes, "ZYX", options.factor if options.as_returned else zoom)

    predict(stack[:3, :64, :64])
    start = time.perf_counter()
    restored = predict(stack)
    seconds = time.perf_counter() - start
    np.save(options.output, restored)
    return {"seconds": seconds, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the largest memory this process had, in MB; Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    return tuple(float(part) for part in text.split(","))


def main() -> None:
    """Train or restore, as asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=["train", "restore"])
    parser.add_argument("--planes", type=Path, nargs="+")
    parser.add_argument("--stack", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--factor", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--taps", type=numbers, default=(1.0,), help="weights of a plane: W,W,W")
    parser.add_argument("--noise", type=float, default=0.0, help="deviation, in intensities")
    parser.add_argument("--documented", action="store_true", help="anisotropic_distortions")
    parser.add_argument("--as-returned", action="store_true", help="zoom by the factor itself")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    print(json.dumps(train(options) if options.task == "train" else restore(options)))


if __name__ == "__main__":
    main()
