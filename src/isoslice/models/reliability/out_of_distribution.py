"""Does a stack look like what a model learned from: a distance of texture, and a threshold.

Small crops are described by a dozen numbers: how much pixels differ at several distances, noise,
how sparse differences are, and how intensities are distributed. The training crops' mean and
covariance give every crop a distance (Mahalanobis 1936); the distances of crops that were kept
aside say what is usual. A stack is unlike when its median crop is farther away than 99 of 100 of
those. Nothing is learned, nothing is downloaded, and it takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from isoslice.data.planes import PlaneStack

#: Side of crops at most; they are compared at the side that a model was given.
SIDE = 64
#: Crops of the training planes, of those kept aside, and of a stack that is looked at. Twice as
#: many are cut, and the half that shows more is described: plain background is alike everywhere.
TRAINED, HELD, LOOKED = 512, 256, 256
#: Distances in pixels at which differences are taken, those that fit into half a crop.
LAGS = (1, 2, 4, 8, 16)
#: Added to amplitudes before their logarithm: a thousandth of the intensity range.
FLOOR = 1e-3
#: Every number may be off by this much for free (logarithms: a tenth of an amplitude), whatever
#: little it varies in one specimen: another one of the same kind is never quite the same.
TOLERANCE = 0.1
#: Crops kept aside that are nearer than the threshold.
USUAL = 0.99
#: What the numbers are, in words, for messages; see `describe`.
WORDS = (
    *(f"differences over {lag} pixel{'s' * (lag > 1)}" for lag in LAGS),
    "noise",
    "evenness of texture",
    "evenness of texture over 4 pixels",
    "brightness",
    "contrast",
    "skewness of intensities",
)
FEATURES = len(WORDS)

Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Row = Annotated[tuple[Number, ...], Field(min_length=FEATURES, max_length=FEATURES)]


class Kind(BaseModel):
    """What one channel of the training images looks like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Of `describe`'s numbers.
    mean: Row
    covariance: Annotated[tuple[Row, ...], Field(min_length=FEATURES, max_length=FEATURES)]
    #: Distances of crops that were kept aside: their median, and what 99 of 100 are below.
    median: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    threshold: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _is_a_covariance(self) -> Kind:
        matrix = np.asarray(self.covariance)
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9):
            raise ValueError("covariance needs to be symmetric")
        if np.linalg.eigvalsh(matrix).min() < 1e-6:
            raise ValueError("covariance needs to be positive definite")
        return self

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mahalanobis distances of crops, (N,), from their numbers (N, `FEATURES`)."""
        factor = np.linalg.cholesky(np.asarray(self.covariance))
        white = np.linalg.solve(factor, (features - np.asarray(self.mean)).T)
        return np.asarray(np.sqrt(np.square(white).sum(0)))


class Familiar(BaseModel):
    """What a model's training images look like; small, and kept as JSON beside its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Of crops, in pixels.
    side: Annotated[int, Field(ge=32, le=SIDE)]
    channels: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=64)]


@dataclass(frozen=True)
class Likeness:
    """How like the training images a stack looks, of one channel.

    Attributes
    ----------
    distance
        Of the stack's median crop.
    threshold, usual
        What 99 of 100, and half, of the training images' own crops are below.
    beyond
        Share of the stack's crops above the threshold.
    differences
        The numbers that differ most, in words, with how many deviations; largest first.
    """

    distance: float
    threshold: float
    usual: float
    beyond: float
    differences: tuple[tuple[str, float], ...]

    @property
    def unlike(self) -> bool:
        """Whether to warn."""
        return self.distance > self.threshold

    @property
    def message(self) -> str | None:
        """What the user should know, or None."""
        if not self.unlike:
            return None
        most = "; ".join(f"{'more' if z > 0 else 'less'} {name}" for name, z in self.differences)
        return (
            f"the stack looks unlike the images that the model learned from ({self.beyond:.0%} of "
            f"its crops are stranger than 99% of theirs; {most}): train a model on such images, or "
            "go on from this one with --from"
        )


