"""Score volumes by SliceFID: channels, tile size, measured planes, notes on what limits scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.recorded import recorded_axis
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.evaluate import SLICES, recorded_factor
from isoslice.evaluation.slicefid.features import MIN_SIDE, Extractor
from isoslice.evaluation.slicefid.score import (
    SliceFid,
    count_notes,
    distances,
    features_of,
    size_of,
    summary,
)
from isoslice.evaluation.slicefid.slices import (
    SliceProtocol,
    auto_tile,
    check_settings,
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


def score_volumes(
    volumes: Sequence[Volume],
    real: Sequence[Volume],
    extractor: Extractor,
    *,
    protocol: SliceProtocol = "default",
    factor: int | None = None,
    stride: int = 1,
    tile: int | None = None,
    samples: int = 100,
    level: float = 0.95,
    seed: int = 0,
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
    protocol
        See `slices.slice_images`.
    factor
        Output planes per measured plane: with the default protocol, planes 0, k, 2k, ... are left
        out of XY. By default what each volume's provenance says; nothing where it says nothing.
    stride
        Step between slices of volumes, and between planes of stacks of real images.
    tile
        Side of tiles (default protocol). By default `slices.auto_tile` of all volumes and real
        images: the same for all, so that scores are comparable.
    samples, level, seed, progress
        As in `score.slicefid`.

    Raises
    ------
    DataError, SettingsError
        As `slices.slice_images` and `score.slicefid`, and if channels differ.
    """
    check_settings(protocol, stride, tile)
    progress = progress or Progress()
    planes = _planes(real, stride)
    channels = planes[0].shape[1]
    _check_channels(volumes, channels)
    lengths = [length for volume in volumes for length in volume.tczyx().shape[2:]]
    lengths += [length for stack in planes for length in stack.shape[2:]]
    side = tile or auto_tile(lengths)
    if side < MIN_SIDE:
        raise DataError(
            f"got volumes and images with a side of only {min(lengths)} pixels, expected at least "
            f"{MIN_SIDE} along Z, Y and X for features; score larger ones"
        )
    references = []
    for view in views(channels):
        chosen = [stack[:, view] for stack in planes]
        mapping = None if protocol == "msdsr" else intensity_mapping(chosen)
        cut = joined([plane_images(stack, protocol, mapping, side) for stack in chosen])
        title = "features of real images" + _of_channel(view, channels)
        references.append((view, mapping, features_of(cut, extractor, title, progress)))
    results = []
    for given in volumes:
        notes: list[str] = []
        along = recorded_axis(given)
        volume = turned(given, along)
        if along != "Z":
            notes.append(f"restored along {along}, which is called Z here")
        known = _known(volume, recorded_factor(volume, factor, notes), protocol, notes)
        _compare_scale(volume, real, notes)
        by_view, tiles = [], {}
        for view, mapping, features in references:
            sets = []
            for voxels in volume.tczyx()[:, view]:
                sets.append(
                    slice_images(voxels, protocol, mapping, known, side, stride, volume.source)
                )
                if (
                    mapping is not None
                    and (clipped := clipped_share(voxels, mapping)) > MAX_CLIPPED_SHARE
                ):
                    notes.append(
                        f"{clipped:.0%} of the voxels are outside of the real images' intensities"
                        f"{_of_channel(view, channels)}; check that both have the same units"
                    )
            pooled = {name: joined([cut[name] for cut in sets]) for name in SLICES}
            tiles = {name: size_of(pooled[name]) for name in SLICES}
            title = volume.source + _of_channel(view, channels)
            by_view.append(distances(pooled, features, extractor, samples, seed, title, progress))
        count = len(references[0][2].values)
        notes += _protocol_notes(protocol, stride, tiles)
        notes += count_notes(by_view[0], count, extractor.dims)
        axes, mean = summary(by_view, level)
        results.append(
            SliceFid(
                volume=volume.source,
                protocol=protocol,
                extractor=extractor.name,
                stride=stride,
                tile=tiles,
                axes=axes,
                mean=mean,
                real_images=count,
                notes=tuple(notes),
            )
        )
    return results


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


def _protocol_notes(
    protocol: SliceProtocol, stride: int, tiles: Mapping[str, tuple[int, int]]
) -> list[str]:
    notes = []
    if stride > 1:
        notes.append(f"1 slice in {stride} only: a quick look, not comparable with others")
    distorted = [f"{name} {h} x {w}" for name, (h, w) in tiles.items() if h != w]
    if distorted:
        notes.append(f"images that are no squares are stretched to squares: {', '.join(distorted)}")
    return notes


def _of_channel(view: Sequence[int], channels: int) -> str:
    return f", channel {view[0]}" if len(view) == 1 < channels else ""
