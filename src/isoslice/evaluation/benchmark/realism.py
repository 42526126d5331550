"""Score the benchmark's volumes by SliceFID, in both protocols; each score is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.normalization import Normalization
from isoslice.data.subsampling import evenly_spaced
from isoslice.evaluation.benchmark.data import BenchmarkData
from isoslice.evaluation.benchmark.settings import BenchmarkSettings
from isoslice.evaluation.benchmark.store import Store
from isoslice.evaluation.evaluate import SLICES
from isoslice.evaluation.slicefid.features import Extractor, Features, extract
from isoslice.evaluation.slicefid.score import ScoreOptions, slicefid
from isoslice.evaluation.slicefid.slices import (
    SliceProtocol,
    SliceSet,
    auto_tile,
    intensity_mapping,
    joined,
    plane_images,
    slice_images,
)
from isoslice.runtime.progress import Progress


@dataclass(frozen=True)
class Scorer:
    """Scores volumes against the real images, with one intensity mapping and tile size.

    Attributes
    ----------
    extractor
        See `isoslice.evaluation.slicefid.features`.
    mapping
        Intensities that become black and white in the default protocol, from the real images.
    tile
        Side of the default protocol's tiles.
    """

    data: BenchmarkData
    settings: BenchmarkSettings
    store: Store
    extractor: Extractor
    mapping: Normalization
    tile: int
    progress: Progress

    def real(self, protocol: SliceProtocol) -> Features:
        """Extract the features of the real images; computed once."""
        sets = [plane_images(p, protocol, self.mapping, self.tile) for p in self.data.real]
        chosen = _subsample(joined(sets), self.settings.real_images)

        def compute() -> NDArray[np.float32]:
            title = f"features of {len(chosen.images)} real images"
            return self.extractor(chosen.images, lambda part: self.progress.update(title, part))

        values = self.store.array(f"features/real, {protocol}", compute)
        return Features(values, self.extractor.name, chosen.groups)

    def score(
        self,
        name: str,
        volume: Callable[[], NDArray[np.float32]],
        known: Sequence[int],
        protocol: SliceProtocol,
    ) -> dict[str, Any]:
        """Compute SliceFID of blocks (B, C, Z, Y, X) as plain data; `known` are measured planes."""

        def compute() -> dict[str, Any]:
            cut = [
                slice_images(block, protocol, self.mapping, known, self.tile, source=name)
                for block in volume()
            ]
            sets = {axis: joined([block[axis] for block in cut]) for axis in SLICES}
            if self.settings.images_per_axis is not None:
                limit = self.settings.images_per_axis
                sets = {axis: _subsample(images, limit) for axis, images in sets.items()}
            real, settings = self.real(protocol), self.settings
            options = ScoreOptions(protocol, samples=settings.resamples, seed=settings.seed)
            return asdict(
                slicefid(sets, real, self.extractor, options, source=name, progress=self.progress)
            )

        return self.store.record(f"slicefid/{protocol}/{name}", compute)

    def features(self, images: SliceSet, title: str) -> Features:
        """Extract the features of any set of images."""

        def report(part: float) -> None:
            self.progress.update(title, part)

        return extract(images.images, images.groups, self.extractor, report)


def make_scorer(
    data: BenchmarkData,
    settings: BenchmarkSettings,
    store: Store,
    extractor: Extractor,
    progress: Progress,
) -> Scorer:
    """Choose one intensity mapping and one tile for all volumes and real images."""
    lengths = [*data.truth.shape[2:]]
    lengths += [length for planes in data.real for length in planes.shape[2:]]
    return Scorer(
        data,
        settings,
        store,
        extractor,
        intensity_mapping(data.real),
        auto_tile(lengths),
        progress,
    )


def _subsample(images: SliceSet, limit: int) -> SliceSet:
    """Choose at most `limit` images, evenly spaced."""
    if len(images.images) <= limit:
        return images
    chosen = evenly_spaced(len(images.images), limit)
    return SliceSet(images.images[chosen], images.groups[chosen])
