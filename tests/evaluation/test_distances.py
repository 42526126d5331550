"""FID and KID against closed forms and torchmetrics; bootstrap intervals."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.slicefid import distances as frechet
from isoslice.evaluation.slicefid.distances import (
    bootstrap_interval,
    bootstrap_values,
    fid,
    fid_notes,
    interval,
    kid,
)


def features(count: int, dims: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Correlated and not negative, as pooled activations are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dims, dims)) / np.sqrt(dims)
    return np.maximum(rng.normal(size=(count, dims)) @ mixing + 0.3 + shift, 0).astype(np.float32)


def with_moments(count: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """A sample whose mean and unbiased covariance are exactly these."""
    values = np.random.default_rng(seed).normal(size=(count, len(mean)))
    values -= values.mean(0)
    values = values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T
    return values @ np.linalg.cholesky(covariance).T + mean


SIZES = [(40, 30, 8), (12, 30, 20), (10, 12, 64), (64, 64, 64)]


@pytest.mark.parametrize(("n", "m", "dims"), SIZES)
def test_fid_is_torchmetrics(n: int, m: int, dims: int) -> None:
    oracle = pytest.importorskip("torchmetrics.image.fid")
    real, fake = features(n, dims).astype(float), features(m, dims, 1, 0.2).astype(float)
    moments = [torch.from_numpy(a) for x in (real, fake) for a in (x.mean(0), np.cov(x.T))]
    # Its roots of eigenvalues that should be zero add up where covariances are singular.
    expected = oracle._compute_fid(*moments).item()
    assert fid(real, fake) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "m", "dims"), SIZES)
def test_fid_is_the_formula(n: int, m: int, dims: int) -> None:
    real, fake = features(n, dims).astype(float), features(m, dims, 1, 0.2).astype(float)
    a, b = np.cov(real.T), np.cov(fake.T)
    deviations, directions = np.linalg.eigh(a)
    root = directions * np.sqrt(np.where(deviations > 1e-10, deviations, 0)) @ directions.T
    values = np.linalg.eigvalsh(root @ b @ root)
    # The roots of what should be zero, but for rounding, would add up.
    values[values < 1e-10 * values.max()] = 0
    expected = np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(a + b)
    expected -= 2 * np.sqrt(values).sum()
    assert fid(real, fake) == pytest.approx(expected, rel=1e-6)


def test_fid_of_gaussians_with_known_moments() -> None:
    mean = np.array([1.0, -2.0, 0.5])
    first = with_moments(50, np.zeros(3), np.diag([1.0, 4.0, 9.0]), 0)
    second = with_moments(40, mean, np.diag([4.0, 4.0, 1.0]), 1)
    # Of commuting covariances: the squared difference of deviations, 1 + 0 + 4.
    assert fid(first, second) == pytest.approx(mean @ mean + 5.0)


def test_fid_of_a_shift_is_its_square() -> None:
    real = features(30, 100)
    assert fid(real, real) == pytest.approx(0, abs=1e-5)
    assert fid(real, real + 0.5) == pytest.approx(100 * 0.25, rel=1e-5)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 20), st.floats(0.1, 10))
def test_fid_is_symmetric_not_negative_and_scales_by_the_square(
    n: int, m: int, dims: int, scale: float
) -> None:
    real, fake = features(n, dims).astype(float), features(m, dims, 1).astype(float)
    found = fid(real, fake)
    assert found >= 0
    assert fid(fake, real) == pytest.approx(found, abs=1e-9)
    assert fid(scale * real, scale * fake) == pytest.approx(scale**2 * found, abs=1e-6)
    order = np.random.default_rng(0).permutation(dims)
    assert fid(real[:, order], fake[:, order]) == pytest.approx(found, abs=1e-9)


def test_kid_is_torchmetrics() -> None:
    oracle = pytest.importorskip("torchmetrics.image.kid")
    real, fake = features(25, 40), features(25, 40, 1, 0.2)
    expected = oracle.poly_mmd(torch.from_numpy(real).double(), torch.from_numpy(fake).double())
    assert kid(real, fake) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kid_metric_of_torchmetrics_with_the_same_features() -> None:
    oracle = pytest.importorskip("torchmetrics.image.kid")

    class Flatten(torch.nn.Module):
        num_features = 12

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).float() / 255

    images = np.random.default_rng(0).integers(0, 256, (2, 20, 3, 2, 2)).astype(np.uint8)
    metric = oracle.KernelInceptionDistance(feature=Flatten(), subsets=2, subset_size=20)
    for index, batch in enumerate(images):
        metric.update(torch.from_numpy(batch), real=index == 0)
    flat = images.reshape(2, 20, 12) / 255
    assert kid(flat[0], flat[1]) == pytest.approx(float(metric.compute()[0]), abs=1e-5)


def test_kid_of_unequal_sets_is_the_mean_over_pairs() -> None:
    real, fake = features(5, 6).astype(float), features(7, 6, 1).astype(float)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 6 + 1) ** 3)

    aa = [k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j]
    bb = [k(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i != j]
    ab = [k(x, y) for x in real for y in fake]
    assert kid(real, fake) == pytest.approx(np.mean(aa) + np.mean(bb) - 2 * np.mean(ab))


def test_kid_of_one_distribution_is_zero_on_average_and_fid_is_not() -> None:
    pairs = [(features(20, 16, 2 * s), features(20, 16, 2 * s + 1)) for s in range(100)]
    values = np.array([kid(*pair) for pair in pairs])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(values))
    assert (values < 0).any()
    assert np.mean([fid(*pair) for pair in pairs]) > 0.5


@pytest.mark.parametrize("statistic", [fid, kid])
def test_bad_features_are_refused(statistic) -> None:
    good = features(5, 3)
    holed = good.copy()
    holed[2, 1] = np.nan
    with pytest.raises(DataError, match=r"fake features of shape \(1, 3\).*at least 2 images"):
        statistic(good, good[:1])
    with pytest.raises(DataError, match="real features that are NaN"):
        statistic(holed, good)
    with pytest.raises(DataError, match="3 and 4 dimensions"):
        statistic(good, features(5, 4))


def test_too_few_images_are_noted() -> None:
    assert fid_notes(3000, 2048, 2048) == ()
    (note,) = fid_notes(3000, 100, 2048)
    assert "100 images against 3000" in note
    assert "biased" in note


@pytest.mark.parametrize(("n", "m", "dims"), [*SIZES, (50, 60, 5), (300, 11, 5)])
def test_weights_count_as_copies(n: int, m: int, dims: int) -> None:
    real, fake = features(n, dims).astype(float), features(m, dims, 1, 0.1).astype(float)
    rng = np.random.default_rng(0)
    counts = [rng.integers(0, 4, size) for size in (n, m)]
    copies = [np.repeat(x, c, axis=0) for x, c in zip((real, fake), counts, strict=True)]
    weights = [c.astype(float) for c in counts]
    found = frechet._weighted_fid(real, fake)(*weights)
    assert found == pytest.approx(fid(*copies), rel=1e-5)
    ones = np.ones(n), np.ones(m)
    assert frechet._weighted_fid(real, fake)(*ones) == pytest.approx(fid(real, fake), rel=1e-5)
    assert frechet._weighted_kid(real, fake)(*ones) == pytest.approx(kid(real, fake))


@pytest.mark.parametrize("statistic", ["fid", "kid"])
def test_interval_surrounds_the_estimate_and_repeats(statistic: frechet.Statistic) -> None:
    real, fake = features(40, 12), features(30, 12, 1, 0.2)
    groups = np.arange(40) // 2, np.arange(30) // 3
    found = bootstrap_interval(statistic, real, fake, *groups)
    assert found == bootstrap_interval(statistic, real, fake, *groups)
    assert found != bootstrap_interval(statistic, real, fake, *groups, seed=1)
    assert found.low is not None
    assert found.high is not None
    assert (found.low + found.high) / 2 == pytest.approx(found.estimate)
    narrow = bootstrap_interval(statistic, real, fake, *groups, level=0.5)
    assert narrow.low is not None
    assert narrow.low > found.low


def test_interval_of_kid_has_about_the_true_width() -> None:
    pairs = [(features(60, 8, 2 * s), features(60, 8, 2 * s + 1, 0.3)) for s in range(60)]
    each = np.arange(60)
    true = np.std([kid(*pair) for pair in pairs], ddof=1)
    guessed = [bootstrap_values("kid", *pair, each, each, samples=50).std() for pair in pairs]
    assert np.mean(guessed) == pytest.approx(true, rel=0.3)


def test_an_unknown_statistic_is_refused() -> None:
    features, groups = np.zeros((4, 3)), np.arange(4)
    with pytest.raises(SettingsError, match="expected one of"):
        bootstrap_interval("mmd", features, features, groups, groups)


def test_copies_within_groups_do_not_narrow_the_interval() -> None:
    real, fake = features(30, 6), features(30, 6, 1, 0.2)
    twice = np.repeat(real, 4, axis=0), np.repeat(fake, 4, axis=0)
    group = np.repeat(np.arange(30), 4)
    once = bootstrap_values("fid", real, fake, np.arange(30), np.arange(30)).std()
    grouped = bootstrap_values("fid", *twice, group, group).std()
    naive = bootstrap_values("fid", *twice, np.arange(120), np.arange(120)).std()
    assert grouped == pytest.approx(once, rel=0.15)
    assert naive < 0.75 * grouped


def test_equal_seeds_draw_the_same_real_images(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[np.ndarray]] = [[], []]
    for stream in (0, 1):
        monkeypatch.setattr(
            frechet,
            "_weighted_kid",
            lambda *_, kept=drawn[stream]: lambda n, m: kept.append(np.append(n, m)) or 0.0,
        )
        bootstrap_values(
            "kid", features(9, 3), features(9, 3), np.arange(9), np.arange(9), 5, stream=stream
        )
    first, second = np.array(drawn[0]), np.array(drawn[1])
    np.testing.assert_array_equal(first[:, :9], second[:, :9])
    assert (first[:, 9:] != second[:, 9:]).any()


def test_one_group_has_no_interval() -> None:
    real, fake = features(6, 3), features(6, 3, 1)
    found = bootstrap_interval("fid", real, fake, np.arange(6), np.zeros(6))
    assert (found.low, found.high) == (None, None)
    assert found.estimate == fid(real, fake)


def test_bad_groups_and_levels_are_refused() -> None:
    with pytest.raises(DataError, match=r"groups of shape \(5,\), expected \(6,\)"):
        bootstrap_interval("fid", features(6, 3), features(6, 3), np.arange(5), np.arange(6))
    with pytest.raises(SettingsError, match="between 0 and 1"):
        interval(1.0, np.arange(5.0), 95)


def test_a_hundred_resamples_of_inceptions_size_are_fast() -> None:
    real, fake = (np.random.default_rng(s).random((400, 2048), np.float32) for s in (0, 1))
    start = time.perf_counter()
    bootstrap_values("fid", real, fake, np.arange(400), np.arange(400))
    # A second or two; a matrix root per resample would take many minutes.
    assert time.perf_counter() - start < 60
