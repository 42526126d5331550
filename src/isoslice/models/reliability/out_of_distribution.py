"""Detect stacks whose texture differs from that of a model's training images.

Small crops are described by a dozen texture features: differences of pixels at several distances,
noise, sparseness of differences, and moments of intensity. The training crops' mean and covariance
define a distance (Mahalanobis 1936). A stack is out of distribution (OOD) if the distance of its
median crop exceeds that of 99% of held-out training crops. No network is involved; it takes a
fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack

#: Largest side of crops in pixels; the side used is stored with the model.
MAX_CROP_SIDE = 64
#: Crops of training planes, of held-out planes, and of a stack to score. Twice as many are cut, and
#: the half with more contrast is used: background looks alike everywhere.
TRAINING_CROPS, HELD_OUT_CROPS, STACK_CROPS = 512, 256, 256
#: Crops whose features are computed at once.
CROPS_AT_ONCE = 16
#: Distances in pixels at which differences are taken, limited to half a crop.
LAGS = (1, 2, 4, 8, 16)
#: Added to amplitudes before their logarithm, relative to the intensity range.
AMPLITUDE_FLOOR = 1e-3
#: Deviation added to that of every feature (in logarithms about 10% of an amplitude), to allow for
#: differences between specimens of the same kind.
TOLERANCE = 0.1
#: Share of held-out crops whose distance is below the threshold.
THRESHOLD_QUANTILE = 0.99
#: Names of the features in messages; see `texture_features`.
FEATURE_NAMES = (
    *(f"differences over {lag} pixel{'s' * (lag > 1)}" for lag in LAGS),
    "noise",
    "evenness of texture",
    "evenness of texture over 4 pixels",
    "brightness",
    "contrast",
    "skewness of intensities",
)
FEATURE_COUNT = len(FEATURE_NAMES)

_Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Distance = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
_PerFeature = Field(min_length=FEATURE_COUNT, max_length=FEATURE_COUNT)
_Row = Annotated[tuple[_Finite, ...], _PerFeature]


class TextureModel(BaseModel):
    """Distribution of texture features in one channel of the training images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: _Row
    covariance: Annotated[tuple[_Row, ...], _PerFeature]
    #: Median of held-out crops' distances, and their quantile `THRESHOLD_QUANTILE`.
    median: _Distance
    threshold: _Distance

    @model_validator(mode="after")
    def _is_a_covariance(self) -> TextureModel:
        matrix = np.asarray(self.covariance)
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9):
            raise ValueError("covariance needs to be symmetric")
        if np.linalg.eigvalsh(matrix).min() < 1e-6:
            raise ValueError("covariance needs to be positive definite")
        return self

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute Mahalanobis distances (N,) of crops with features (N, `FEATURE_COUNT`)."""
        factor = np.linalg.cholesky(np.asarray(self.covariance))
        white = np.linalg.solve(factor, (features - np.asarray(self.mean)).T)
        return np.asarray(np.sqrt(np.square(white).sum(0)))


class OodReference(BaseModel):
    """Texture of a model's training images, stored as JSON beside its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Side of crops, in pixels.
    side: Annotated[int, Field(ge=32, le=MAX_CROP_SIDE)]
    channels: Annotated[tuple[TextureModel, ...], Field(min_length=1, max_length=64)]


@dataclass(frozen=True)
class OodScore:
    """Distance of a stack from the training images, for one channel.

    Attributes
    ----------
    distance
        Median over the stack's crops.
    threshold, usual
        The 99% quantile and the median for held-out crops of the training images.
    beyond
        Share of the stack's crops above the threshold.
    differences
        Names of the features that differ most, with their z-scores; largest first.
    """

    distance: float
    threshold: float
    usual: float
    beyond: float
    differences: tuple[tuple[str, float], ...]

    @property
    def is_ood(self) -> bool:
        """Whether the stack is out of distribution."""
        return self.distance > self.threshold

    @property
    def message(self) -> str | None:
        """Warning for the user, or None."""
        if not self.is_ood:
            return None
        most = "; ".join(f"{'more' if z > 0 else 'less'} {name}" for name, z in self.differences)
        return (
            f"the stack looks unlike the images that the model learned from ({self.beyond:.0%} of "
            f"its crops are stranger than 99% of theirs; {most}): train a model on such images, or "
            "go on from this one with --from"
        )