def describe(crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe square crops (N, side, side), intensities in [0, 1], by numbers (N, `FEATURES`).

    Logarithms of: the root mean squared difference of pixels at `LAGS` along Y and X; noise, from
    the median absolute second difference across both axes (Gaussian noise gives its deviation);
    the mean over the root mean squared difference at 1 and 4 pixels, which sparse edges make small;
    and the deviation of intensities. Beside these their mean and the cube root of their skewness.
    """
    images = crops.astype(np.float64)
    count, side = images.shape[:2]

    def differences(lag: int) -> NDArray[np.float64]:
        down, right = images[:, lag:] - images[:, :-lag], images[:, :, lag:] - images[:, :, :-lag]
        return np.concatenate([down.reshape(count, -1), right.reshape(count, -1)], axis=1)

    def log(values: Any) -> NDArray[np.float64]:
        return np.log(np.asarray(values) + FLOOR)

    steps = [differences(min(lag, side // 2)) for lag in LAGS]
    powers = [np.sqrt(np.square(step).mean(1)) for step in steps]
    corners = images[:, 1:, 1:] - images[:, 1:, :-1] - images[:, :-1, 1:] + images[:, :-1, :-1]
    noise = np.median(np.abs(corners.reshape(count, -1)), axis=1) / 2 / 0.6745
    sparse = [log(np.abs(steps[i]).mean(1)) - log(powers[i]) for i in (0, 2)]
    flat = images.reshape(count, -1)
    mean, deviation = flat.mean(1), flat.std(1)
    third = ((flat - mean[:, None]) ** 3).mean(1)
    skew = np.cbrt(third / (deviation**3 + FLOOR**3))
    columns = [*map(log, powers), log(noise), *sparse, mean, log(deviation), skew]
    return np.stack(columns, axis=1)


def cut_crops(
    planes: Sequence[NDArray[np.float32]], side: int, count: int, seed: int = 0
) -> NDArray[np.float32]:
    """Cut square crops at random places of planes (n, Y, X), the more varied half of `2 count`.

    Every stack of planes gives the same number of them; the result is (about count, side, side).
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for stack in planes:
        depth, height, width = stack.shape
        wanted = max(1, round(count / len(planes)))
        crops = np.empty((2 * wanted, side, side), np.float32)
        for crop in crops:
            z, y, x = (int(rng.integers(n)) for n in (depth, height - side + 1, width - side + 1))
            crop[:] = stack[z, y : y + side, x : x + side]
        most = np.argsort(-crops.std((1, 2)), kind="stable")[:wanted]
        chosen.append(crops[most])
    return np.concatenate(chosen)


def learn_familiar(train: Sequence[PlaneStack], held: Sequence[PlaneStack] = ()) -> Familiar:
    """Learn what images look like.

    Parameters
    ----------
    train
        Planes that the model learns from (see `planes.plane_stacks`), at least 32 pixels a side.
    held
        Planes kept aside (`planes.split`); where there are none, every fourth training crop is.
    """
    side = min(SIDE, *(min(stack.data.shape[2:]) for stack in (*train, *held)))
    kinds = []
    for channel in range(train[0].data.shape[1]):
        seen = describe(cut_crops(_normalised(train, channel), side, TRAINED))
        if held:
            aside = describe(cut_crops(_normalised(held, channel), side, HELD, seed=1))
        else:
            fourth = np.arange(len(seen)) % 4 == 3
            seen, aside = (seen[~fourth], seen[fourth]) if fourth.any() else (seen, seen)
        kinds.append(_kind(seen, aside))
    return Familiar(side=side, channels=tuple(kinds))


def look(familiar: Familiar, planes: Sequence[NDArray[np.float32]]) -> tuple[Likeness, ...]:
    """Compare a stack with what a model learned from, channel by channel.

    Parameters
    ----------
    familiar
        Of the model.
    planes
        Parts of the stack's measured planes, normalised, (C, n, Y, X); the same ones every time.

    Returns
    -------
    One a channel; nothing where planes are smaller than the crops to compare, or channels differ.
    """
    side = familiar.side
    planes = [part for part in planes if min(part.shape[2:]) >= side]
    if not planes or len(planes[0]) != len(familiar.channels):
        return ()
    found = []
    for channel, kind in enumerate(familiar.channels):
        features = describe(cut_crops([part[channel] for part in planes], side, LOOKED))
        distances = kind.distances(features)
        off = (features.mean(0) - np.asarray(kind.mean)) / np.sqrt(np.diag(kind.covariance))
        most = np.argsort(-np.abs(off))[:2]
        found.append(
            Likeness(
                distance=float(np.median(distances)),
                threshold=kind.threshold,
                usual=kind.median,
                beyond=float((distances > kind.threshold).mean()),
                differences=tuple((WORDS[i], float(off[i])) for i in most),
            )
        )
    return tuple(found)


def _kind(seen: NDArray[np.float64], aside: NDArray[np.float64]) -> Kind:
    spread = np.cov(seen.T) if len(seen) > 1 else np.zeros((FEATURES, FEATURES))
    spread = spread + TOLERANCE**2 * np.eye(FEATURES)
    kind = Kind(
        mean=tuple(seen.mean(0).tolist()),
        covariance=tuple(tuple(row) for row in spread.tolist()),
        median=1,
        threshold=1,
    )
    median, threshold = np.quantile(kind.distances(aside), (0.5, USUAL)).tolist()
    return kind.model_copy(update={"median": max(median, 1e-6), "threshold": max(threshold, 1e-6)})


def _normalised(stacks: Sequence[PlaneStack], channel: int) -> list[NDArray[np.float32]]:
    """Planes of one channel, (n, Y, X) each."""
    only = slice(channel, channel + 1)
    return [
        stack.normalization.of_channels(only).apply(stack.data[:, channel][None])[0]
        for stack in stacks
    ]
