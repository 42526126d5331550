"""SliceFID: how much a volume's slices look like real 2D images, along all three axes.

The FID of the volume's XY, XZ and YZ slices against real images, and the mean of the three, as
MSDSR (arXiv 2404.09425) reports it; the KID beside it, and intervals for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.evaluate import SLICES
from isoslice.evaluation.slicefid.distances import (
    Statistic,
    bootstrap_values,
    fid,
    fid_notes,
    interval,
    kid,
)
from isoslice.evaluation.slicefid.features import Extractor, Features, check_comparable, extract
from isoslice.evaluation.slicefid.slices import SliceProtocol, SliceSet, check_settings
from isoslice.runtime.progress import Progress

STATISTICS: tuple[Statistic, ...] = ("fid", "kid")


@dataclass(frozen=True)
class AxisScore:
    """Distances of one set of slices from the real images; smaller is better.

    Attributes
    ----------
    fid, kid
        See `distances.fid` and `distances.kid`.
    fid_low, fid_high, kid_low, kid_high
        Ends of the intervals (`distances.bootstrap_interval`), None where there are none.
    images
        Number of images that were compared with the real ones.
    """

    fid: float
    fid_low: float | None
    fid_high: float | None
    kid: float
    kid_low: float | None
    kid_high: float | None
    images: int


@dataclass(frozen=True)
class SliceFid:
    """SliceFID of one volume; ``dataclasses.asdict`` gives plain data.

    Attributes
    ----------
    volume
        Its source.
    protocol, extractor, stride
        How it was scored; scores compare only where these agree.
    tile
        Height and width of the images of each direction, in pixels.
    axes
        Per direction, ``XY``, ``XZ``, ``YZ``; mean over channels unless they are RGB.
    mean
        Mean of the three: the SliceFID.
    real_images
        Number of real images (tiles, for the default protocol).
    notes
        What the reader of the scores must know.
    """

    volume: str
    protocol: SliceProtocol
    extractor: str
    stride: int
    tile: dict[str, tuple[int, int]]
    axes: dict[str, AxisScore]
    mean: AxisScore
    real_images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ScoreOptions:
    """How slices are cut and compared.

    Attributes
    ----------
    protocol
        See `slices.slice_images`.
    stride
        Step between slices of volumes, and between planes of stacks of real images.
    tile
        Side of tiles (default protocol). By default `slices.auto_tile` of all volumes and real
        images: the same for all, so that scores are comparable.
    samples, seed
        Of the intervals. The three directions are resampled independently, against the same real
        images; slices of two directions share voxels, which the mean's interval ignores.
    """

    protocol: SliceProtocol = "default"
    stride: int = 1
    tile: int | None = None
    samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `SettingsError` if one is out of its range."""
        check_settings(self.protocol, self.stride, self.tile)


#: As `isoslice slicefid` scores unless told otherwise.
DEFAULTS = ScoreOptions()


@dataclass(frozen=True)
class Distance:
    """Distances of one set of images from the real ones, and values for resampled groups."""

    images: int
    estimates: dict[Statistic, float] = field(default_factory=dict)
    values: dict[Statistic, NDArray[np.float64]] = field(default_factory=dict)


def slicefid(
    volume_sets: Mapping[str, SliceSet],
    real: SliceSet | Features,
    extractor: Extractor,
    options: ScoreOptions = DEFAULTS,
    *,
    source: str = "volume",
    progress: Progress | None = None,
) -> SliceFid:
    """Score the slices of a volume of one channel, or of an RGB one.

    Parameters
    ----------
    volume_sets
        What `slices.slice_images` returns.
    real
        What `slices.plane_images` returns, or its features by the same extractor.
    extractor
        See `isoslice.evaluation.slicefid.features`.
    options
        How the slices were cut, and how to compare them.
    source
        Recorded in the result.
    progress
        Receives the fraction done.

    Raises
    ------
    DataError
        If images are too small or too few.
    SettingsError
        If `real` holds features of another extractor.
    """
    progress = progress or Progress()
    if isinstance(real, SliceSet):
        real = features_of(real, extractor, "features of real images", progress)
    by_direction = distances(volume_sets, real, extractor, options, source, progress)
    tile = {name: size_of(volume_sets[name]) for name in SLICES}
    return scored(source, [by_direction], len(real.values), extractor, options, tile, [])


