"""How much detail is strengthened: until restored slices are as rough as measured planes.

A few steps, by two directions that take turns, give too little fine detail; by how much depends on
the specimen, the spacing and how long the network was trained, and on how far a plane is from the
next measured one. Roughness within planes (the mean absolute difference of neighbours along Y and
X) is known from the measured ones; along Z it is as large, but for a specimen that is not alike in
all directions (`anisotropy`). A few pieces of the drawn volume tell the gains that give it to them;
they then hold for all of it.

Detail that nobody measured costs accuracy, most in a noisy specimen. How much accuracy there is to
spend can be told from the stack: rows hidden in measured planes show the error e of linear
interpolation (`linear_error`), times `anisotropy`. The mean m is an expectation, so its error is
uncorrelated with what it changes, and is e - |m - linear|^2; invented detail adds its own power. So
the gains stop where that sum reaches e plus `LOSS` decibels.

Coarse detail, slow along Z, costs much of that and gives little roughness along Z. But noise that
lacks it looks unreal: where fine detail makes volumes rougher along Z than they should be, compared
with roughness within planes, the specimen is noisy, and coarse detail is kept (`BALANCE`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.config import ModelConfig
from isoslice.detail import Gains, soften, split_detail, usual_grain
from isoslice.geometry import PlaneGrid
from isoslice.interpolate import interpolate
from isoslice.masks import even_rows, fill_rows
from isoslice.stretch import unstretch

#: Pieces looked at, and from how many places a side each is taken; their size: so many intervals
#: between measured planes, and voxels along Y and X.
COUNT, PLACES, INTERVALS, SIDE = 4, 4, 8, 64
#: Least and largest gain, and how many are tried between them.
LIMITS, TRIED = (0.5, 4.5), 25
#: Roughness within restored planes, relative to measured ones, is sought between these.
LEVELS = (0.5, 1.5)
#: Expected PSNR of a sample below that of linear interpolation, in dB, at most. Measured losses are
#: a little smaller (docs/experiments.md).
LOSS = 0.85

#: Shares of coarse detail that are tried after the whole, until roughness along Z leads that within
#: planes by this factor. Of noisy specimens all of it stays; elsewhere it costs more than it gives.
COARSE, BALANCE = (0.75, 0.5, 0.25, 0.0), 1.1

#: A part of a volume or of planes: along Z, Y and X.
Place = tuple[slice, slice, slice]


def pieces(planes: NDArray[np.float32]) -> list[Place]:
    """Cut planes (C, n, Y, X) into pieces spread over the depth and over what the planes show.

    At each of `COUNT` depths, the piece is taken at which the sum of roughness over places, row by
    row, passes a certain share: rarely an empty one, and on a diagonal where all are alike. A small
    stack has fewer than `COUNT`: the same piece is not looked at twice.
    """
    _, n, height, width = planes.shape

    def parts(size: int, whole: int, count: int) -> list[slice]:
        starts = ((i + 0.5) / count * max(0, whole - size) for i in range(count))
        return [slice(round(start), min(round(start) + size, whole)) for start in starts]

    found: list[Place] = []
    lateral = [(y, x) for y in parts(SIDE, height, PLACES) for x in parts(SIDE, width, PLACES)]
    for i, z in enumerate(parts(INTERVALS + 1, n, COUNT)):
        here = (torch.from_numpy(np.ascontiguousarray(planes[:, z, y, x])) for y, x in lateral)
        sums = np.cumsum([float(roughness(piece).mean(dim=1).sum()) for piece in here])
        share = (i * (PLACES + 1) + 0.5) / PLACES**2
        piece = (z, *lateral[int(np.searchsorted(sums, share * sums[-1]))])
        if piece not in found:
            found.append(piece)
    return found


def drawn_places(looked_at: Sequence[Place], grid: PlaneGrid) -> list[Place]:
    """Say where pieces of the measured planes lie in the volume."""
    return [
        (slice(grid.known[depth.start], grid.known[depth.stop - 1] + 1), y, x)
        for depth, y, x in looked_at
    ]


def roughness(planes: Tensor) -> Tensor:
    """Mean absolute difference of neighbours along Y and X, of each plane (C, n, Y, X): (C, n)."""
    along = [planes.diff(dim=dim).abs().flatten(2) for dim in (2, 3)]
    return torch.cat(along, dim=2).mean(dim=2)


def linear_error(planes: Tensor, factor: int) -> Tensor:
    """Mean squared error of linear interpolation within planes (C, n, Y, X): (C,).

    Of every `factor` rows, then columns, all but one are hidden. Not a number in planes that are
    smaller than that.
    """
    errors = []
    for images in (planes, planes.transpose(2, 3)):
        images = images[:, :, : (images.shape[2] - 1) // factor * factor + 1]
        known = even_rows(images.shape[2], factor)
        filled = fill_rows(images, known.expand(len(images), -1))
        errors.append((filled - images)[:, :, ~known].square().flatten(1))
    return torch.cat(errors, dim=1).mean(dim=1)


def midpoint_error(planes: Tensor, dim: int, step: int) -> Tensor:
    """Mean squared error of voxels as means of those `step` before and after them, (C,).

    Not a number where `planes` (C, n, Y, X) are too few, or too small.
    """
    inside = max(0, planes.shape[dim] - 2 * step)
    start = 0 if not inside else step
    before, at, after = (planes.narrow(dim, i * start, inside) for i in range(3))
    return (at - (before + after) / 2).square().flatten(1).mean(dim=1)


def anisotropy(pieces: Sequence[Tensor], factor: int) -> Tensor:
    """How much larger errors are between planes than between rows as far apart, (C,).

    From measured planes as means of their neighbours, against voxels as means of those `factor` to
    either side. Where that cannot be told, 1.
    """
    across = sum(midpoint_error(piece, 1, 1) for piece in pieces)
    within = sum(midpoint_error(piece, dim, factor) / 2 for piece in pieces for dim in (2, 3))
    return torch.as_tensor(across / within).nan_to_num(nan=1.0, posinf=1.0)


def plane_distances(grid: PlaneGrid) -> Tensor:
    """How far each plane is from the next measured one, (grid.depth,)."""
    known = torch.tensor(grid.known)
    return (torch.arange(grid.depth)[:, None] - known).abs().amin(dim=1)


class Piece(NamedTuple):
    """A piece of the stack, and of what was drawn between its planes, (C, planes, Y, X)."""

    measured: Tensor
    #: Interpolated linearly.
    linear: Tensor
    #: Restored without detail; and that detail, of which measured planes have none. Stretched.
    mean: Tensor
    fine: Tensor
    coarse: Tensor
    #: Of each plane from the next measured one, (planes,).
    distance: Tensor


def drawn_pieces(
    config: ModelConfig,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    base: Tensor,
    mean: Tensor,
    sample: Tensor,
) -> list[Piece]:
    """Cut pieces of what was drawn; arguments as in `detail_gains`.

    The dial stands at all of the detail: turned down, planes are to be smoother.
    """
    found = []
    looked_at = pieces(planes)
    for (depth, *lateral), drawn in zip(looked_at, drawn_places(looked_at, grid), strict=True):
        measured = np.ascontiguousarray(planes[(slice(None), depth, *lateral)])
        part = PlaneGrid(tuple(index - drawn[0].start for index in grid.known[depth]))
        if part.mask.all():
            continue
        place = (slice(None), *drawn)
        detail = sample[place] - mean[place]
        for channel in detail:
            soften(channel, usual_grain(config))
        linear = torch.from_numpy(interpolate(measured.swapaxes(0, 1), part)).transpose(0, 1)
        hidden = torch.from_numpy(~part.mask).to(base.device)[:, None, None]
        fine, coarse = (band * hidden for band in split_detail(detail, config.sampler.detail_sigma))
        found.append(
            Piece(
                torch.from_numpy(measured).to(base.device),
                linear.to(base.device),
                base[place] + mean[place],
                fine,
                coarse,
                plane_distances(part).to(base.device),
            )
        )
    return found


def gains_for(wanted: Tensor, gains: Tensor, rough: Tensor) -> Tensor:
    """Read off the gains that give a wanted roughness.

    Parameters
    ----------
    wanted
        Roughness, (C,).
    gains, rough
        Rising gains (G,), and the roughness that each gives, (C, distances, G).

    Returns
    -------
    Gains, (C, distances): interpolated, the first or the last one where that is not enough.
    """
    rough = rough.cummax(dim=2).values.contiguous()
    sought = wanted[:, None, None].expand(*rough.shape[:2], 1).contiguous()
    above = torch.searchsorted(rough, sought).clamp(1, len(gains) - 1)
    low, high = rough.gather(2, above - 1), rough.gather(2, above)
    share = ((sought - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return torch.lerp(gains[above - 1], gains[above], share)[..., 0]


def detail_gains(
    config: ModelConfig,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    base: Tensor,
    mean: Tensor,
    sample: Tensor,
) -> Gains:
    """Find the gains of detail.

    Each distance from the next measured plane has a gain of its own, so that planes are alike.
    Their roughness rises until XZ and YZ slices are as rough as measured planes say, along Z and
    across, or until accuracy is spent. Coarse detail makes them rough across alone: of it, never
    strengthened, as much is kept as lets roughness along Z lead.

    Parameters
    ----------
    config
        The model's settings.
    planes
        Measured planes, normalised, shape (C, n, Y, X).
    grid
        Where they lie.
    base, mean, sample
        Interpolated volume, stretched, and the residuals that `sampler.draw` gives for it,
        (C, grid.depth, Y, X).

    Returns
    -------
    For each channel and plane.
    """
    looked_at = drawn_pieces(config, planes, grid, base, mean, sample)
    if not looked_at:
        return Gains(*torch.ones(2, len(planes), grid.depth))
    measured = [piece.measured for piece in looked_at]
    flat = torch.cat([piece.flatten(1) for piece in measured], dim=1)
    lowest, highest = (extreme[:, None, None, None] for extreme in flat.aminmax(dim=1))
    distances = torch.cat([piece.distance for piece in looked_at])
    farthest = int(distances.max())
    of_distance = torch.nn.functional.one_hot(distances)[:, 1:].float()
    of_distance /= of_distance.sum(dim=0)

    def average(values: Iterable[Tensor]) -> Tensor:
        return torch.stack(list(values)).mean(dim=0)

    def slow(gains: Tensor, coarse: Tensor) -> Tensor:
        """Gains of coarse detail, its share (C,) at most."""
        if config.distilled is not None:  # its detail holds what others' mean does
            return torch.ones_like(gains)
        return gains.clamp(max=1) * coarse[:, None]

    def restored(gains: Tensor, coarse: Tensor) -> list[Tensor]:
        """Pieces by gains (C, farthest) and (C,), no darker nor brighter than measured planes."""
        both = torch.stack([gains, slow(gains, coarse)])
        of_plane = torch.nn.functional.pad(both, (1, 0))
        volumes = []
        for piece in looked_at:
            g, h = of_plane[:, :, piece.distance, None, None]
            drawn = g * piece.fine + h * piece.coarse
            volumes.append(unstretch(piece.mean + drawn, config.softening))
        return [volume.clamp(lowest, highest) for volume in volumes]

    def within(volumes: Sequence[Tensor]) -> Tensor:
        """Roughness along Y and X at each distance, (C, farthest)."""
        return torch.cat([roughness(volume) for volume in volumes], dim=1) @ of_distance

    def across(volumes: Sequence[Tensor]) -> Tensor:
        """Roughness along Z, (C,)."""
        return average(volume.diff(dim=1).abs().mean(dim=(1, 2, 3)) for volume in volumes)

    def change(volumes: Iterable[Tensor], others: Iterable[Tensor]) -> Tensor:
        """Mean squared difference of planes that were not measured, (C,)."""
        return average(
            (a - b)[:, p.distance > 0].square().mean(dim=(1, 2, 3))
            for a, b, p in zip(volumes, others, looked_at, strict=True)
        )

    wanted = average(roughness(piece).mean(dim=1) for piece in measured)
    factor = max(2, round((grid.depth - 1) / (len(grid.known) - 1)))
    unlike = anisotropy(measured, factor)
    none = wanted.new_zeros(len(wanted), farthest)
    means = restored(none, torch.zeros_like(wanted))
    if config.distilled is None:
        error = average(linear_error(piece, factor) for piece in measured) * unlike
        spare = (10 ** (LOSS / 10) - 1) * error
        allowed = change(means, (piece.linear for piece in looked_at)) + spare
    else:  # such a network gives no mean
        allowed = torch.full_like(wanted, torch.inf)

    tried = torch.linspace(*LIMITS, TRIED, device=wanted.device)

    def search(coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Gains (C, farthest), and roughness along Z over that across, as wanted: 1, (C,)."""
        rough = torch.stack([within(restored(none + gain, coarse)) for gain in tried], dim=2)
        low, high = (torch.full_like(wanted, level) for level in LEVELS)
        for _ in range(12):  # bisection: more detail is rougher, and costs more
            level = (low + high) / 2
            volumes = restored(gains_for(level * wanted, tried, rough), coarse)
            found = within(volumes).mean(dim=1) + across(volumes)
            enough = (found >= (1 + unlike.sqrt()) * wanted) | (change(volumes, means) >= allowed)
            low, high = torch.where(enough, low, level), torch.where(enough, level, high)
        gains = gains_for((low + high) / 2 * wanted, tried, rough)
        volumes = restored(gains, coarse)
        return gains, across(volumes) / within(volumes).mean(dim=1) / unlike.sqrt()

    coarse = torch.ones_like(wanted)
    gains, balance = search(coarse)
    for share in COARSE if config.distilled is None else ():
        if (balance >= BALANCE).all():
            break
        less = torch.where(balance >= BALANCE, coarse, share)
        (gains, balance), coarse = search(less), less
    everywhere = plane_distances(grid).clamp(1, farthest).to(gains.device) - 1
    return Gains(gains[:, everywhere], slow(gains, coarse)[:, everywhere])
