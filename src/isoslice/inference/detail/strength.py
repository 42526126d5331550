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
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from isoslice.data.grid import PlaneGrid
from isoslice.data.roughness import anisotropy, linear_error, roughness
from isoslice.inference.detail.blend import Gains
from isoslice.inference.detail.patches import Parts, Piece, Read, drawn_pieces
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import unstretch
from isoslice.runtime.device import at_once
from isoslice.runtime.threads import one_thread

#: Least and largest gain, and how many are tried between them.
LIMITS, TRIED = (0.5, 4.5), 25
#: Roughness within restored planes, relative to measured ones, is sought between these.
LEVELS = (0.5, 1.5)
#: Expected PSNR of a sample below that of linear interpolation, in dB, at most. Measured losses are
#: a little smaller (docs/benchmarks/experiments.md).
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
    """Compute one gain per distance to the nearest measured plane.

    Gains are raised until the mean absolute gradient of restored pieces, along Z and within planes,
    matches that of measured planes, or until the expected loss of PSNR reaches `LOSS`. Coarse
    detail raises only the gradient within planes, so it is attenuated where that leads, and never
    amplified.

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
    pieces = _Pieces.of(config, looked_at)
    measured = [piece.measured for piece in looked_at]
    wanted = _average(roughness(piece).mean(dim=1) for piece in measured)
    intervals = [(len(p.distance) - 1) / (p.measured.shape[1] - 1) for p in looked_at]
    factor = max(2, round(sum(intervals) / len(intervals)))
    unlike = anisotropy(measured, factor)
    none = wanted.new_zeros(1, len(wanted), pieces.farthest)
    means = pieces.restored(none, torch.zeros_like(wanted))
    if config.distilled is None:
        error = _average(linear_error(piece, factor) for piece in measured) * unlike
        spare = (10 ** (LOSS / 10) - 1) * error
        linear = torch.cat([piece.linear for piece in looked_at], dim=1)
        allowed = pieces.change(means, linear[None])[0] + spare
    else:  # such a network gives no mean
        allowed = torch.full_like(wanted, torch.inf)
    tried = torch.linspace(*LIMITS, TRIED, device=wanted.device)
    together = torch.split(tried[:, None, None], at_once(means.numel(), means.device))

    def search(coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Gains (C, farthest), and roughness along Z over that across, as wanted: 1, (C,)."""
        rough = torch.cat([pieces.within(pieces.restored(none + g, coarse)) for g in together])
        rough = rough.movedim(0, 2)
        low, high = (torch.full_like(wanted, level) for level in LEVELS)
        for _ in range(12):  # bisection: more detail is rougher, and costs more
            level = (low + high) / 2
            volumes = pieces.restored(gains_for(level * wanted, tried, rough)[None], coarse)
            roughnesses = pieces.within(volumes)[0].mean(dim=1) + pieces.across(volumes)[0]
            enough = roughnesses >= (1 + unlike.sqrt()) * wanted
            enough |= pieces.change(volumes, means)[0] >= allowed
            low, high = torch.where(enough, low, level), torch.where(enough, level, high)
        gains = gains_for((low + high) / 2 * wanted, tried, rough)
        volumes = pieces.restored(gains[None], coarse)
        ratio = pieces.across(volumes)[0] / pieces.within(volumes)[0].mean(dim=1)
        return gains, ratio / unlike.sqrt()

    coarse = torch.ones_like(wanted)
    gains, balance = search(coarse)
    for share in COARSE if config.distilled is None else ():
        if (balance >= BALANCE).all():
            break
        less = torch.where(balance >= BALANCE, coarse, share)
        (gains, balance), coarse = search(less), less
    return Gains(gains, pieces.slow(gains, coarse))


@dataclass(frozen=True)
class _Pieces:
    """Pieces of a stack, side by side along Z, to be restored with any gains, several at once.

    Attributes
    ----------
    config
        The model's settings.
    mean, fine, coarse
        What was drawn for them, (C, planes, Y, X); see `patches.Piece`.
    distance
        Of each plane from the next measured one, (planes,).
    own
        Planes of each piece, and which of them were not measured, counted in it.
    lowest, highest
        Intensities of measured planes, (C, 1, 1, 1).
    of_distance
        Shares of all planes of the pieces in the average of each distance, (planes, farthest).
    """

    config: ModelConfig
    mean: Tensor
    fine: Tensor
    coarse: Tensor
    distance: Tensor
    own: Sequence[tuple[slice, Tensor]]
    lowest: Tensor
    highest: Tensor
    of_distance: Tensor

    @classmethod
    def of(cls, config: ModelConfig, pieces: Sequence[Piece]) -> _Pieces:
        """Measure what all of them have in common."""
        flat = torch.cat([piece.measured.flatten(1) for piece in pieces], dim=1)
        lowest, highest = (extreme[:, None, None, None] for extreme in flat.aminmax(dim=1))
        drawn = [(piece.mean, piece.fine, piece.coarse) for piece in pieces]
        mean, fine, coarse = (torch.cat(each, dim=1) for each in zip(*drawn, strict=True))
        distances = torch.cat([piece.distance for piece in pieces])
        of_distance = torch.nn.functional.one_hot(distances)[:, 1:].float()
        shares = of_distance / of_distance.sum(dim=0)
        ends = [0, *accumulate(len(piece.distance) for piece in pieces)]
        own = [
            (slice(*ends), piece.distance.nonzero()[:, 0])
            for piece, ends in zip(pieces, pairwise(ends), strict=True)
        ]
        return cls(config, mean, fine, coarse, distances, own, lowest, highest, shares)

    @property
    def farthest(self) -> int:
        """Largest distance from a measured plane."""
        return self.of_distance.shape[1]

    def slow(self, gains: Tensor, coarse: Tensor) -> Tensor:
        """Gains of coarse detail, its share (C,) at most."""
        if self.config.distilled is not None:  # its detail holds what others' mean does
            return torch.ones_like(gains)
        return gains.clamp(max=1) * coarse[:, None]

    def restored(self, gains: Tensor, coarse: Tensor) -> Tensor:
        """Restore with each of several gains (G, C, farthest) and with (C,): (G, C, planes, Y, X).

        Within the range of measured planes.
        """
        both = torch.stack([gains, self.slow(gains, coarse)])
        g, h = torch.nn.functional.pad(both, (1, 0))[..., self.distance, None, None]
        volumes = (g * self.fine).add_(h * self.coarse).add_(self.mean)
        return unstretch(volumes, self.config.softening).clamp_(self.lowest, self.highest)

    def within(self, volumes: Tensor) -> Tensor:
        """Measure roughness along Y and X at each distance, (G, C, farthest)."""
        rough = roughness(volumes.flatten(0, 1)).reshape(volumes.shape[:3])
        return torch.matmul(rough, self.of_distance)

    def across(self, volumes: Tensor) -> Tensor:
        """Measure roughness along Z, (G, C)."""
        pieces = (volumes[:, :, planes] for planes, _ in self.own)
        return _average(piece.diff(dim=2).abs_().mean(dim=(2, 3, 4)) for piece in pieces)

    def change(self, volumes: Tensor, others: Tensor) -> Tensor:
        """Compute the mean squared difference of planes that were not measured, (G, C)."""
        squares = (volumes - others).square_()
        return _average(
            squares[:, :, planes].index_select(2, hidden).mean(dim=(2, 3, 4))
            for planes, hidden in self.own
        )


def _average(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(dim=0)
