"""Distances between two sets of feature vectors: FID and KID, with bootstrap intervals.

Arrays in, numbers out; double precision throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, SettingsError

Statistic = Literal["fid", "kid"]
Floats = NDArray[np.float64]
#: A distance as a function of the counts of real images, and of fake ones, in a resample.
Weighted = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval; None where nothing could be resampled."""

    estimate: float
    low: float | None
    high: float | None


def fid(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Compute the Fréchet distance of two sets of features, modelled as Gaussian.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Heusel et al. 2017, arXiv 1706.08500,
    eq. 6), with unbiased covariances. The last trace is the sum of the singular values
    of ``F1 F2^T`` for any factors ``S = F^T F``, such as the centred features over the root of
    n - 1: exact without a matrix root, even if there are fewer images than dimensions.

    Parameters
    ----------
    real, fake
        Shapes (N, D) and (M, D).

    Raises
    ------
    DataError
        If a set has fewer than two images, other dimensions, or a value that isn't finite.
    """
    first, second = _checked(real, fake)
    shift = first.mean(0) - second.mean(0)
    a, b = _factor(first), _factor(second)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    spread = np.square(a).sum() + np.square(b).sum()
    # Rounding can leave a tiny negative number where both sets are the same.
    return max(0.0, float(shift @ shift + spread - 2 * overlap))


def fid_notes(real_images: int, fake_images: int, dims: int) -> tuple[str, ...]:
    """Say what the number of images does to the FID; empty if there are enough."""
    if min(real_images, fake_images) >= dims:
        return ()
    return (
        f"FID of {fake_images} images against {real_images} in {dims} dimensions is biased "
        "upwards; compare it only between sets as large as these, and see the KID "
        "(Chong and Forsyth 2020, arXiv 1911.07023)",
    )


def kid(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Compute the unbiased squared maximum mean discrepancy, kernel ``(x.y / D + 1)^3``.

    Binkowski et al. 2018 (arXiv 1801.01401), section 4. It can be negative.

    Parameters
    ----------
    real, fake
        Shapes (N, D) and (M, D).

    Raises
    ------
    DataError
        As `fid`.
    """
    first, second = _checked(real, fake)
    return _mmd(_kernel(first, first), _kernel(second, second), _kernel(first, second))


