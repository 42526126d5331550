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

import torch
from torch import Tensor

from isoslice.data.grid import PlaneGrid
from isoslice.data.roughness import anisotropy, linear_error, roughness
from isoslice.inference.detail.blend import Gains
from isoslice.inference.detail.patches import Parts, Piece, Read, drawn_pieces
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import unstretch
from isoslice.runtime.threads import one_thread

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


@torch.inference_mode()
def find_gains(
    config: ModelConfig, read: Read, shape: tuple[int, int, int], grid: PlaneGrid, drawn: Parts
) -> Gains:
    """Find the gains of detail of a whole volume, from a few pieces of it.

    Arguments as in `patches.drawn_pieces`; see `detail_gains`.
    """
    with one_thread():  # sums differ in their last digits by how they are shared among threads
        looked_at = drawn_pieces(config, read, shape, grid, drawn)
        channels = len(read((slice(0, 1), slice(0, 1), slice(0, 1))))
        return detail_gains(config, looked_at, channels)


def detail_gains(config: ModelConfig, looked_at: Sequence[Piece], channels: int) -> Gains:
    """Find the gains of detail.

    Each distance from the next measured plane has a gain of its own, so that planes are alike.
    Their roughness rises until XZ and YZ slices are as rough as measured planes say, along Z and
    across, or until accuracy is spent. Coarse detail makes them rough across alone: of it, never
    strengthened, as much is kept as lets roughness along Z lead.

    Parameters
    ----------
    config
        The model's settings.
    looked_at
        Pieces of the stack with what was drawn there.
    channels
        Of the stack.

    Returns
    -------
    For each channel and distance from 1, (C, farthest); one without any piece.
    """
    if not looked_at:
        return Gains(*torch.ones(2, channels, 1))
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
    intervals = [(len(p.distance) - 1) / (p.measured.shape[1] - 1) for p in looked_at]
    factor = max(2, round(sum(intervals) / len(intervals)))
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
    return Gains(gains, slow(gains, coarse))
