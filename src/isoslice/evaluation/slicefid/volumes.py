"""Score volumes by SliceFID: channels, tile size, measured planes, notes on what limits scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.normalization import Normalization
from isoslice.data.recorded import recorded_axis
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.evaluate import SLICES, recorded_factor
from isoslice.evaluation.slicefid.features import MIN_SIDE, Extractor, Features
from isoslice.evaluation.slicefid.score import (
    DEFAULTS,
    ScoreOptions,
    SliceFid,
    distances,
    features_of,
    scored,
    size_of,
)
from isoslice.evaluation.slicefid.slices import (
    SliceProtocol,
    SliceSet,
    auto_tile,
    clipped_share,
    intensity_mapping,
    joined,
    plane_images,
    slice_images,
    views,
)
from isoslice.runtime.progress import Progress

#: Share of clipped voxels above which a note asks whether units agree.
MAX_CLIPPED_SHARE = 0.05


@dataclass(frozen=True)
class _Reference:
    """The real images in one view of the channels; `label` names it, with several."""

    view: tuple[int, ...]
    label: str
    mapping: Normalization | None
    features: Features


def score_volumes(
    volumes: Sequence[Volume],
    real: Sequence[Volume],
    extractor: Extractor,
    options: ScoreOptions = DEFAULTS,
    *,
    factor: int | None = None,
    progress: Progress | None = None,
) -> list[SliceFid]:
    """Score volumes against the planes of real images or stacks.

    A true isotropic volume may be among the volumes: its score is the best to expect.
    Three channels count as RGB; of any other number each is scored by itself, then averaged. Time
    points are pooled.

    Parameters
    ----------
    volumes, real
        With the same channels, in the same order and units of intensity.
    extractor
        See `isoslice.evaluation.slicefid.features`.
    options
        How slices are cut and compared.
    factor
        Output planes per measured plane: with the default protocol, planes 0, k, 2k, ... are left
        out of XY. By default what each volume's provenance says; nothing where it says nothing.
    progress
        Receives the fraction done.

    Raises
    ------
    DataError, SettingsError
        As `slices.slice_images` and `score.slicefid`, and if channels differ.
    """
    progress = progress or Progress()
    planes = _planes(real, options.stride)
    _check_channels(volumes, planes[0].shape[1])
    options = replace(options, tile=options.tile or _common_tile(volumes, planes))
    references = _references(planes, extractor, options, progress)
    results = []
    for given in volumes:
        along = recorded_axis(given)
        volume = turned(given, along)
        notes = [] if along == "Z" else [f"restored along {along}, which is called Z here"]
        known = _known(volume, recorded_factor(volume, factor, notes), options.protocol, notes)
        _compare_scale(volume, real, notes)
        by_view, tile = [], {}
        for reference in references:
            sets = _slice_sets(volume, reference, known, options, notes)
            tile = {name: size_of(cut) for name, cut in sets.items()}
            title = volume.source + reference.label
            by_view.append(distances(sets, reference.features, extractor, options, title, progress))
        notes += _protocol_notes(options.stride, tile)
        count = len(references[0].features.values)
        results.append(scored(volume.source, by_view, count, extractor, options, tile, notes))
    return results


def _common_tile(volumes: Sequence[Volume], planes: Sequence[NDArray[np.generic]]) -> int:
    """Choose one side of tiles for all volumes and real images."""
    lengths = [length for volume in volumes for length in volume.tczyx().shape[2:]]
    lengths += [length for stack in planes for length in stack.shape[2:]]
    side = auto_tile(lengths)
    if side < MIN_SIDE:
        raise DataError(
            f"got volumes and images with a side of only {min(lengths)} pixels, expected at least "
            f"{MIN_SIDE} along Z, Y and X for features; score larger ones"
        )
    return side


def _references(
    planes: Sequence[NDArray[np.generic]],
    extractor: Extractor,
    options: ScoreOptions,
    progress: Progress,
) -> list[_Reference]:
    """Extract the features of real images (N, C, H, W), for each view of their channels."""
    references = []
    channels = planes[0].shape[1]
    for view in views(channels):
        chosen = [stack[:, view] for stack in planes]
        mapping = None if options.protocol == "msdsr" else intensity_mapping(chosen)
        cut = [plane_images(stack, options.protocol, mapping, options.tile) for stack in chosen]
        label = f", channel {view[0]}" if len(view) == 1 < channels else ""
        title = "features of real images" + label
        features = features_of(joined(cut), extractor, title, progress)
        references.append(_Reference(view, label, mapping, features))
    return references


def _slice_sets(
    volume: Volume,
    reference: _Reference,
    known: Sequence[int],
    options: ScoreOptions,
    notes: list[str],
) -> dict[str, SliceSet]:
    """Cut all time points of a volume as the reference was; note where many voxels are clipped."""
    sets, mapping = [], reference.mapping
    for voxels in volume.tczyx()[:, reference.view]:
        sets.append(
            slice_images(
                voxels,
                options.protocol,
                mapping,
                known,
                options.tile,
                options.stride,
                volume.source,
            )
        )
        clipped = 0.0 if mapping is None else clipped_share(voxels, mapping)
        if clipped > MAX_CLIPPED_SHARE:
            notes.append(
                f"{clipped:.0%} of the voxels are outside of the real images' intensities"
                f"{reference.label}; check that both have the same units"
            )
    return {name: joined([cut[name] for cut in sets]) for name in SLICES}


def _check_channels(volumes: Sequence[Volume], channels: int) -> None:
    for volume in volumes:
        if volume.size("C") != channels:
            raise DataError(
                f"{volume.source}: got {volume.size('C')} channel(s), expected {channels} as in "
                "the real images; pick the same channels of both"
            )


def _planes(real: Sequence[Volume], stride: int) -> list[NDArray[np.generic]]:
    """List the planes of the real images, (N, C, H, W) for each size of image."""
    stacks: dict[tuple[int, ...], list[NDArray[np.generic]]] = {}
    for volume in real:
        view = volume.tczyx().swapaxes(1, 2)
        planes = view.reshape(-1, *view.shape[2:])[::stride]
        stacks.setdefault(planes.shape[1:], []).append(planes)
    if len({shape[0] for shape in stacks}) != 1:
        raise DataError(
            f"got real images with {sorted({shape[0] for shape in stacks})} channels, expected at "
            "least one image, and the same channels in all"
        )
    return [np.concatenate(planes) for planes in stacks.values()]


def _known(
    volume: Volume, factor: int | None, protocol: SliceProtocol, notes: list[str]
) -> range | tuple[int, ...]:
    if factor is None or protocol == "msdsr":
        return ()
    notes.append(f"measured planes (0, {factor}, {2 * factor}, ...) are left out of XY")
    return range(0, volume.size("Z"), factor)


def _compare_scale(volume: Volume, real: Sequence[Volume], notes: list[str]) -> None:
    steps = volume.voxel_size
    if steps is None:
        return
    if max(steps) / min(steps) > 1.02:
        notes.append(
            f"voxels are {steps.z:g} x {steps.y:g} x {steps.x:g}, no cubes: XZ and YZ slices are "
            "distorted beside the real images"
        )
    for image in real:
        pixel = image.spacing.get("X")
        if pixel and image.unit == volume.unit and abs(pixel / steps.x - 1) > 0.02:
            notes.append(
                f"pixels of {image.source} are {pixel:g} wide, the volume's {steps.x:g}: scores "
                "compare different magnifications"
            )
            return


def _protocol_notes(stride: int, tile: Mapping[str, tuple[int, int]]) -> list[str]:
    notes = []
    if stride > 1:
        notes.append(f"1 slice in {stride} only: a quick look, not comparable with others")
    distorted = [f"{name} {h} x {w}" for name, (h, w) in tile.items() if h != w]
    if distorted:
        notes.append(f"images that are no squares are stretched to squares: {', '.join(distorted)}")
    return notes