def texture_features(crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute features (N, `FEATURE_COUNT`) of crops (N, side, side), intensities in [0, 1].

    Logarithms of: RMS differences of pixels at `LAGS` along Y and X; the noise's deviation, from
    the median absolute mixed second difference; the mean absolute over the RMS difference at 1 and
    4 pixels, which is small for sparse edges; and the deviation of intensities. Further the mean
    intensity and the cube root of the skewness.
    """
    few = [crops[i : i + CROPS_AT_ONCE] for i in range(0, len(crops), CROPS_AT_ONCE)]
    return np.concatenate([_features(some) for some in few])


def _features(crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute features of a few crops, which a processor's caches hold."""
    images = crops.astype(np.float64)
    count, side = images.shape[:2]

    def differences(lag: int) -> NDArray[np.float64]:
        down, right = images[:, lag:] - images[:, :-lag], images[:, :, lag:] - images[:, :, :-lag]
        return np.concatenate([down.reshape(count, -1), right.reshape(count, -1)], axis=1)

    def log(values: Any) -> NDArray[np.float64]:
        return np.log(np.asarray(values) + AMPLITUDE_FLOOR)

    steps = [differences(min(lag, side // 2)) for lag in LAGS]
    powers = [np.sqrt(np.square(step).mean(1)) for step in steps]
    corners = images[:, 1:, 1:] - images[:, 1:, :-1] - images[:, :-1, 1:] + images[:, :-1, :-1]
    noise = np.median(np.abs(corners.reshape(count, -1)), axis=1) / 2 / 0.6745
    sparse = [log(np.abs(steps[i]).mean(1)) - log(powers[i]) for i in (0, 2)]
    flat = images.reshape(count, -1)
    mean, deviation = flat.mean(1), flat.std(1)
    away = flat - mean[:, None]
    third = (away * away * away).mean(1)  # NumPy's power takes far longer
    skew = np.cbrt(third / (deviation**3 + AMPLITUDE_FLOOR**3))
    columns = [*map(log, powers), log(noise), *sparse, mean, log(deviation), skew]
    return np.stack(columns, axis=1)


def cut_crops(
    planes: Sequence[NDArray[Any]],
    side: int,
    count: int,
    seed: int = 0,
    scales: Sequence[Normalization] = (),
) -> NDArray[np.float32]:
    """Cut square crops at random positions of stacks of planes (n, Y, X).

    Of twice as many, the half with the largest deviation is kept; each stack contributes equally.
    With `scales`, one for each stack, crops are normalised. Returns (about count, side, side).
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for number, stack in enumerate(planes):
        depth, height, width = stack.shape
        share = max(1, round(count / len(planes)))
        crops = np.empty((2 * share, side, side), np.float32)
        for crop in crops:
            z, y, x = (int(rng.integers(n)) for n in (depth, height - side + 1, width - side + 1))
            part = stack[z, y : y + side, x : x + side]
            crop[:] = scales[number].apply(part[None])[0] if scales else part
        chosen.append(crops[np.argsort(-crops.std((1, 2)), kind="stable")[:share]])
    return np.concatenate(chosen)


def learn_reference(train: Sequence[PlaneStack], held: Sequence[PlaneStack] = ()) -> OodReference:
    """Fit the distribution of texture features of training images.

    Parameters
    ----------
    train
        Planes the model is trained on (see `planes.plane_stacks`), at least 32 pixels a side.
    held
        Held-out planes (`planes.split`); without any, every fourth training crop is held out.
    """
    side = min(MAX_CROP_SIDE, *(min(stack.data.shape[2:]) for stack in (*train, *held)))
    models = []
    for channel in range(train[0].data.shape[1]):
        planes, scales = _of_channel(train, channel)
        crops = cut_crops(planes, side, TRAINING_CROPS, scales=scales)
        fitted = texture_features(crops)
        if held:
            planes, scales = _of_channel(held, channel)
            crops = cut_crops(planes, side, HELD_OUT_CROPS, seed=1, scales=scales)
            held_out = texture_features(crops)
        else:
            fourth = np.arange(len(fitted)) % 4 == 3
            held_out = fitted[fourth] if fourth.any() else fitted
            fitted = fitted[~fourth]
        models.append(_fit_model(fitted, held_out))
    return OodReference(side=side, channels=tuple(models))


def score(reference: OodReference, planes: Sequence[NDArray[np.float32]]) -> tuple[OodScore, ...]:
    """Compare a stack with a model's training images, channel by channel.

    Parameters
    ----------
    reference
        Texture of the training images.
    planes
        Parts of the stack's measured planes, normalised, (C, n, Y, X).

    Returns
    -------
    One score a channel; empty if planes are smaller than crops, or numbers of channels differ.
    """
    side = reference.side
    planes = [part for part in planes if min(part.shape[2:]) >= side]
    if not planes or len(planes[0]) != len(reference.channels):
        return ()
    scores = []
    for channel, model in enumerate(reference.channels):
        crops = cut_crops([part[channel] for part in planes], side, STACK_CROPS)
        features = texture_features(crops)
        distances = model.distances(features)
        z = (features.mean(0) - np.asarray(model.mean)) / np.sqrt(np.diag(model.covariance))
        largest = np.argsort(-np.abs(z))[:2]
        scores.append(
            OodScore(
                distance=float(np.median(distances)),
                threshold=model.threshold,
                usual=model.median,
                beyond=float((distances > model.threshold).mean()),
                differences=tuple((FEATURE_NAMES[i], float(z[i])) for i in largest),
            )
        )
    return tuple(scores)


def _fit_model(fitted: NDArray[np.float64], held_out: NDArray[np.float64]) -> TextureModel:
    covariance = np.cov(fitted.T) if len(fitted) > 1 else np.zeros((FEATURE_COUNT, FEATURE_COUNT))
    covariance = covariance + TOLERANCE**2 * np.eye(FEATURE_COUNT)
    model = TextureModel(
        mean=tuple(fitted.mean(0).tolist()),
        covariance=tuple(tuple(row) for row in covariance.tolist()),
        median=1,
        threshold=1,
    )
    quantiles = np.quantile(model.distances(held_out), (0.5, THRESHOLD_QUANTILE))
    median, threshold = np.maximum(quantiles, 1e-6).tolist()
    return model.model_copy(update={"median": median, "threshold": threshold})


def _of_channel(
    stacks: Sequence[PlaneStack], channel: int
) -> tuple[list[NDArray[Any]], list[Normalization]]:
    """Return planes of one channel, (n, Y, X) each, as they are, and their normalisation."""
    only = slice(channel, channel + 1)
    planes = [stack.data[:, channel] for stack in stacks]
    return planes, [stack.normalization.of_channels(only) for stack in stacks]