def scored(
    source: str,
    channels: Sequence[Mapping[str, Distance]],
    real_images: int,
    extractor: Extractor,
    options: ScoreOptions,
    tile: dict[str, tuple[int, int]],
    notes: Sequence[str],
) -> SliceFid:
    """Average distances over channels and directions, and note where there are few images."""
    fewest = min(distance.images for distance in channels[0].values())
    return SliceFid(
        volume=source,
        protocol=options.protocol,
        extractor=extractor.name,
        stride=options.stride,
        tile=tile,
        axes={name: _score([channel[name] for channel in channels]) for name in SLICES},
        mean=_score([distance for channel in channels for distance in channel.values()]),
        real_images=real_images,
        notes=(*notes, *fid_notes(real_images, fewest, extractor.dims)),
    )


def slicefid_rows(results: Sequence[SliceFid]) -> list[tuple[str, ...]]:
    """Make one row per score: its name, then its value and interval for each result."""
    rows = []
    for statistic, digits in (("fid", 1), ("kid", 4)):
        for name in (*SLICES, "mean"):
            scores = [r.mean if name == "mean" else r.axes[name] for r in results]
            title = f"{statistic.upper()}, " + ("mean of three" if name == "mean" else name)
            rows.append((title, *(_cell(score, statistic, digits) for score in scores)))
    for name in SLICES:
        rows.append((f"images, {name}", *(str(r.axes[name].images) for r in results)))
    rows.append(("images, real", *(str(r.real_images) for r in results)))
    return rows


def _cell(score: AxisScore, statistic: str, digits: int) -> str:
    value, low, high = (getattr(score, statistic + end) for end in ("", "_low", "_high"))
    text = f"{value:.{digits}f}"
    return text if low is None else f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def features_of(cut: SliceSet, extractor: Extractor, title: str, progress: Progress) -> Features:
    """Extract the features of a set; progress is reported as the task `title`."""

    def report(fraction: float) -> None:
        progress.update(title, fraction, f"{len(cut.images)} images")

    return extract(cut.images, cut.groups, extractor, report)


def distances(
    sets: Mapping[str, SliceSet],
    real: Features,
    extractor: Extractor,
    options: ScoreOptions,
    title: str,
    progress: Progress,
) -> dict[str, Distance]:
    """Measure the distance of each direction's slices from the real images."""
    by_direction = {}
    for stream, name in enumerate(SLICES):
        features = features_of(sets[name], extractor, f"{title}, {name} slices", progress)
        by_direction[name] = distance_of(real, features, options.samples, options.seed, stream)
    return by_direction


def distance_of(real: Features, fake: Features, samples: int, seed: int, stream: int) -> Distance:
    """Compute FID and KID, and resample them; `stream` makes the draws of `fake` independent."""
    check_comparable(real, fake)
    a, b = real.values, fake.values
    distance = Distance(len(b), {"fid": fid(a, b), "kid": kid(a, b)})
    for statistic in STATISTICS:
        distance.values[statistic] = bootstrap_values(
            statistic, a, b, real.groups, fake.groups, samples, seed, stream
        )
    return distance


def _score(distances: Sequence[Distance]) -> AxisScore:
    """Average distances, and their resampled values: these share the real images drawn."""
    mean = {}
    for statistic in STATISTICS:
        estimate = float(np.mean([d.estimates[statistic] for d in distances]))
        values = np.mean([d.values[statistic] for d in distances], axis=0)
        mean[statistic] = interval(estimate, values)
    first, second = mean["fid"], mean["kid"]
    return AxisScore(
        fid=first.estimate,
        # An FID is never negative, though the normal interval around a small one can be.
        fid_low=None if first.low is None else max(0.0, first.low),
        fid_high=first.high,
        kid=second.estimate,
        kid_low=second.low,
        kid_high=second.high,
        images=sum(d.images for d in distances),
    )


def size_of(cut: SliceSet) -> tuple[int, int]:
    """Return height and width of the images, in pixels."""
    return cut.images.shape[2], cut.images.shape[3]