def bootstrap_interval(
    statistic: Statistic,
    real: NDArray[Any],
    fake: NDArray[Any],
    real_groups: NDArray[Any],
    fake_groups: NDArray[Any],
    samples: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute a distance and its confidence interval, by resampling whole groups (bootstrap).

    Parameters
    ----------
    statistic
        ``"fid"`` or ``"kid"``.
    real, fake
        Shapes (N, D) and (M, D).
    real_groups, fake_groups
        Shapes (N,) and (M,). Images with the same number, such as the tiles of one slice, are not
        independent and are drawn together.
    samples, level, seed
        Number of resamples, coverage, and their seed.

    Raises
    ------
    DataError
        As `fid`, and if there isn't one group number per image.

    Notes
    -----
    The interval is the estimate plus and minus normal quantiles times the deviation of the
    resampled values. Percentiles of those would mislead: a resample has fewer distinct images, and
    FID is biased upwards for small sets, so that all of them may lie above the estimate.
    """
    values = bootstrap_values(statistic, real, fake, real_groups, fake_groups, samples, seed)
    return interval((fid if statistic == "fid" else kid)(real, fake), values, level)


def bootstrap_values(
    statistic: Statistic,
    real: NDArray[Any],
    fake: NDArray[Any],
    real_groups: NDArray[Any],
    fake_groups: NDArray[Any],
    samples: int = 100,
    seed: int = 0,
    stream: int = 0,
) -> Floats:
    """Compute a distance for resampled groups, shape (samples,); see `bootstrap_interval`.

    All are NaN where a set has fewer than two groups. With the same `seed` the same real groups are
    drawn, whatever the `stream`, so that values can be averaged over fake sets.
    """
    if statistic not in get_args(Statistic):
        raise SettingsError(f"got statistic {statistic!r}, expected one of {get_args(Statistic)}")
    first, second = _checked(real, fake)
    draw_real = _resampler(real_groups, len(first), np.random.default_rng([seed, 0]))
    draw_fake = _resampler(fake_groups, len(second), np.random.default_rng([seed, 1, stream]))
    if draw_real is None or draw_fake is None:
        return np.full(samples, np.nan)
    distance = _weighted_fid(first, second) if statistic == "fid" else _weighted_kid(first, second)
    return np.array([distance(draw_real(), draw_fake()) for _ in range(samples)])


def interval(estimate: float, values: Floats, level: float = 0.95) -> Interval:
    """Return the normal interval around `estimate` with the deviation of the resampled `values`.

    Raises
    ------
    SettingsError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise SettingsError(f"got level {level}, expected a number between 0 and 1, such as 0.95")
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Interval(estimate, None, None)
    margin = NormalDist().inv_cdf((1 + level) / 2) * float(known.std(ddof=1))
    return Interval(estimate, estimate - margin, estimate + margin)


def _checked(real: NDArray[Any], fake: NDArray[Any]) -> tuple[Floats, Floats]:
    for name, values in (("real", real), ("fake", fake)):
        if values.ndim != 2 or len(values) < 2:
            raise DataError(
                f"got {name} features of shape {values.shape}, expected (images, dimensions) with "
                "at least 2 images; add images or take smaller tiles"
            )
        if not np.isfinite(values).all():
            raise DataError(f"got {name} features that are NaN or infinite, expected numbers")
    if real.shape[1] != fake.shape[1]:
        raise DataError(
            f"got features of {real.shape[1]} and {fake.shape[1]} dimensions, expected the same; "
            "extract both with the same extractor"
        )
    return real.astype(np.float64), fake.astype(np.float64)


def _factor(features: Floats) -> Floats:
    """Factor the covariance as F^T F, F with no more rows than needed."""
    centred: Floats = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    triangle: Floats = np.linalg.qr(centred)[1]
    return triangle


def _kernel(a: Floats, b: Floats) -> Floats:
    kernel: Floats = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


def _mmd(aa: Floats, bb: Floats, ab: Floats) -> float:
    n, m = ab.shape
    same = (aa.sum() - aa.trace()) / (n * (n - 1)) + (bb.sum() - bb.trace()) / (m * (m - 1))
    return float(same - 2 * ab.mean())


def _resampler(
    groups: NDArray[Any], images: int, rng: np.random.Generator
) -> Callable[[], Floats] | None:
    """Return a function that draws groups with replacement and returns each image's count."""
    if np.shape(groups) != (images,):
        raise DataError(f"got groups of shape {np.shape(groups)}, expected ({images},)")
    names, which = np.unique(groups, return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    return lambda: np.bincount(rng.integers(count, size=count), minlength=count)[which].astype(
        np.float64
    )


def _weighted_kid(real: Floats, fake: Floats) -> Weighted:
    aa, bb, ab = _kernel(real, real), _kernel(fake, fake), _kernel(real, fake)
    # Copies of one image are no pair: counted, they would bias the estimate.
    np.fill_diagonal(aa, 0)
    np.fill_diagonal(bb, 0)

    def within(kernel: Floats, counts: Floats) -> float:
        pairs = float(counts.sum() ** 2 - counts @ counts)
        return float(counts @ kernel @ counts) / pairs if pairs > 0 else float("nan")

    def distance(n: Floats, m: Floats) -> float:
        return within(aa, n) + within(bb, m) - 2 * float(n @ ab @ m) / float(n.sum() * m.sum())

    return distance


def _weighted_fid(real: Floats, fake: Floats) -> Weighted:
    # FID doesn't depend on the origin; near it, differences of squares lose no digits.
    origin = np.concatenate([real, fake]).mean(0)
    real, fake = real - origin, fake - origin
    squares = np.square(real).sum(1), np.square(fake).sum(1)
    small = min(len(real), len(fake)) <= 2 * real.shape[1]
    cross = real @ fake.T if small else None

    def distance(n: Floats, m: Floats) -> float:
        means = n @ real / n.sum(), m @ fake / m.sum()
        spread = sum(
            float(counts @ square - counts.sum() * (mean @ mean)) / (counts.sum() - 1)
            for counts, square, mean in zip((n, m), squares, means, strict=True)
        )
        if cross is not None:
            overlap = _overlap_of_rows(cross, n, m)
        else:
            overlap = _overlap_of_covariances(_scatter(real, n), _scatter(fake, m))
        shift = means[0] - means[1]
        return float(shift @ shift + spread - 2 * overlap)

    return distance


def _overlap_of_rows(cross: Floats, n: Floats, m: Floats) -> float:
    """Compute tr((S1 S2)^(1/2)) from inner products of rows drawn `n` and `m` times."""
    rows, columns = np.flatnonzero(n), np.flatnonzero(m)
    n, m = n[rows], m[columns]
    product = cross[np.ix_(rows, columns)]
    product = product - n @ product / n.sum()
    product -= (product @ m / m.sum())[:, None]
    product *= np.sqrt(np.outer(n, m))
    if len(product) > product.shape[1]:
        product = product.T
    # Roots of eigenvalues instead of singular values: several times faster, precise enough here.
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product @ product.T), 0))
    return float(roots.sum() / np.sqrt((n.sum() - 1) * (m.sum() - 1)))


def _scatter(features: Floats, counts: Floats) -> Floats:
    centred = features - counts @ features / counts.sum()
    covariance: Floats = (centred * counts[:, None]).T @ centred / (counts.sum() - 1)
    return covariance


def _overlap_of_covariances(a: Floats, b: Floats) -> float:
    """Compute tr((a b)^(1/2)) of symmetric positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ b @ root), 0)).sum())
