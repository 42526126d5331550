"""Does a stack look like what a model learned from, and alike in all directions? When to doubt."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from isoslice.data.planes import plane_stacks, split
from isoslice.data.volume import Volume, VoxelSize
from isoslice.inference.diagnostics import (
    DEPTH,
    PARTS,
    SIDE,
    doubts_of,
    pixel_ratio,
    places,
)
from isoslice.inference.inspection import diagnose, inspect
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.reliability.isotropy import (
    BLOCKS_PER_SIDE,
    MAX_JITTER,
    compare_directions,
    limits_at,
    plane_intensity_jitter,
)
from isoslice.models.reliability.out_of_distribution import (
    AMPLITUDE_FLOOR,
    FEATURE_COUNT,
    FEATURE_NAMES,
    LAGS,
    OodReference,
    cut_crops,
    learn_reference,
    score,
    texture_features,
)
from isoslice.models.reliability.record import Trust
from isoslice.runtime.progress import Progress

CONFIG = ModelConfig(sigma_data=0.1, pixel_size=(8, 8), unit="nanometer")


def field(*shape, sigma=2.0, noise=0.1, seed=0):
    """A random field, alike along all axes, of deviation 1, with noise; uint8 or so."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), sigma)
    made = smooth / smooth.std() + noise * rng.normal(size=shape)
    return (128 + 32 * made).clip(0, 255).astype(np.uint8)


def volume(data, axes="ZYX", size=None):
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    return Volume(data, axes, spacing, "nanometer" if size else None)


def learned(*stacks, aside=0.2):
    train, held = split(plane_stacks([volume(stack) for stack in stacks]), aside, 0)
    return learn_reference(train, held)


def seen(stack, familiar):
    (one,) = plane_stacks([volume(stack)])
    planes = one.normalization.apply(one.data[:, 0][None])
    (found,) = score(familiar, [planes])
    return found


@pytest.fixture(scope="module")
def familiar():
    return learned(field(20, 160, 160, seed=1), field(20, 160, 160, seed=2))


def test_numbers_of_white_noise_are_the_known_ones():
    noise = 0.5 + 0.1 * np.random.default_rng(0).normal(size=(40, 64, 64))
    found = texture_features(noise.astype(np.float32)).mean(0)
    assert found.shape == (FEATURE_COUNT,)
    expected = [
        *[np.log(0.1 * 2**0.5 + AMPLITUDE_FLOOR)] * len(LAGS),
        np.log(0.1 + AMPLITUDE_FLOOR),
    ]
    sparse = np.log((2 / np.pi) ** 0.5)  # the mean of |x| over the root mean square of x
    expected += [sparse, sparse, 0.5, np.log(0.1 + AMPLITUDE_FLOOR)]
    np.testing.assert_allclose(found[:-1], expected, atol=0.02)


def test_noise_is_told_from_structure():
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(20, 64, 64)), (0, 4, 4))
    noisy = smooth / smooth.std() * 0.2 + 0.02 * np.random.default_rng(1).normal(size=smooth.shape)
    noise = texture_features(noisy.astype(np.float32))[:, FEATURE_NAMES.index("noise")]
    assert np.exp(noise.mean()) == pytest.approx(0.02, rel=0.2)


def test_a_few_sharp_edges_are_less_even_than_noise():
    rng = np.random.default_rng(0)
    edges = (np.arange(64) // 32 % 2) + np.zeros((5, 64, 64)) + 0.001 * rng.normal(size=(5, 64, 64))
    noise = rng.normal(size=(5, 64, 64))
    even = FEATURE_NAMES.index("evenness of texture")
    sharp, rough = (texture_features(crops.astype(np.float32))[:, even] for crops in (edges, noise))
    assert (sharp < rough - 1).all()


def test_brightness_is_added_and_contrast_multiplies():
    crops = np.random.default_rng(0).random((5, 64, 64)).astype(np.float32)
    plain, brighter, doubled = (texture_features(c) for c in (crops, crops + 1, 2 * crops))
    brightness = FEATURE_NAMES.index("brightness")
    np.testing.assert_allclose(brighter[:, brightness] - plain[:, brightness], 1, rtol=1e-5)
    amplitudes = [*range(len(LAGS) + 1), FEATURE_NAMES.index("contrast")]
    np.testing.assert_allclose(doubled[:, amplitudes] - plain[:, amplitudes], np.log(2), atol=0.01)


def test_features_do_not_depend_on_how_a_crop_is_turned():
    crops = np.random.default_rng(0).random((5, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(
        texture_features(crops), texture_features(np.rot90(crops, axes=(1, 2))), rtol=1e-6
    )


def test_constant_crops_have_finite_numbers():
    assert np.isfinite(texture_features(np.full((2, 32, 32), 0.5, np.float32))).all()


def test_another_specimen_of_the_same_kind_is_familiar(familiar):
    for seed in (5, 6, 7):
        found = seen(field(20, 160, 160, seed=seed), familiar)
        assert not found.is_ood, found
        assert found.message is None
        assert found.beyond < 0.2


def test_so_it_is_with_other_brightness_and_contrast(familiar):
    data = field(20, 160, 160, seed=5)
    other = (40 + 0.4 * data.astype(np.float32)).astype(np.float32)
    plain, changed = seen(data, familiar), seen(other, familiar)
    assert changed.distance == pytest.approx(plain.distance, abs=0.01)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"noise": 0.6}, "more noise"),
        ({"noise": 0.02}, "less noise"),
        ({"sigma": 5.0}, "less differences"),
        ({"sigma": 0.8}, "more differences"),
    ],
)
def test_other_texture_is_not_and_the_message_says_why(familiar, change, word):
    found = seen(field(20, 160, 160, seed=5, **change), familiar)
    assert found.is_ood
    assert found.beyond > 0.9
    assert word in found.message
    assert "--from" in found.message


def test_distance_grows_with_noise(familiar):
    found = [
        seen(field(10, 160, 160, seed=5, noise=noise), familiar).distance
        for noise in (0.1, 0.2, 0.4, 0.8)
    ]
    assert found == sorted(found)
    assert found[-1] > 3 * found[0]


def test_threshold_is_what_hardly_any_crop_of_the_same_kind_is_beyond(familiar):
    (kind,) = familiar.channels
    (stack,) = plane_stacks([volume(field(40, 160, 160, seed=9))])
    crops = cut_crops([stack.normalization.apply(stack.data[:, 0][None])[0]], 64, 400)
    distances = kind.distances(texture_features(crops))
    assert len(crops) == 400
    assert np.median(distances) == pytest.approx(kind.median, rel=0.3)
    assert 0.001 < (distances > kind.threshold).mean() < 0.2


def test_json_there_and_back(familiar):
    text = familiar.model_dump_json()
    assert len(text) < 10_000
    assert OodReference.model_validate_json(text) == familiar
    data = field(10, 160, 160, seed=5)
    assert seen(data, OodReference.model_validate_json(text)) == seen(data, familiar)


def hostile(change):
    def made(familiar):
        content = json.loads(familiar.model_dump_json())
        change(content, content["channels"][0])
        return json.dumps(content)

    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda f, c: f.update(side=10**9),
        lambda f, c: f.update(side=0),
        lambda f, c: f.update(channels=[]),
        lambda f, c: f.update(channels=[c] * 65),
        lambda f, c: f.update(more=1),
        lambda f, c: c.update(mean=c["mean"][:-1]),
        lambda f, c: c.update(mean=[*c["mean"][:-1], 1e300]),
        lambda f, c: c.update(mean=[*c["mean"][:-1], float("nan")]),
        lambda f, c: c.update(mean=[*c["mean"][:-1], "__import__('os')"]),
        lambda f, c: c.update(covariance=c["covariance"][:-1]),
        lambda f, c: c.update(covariance=c["covariance"] * 1000),
        lambda f, c: c["covariance"][0].__setitem__(1, c["covariance"][0][1] + 1),
        lambda f, c: c["covariance"][0].__setitem__(0, -1.0),
        lambda f, c: c.update(covariance=np.zeros((FEATURE_COUNT, FEATURE_COUNT)).tolist()),
        lambda f, c: c.update(threshold=0),
        lambda f, c: c.update(threshold=float("inf")),
        lambda f, c: c.update(median=-1),
    ],
)
def test_files_from_strangers_are_refused(familiar, change):
    with pytest.raises(ValidationError):
        OodReference.model_validate_json(hostile(change)(familiar))


def test_channels_have_references_of_their_own():
    two = np.stack([field(8, 96, 96, seed=1), field(8, 96, 96, noise=0.8, seed=2)])
    (stack,) = plane_stacks([volume(two, "CZYX")])
    found = learn_reference([stack])
    planes = stack.normalization.apply(two)
    assert [one.is_ood for one in score(found, [planes])] == [False, False]
    assert [one.is_ood for one in score(found, [planes[::-1]])] == [True, True]


def test_where_nothing_can_be_told_nothing_is_said(familiar):
    assert score(familiar, [np.zeros((1, 5, 40, 400), np.float32)]) == ()
    assert score(familiar, [np.zeros((2, 5, 100, 100), np.float32)]) == ()


def test_small_and_few_images_can_be_learned_from():
    found = learned(field(2, 40, 33, seed=1), aside=0)
    assert found.side == 33
    assert not seen(field(2, 40, 33, seed=1), found).is_ood


def pieces_of(data):
    return [(data / 255).astype(np.float32)[None]]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_field_that_is_alike_in_all_directions_is_found_so(factor):
    (found,) = compare_directions(pieces_of(field(24 * factor, 128, 128)[::factor]), factor)
    assert found.ratio == pytest.approx(1, abs=0.25)
    assert found.flicker < MAX_JITTER / 2
    assert found.message is None


def test_white_noise_is_alike_in_all_directions():
    noise = np.random.default_rng(0).normal(size=(2, 40, 90, 90)).astype(np.float32)
    for found in compare_directions([noise], 4):
        assert found.ratio == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: gaussian_filter1d(v.astype(float), 3, axis=0), "blurred along Z"),
        (lambda v: np.repeat(v, 3, axis=0)[: len(v)], "given too large"),
        (lambda v: v[::4], "given too small"),
        (lambda v: np.stack([np.roll(p, 4 * (i % 3), 0) for i, p in enumerate(v)]), "align"),
        (lambda v: v + 20.0 * (np.arange(len(v)) // 2 % 2)[:, None, None], "flicker"),
    ],
    ids=["blur", "stretched", "squeezed", "shifted", "flicker"],
)
def test_what_is_not_is_told(change, words):
    (found,) = compare_directions(pieces_of(change(field(160, 96, 96, sigma=3))[::2]), 2)
    assert words in found.message


def test_known_ratio_of_a_field_that_is_smoother_along_z():
    """The midpoint error of a Gaussian field with correlation r(d) is 1.5 - 2 r(d) + r(2d) / 2."""
    noise = np.random.default_rng(0).normal(size=(120, 160, 160))
    smooth = gaussian_filter(noise, (6, 3, 3))
    smooth = (smooth / smooth.std())[::4]

    def error(distance, sigma):
        r, r2 = (np.exp(-((d / sigma) ** 2) / 4) for d in (distance, 2 * distance))
        return 1.5 - 2 * r + r2 / 2

    (found,) = compare_directions([smooth.astype(np.float32)[None]], 4)
    assert found.ratio == pytest.approx(error(4, 6) / error(4, 3), rel=0.2)
    assert found.ratio < found.limits[0]


def test_limits_narrow_with_the_spacing_and_hold_one():
    limits = [limits_at(factor) for factor in (2, 3, 4, 8, 16, 100)]
    lows, highs = ([pair[i] for pair in limits] for i in (0, 1))
    assert lows == sorted(lows)
    assert highs == sorted(highs, reverse=True)
    assert limits[0] == pytest.approx((0.45, 1.85))
    assert limits[-1] == limits[3] == pytest.approx((0.65, 1.55))


@pytest.mark.parametrize("strength", [0.05, 0.2, 0.5])
def test_flicker_is_measured(strength):
    rng = np.random.default_rng(0)
    planes = rng.normal(size=(400, 32, 32))
    planes += strength * rng.normal(size=(400, 1, 1))
    found = plane_intensity_jitter([planes.astype(np.float32)])
    assert found == pytest.approx(strength / np.sqrt(1 + strength**2), rel=0.15)


def test_structure_that_changes_from_plane_to_plane_is_no_flicker():
    """Blocks whose brightness jumps, each on its own: the whole planes' hardly does."""
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(400, BLOCKS_PER_SIDE, BLOCKS_PER_SIDE))
    planes = blocks.repeat(8, 1).repeat(8, 2)
    assert planes.mean((1, 2)).std() > 0.2
    assert plane_intensity_jitter([planes.astype(np.float32)]) < 0.1


def test_too_few_or_too_small_planes_tell_nothing():
    for shape in ((1, 2, 60, 60), (1, 9, 7, 7)):
        (found,) = compare_directions([np.random.default_rng(0).random(shape, np.float32)], 4)
        assert (found.ratio, found.flicker, found.message) == (None, None, None)
    (flat,) = compare_directions([np.ones((1, 9, 40, 40), np.float32)], 2)
    assert (flat.ratio, flat.flicker) == (None, None)


@given(
    shape=st.tuples(st.integers(2, 400), st.integers(1, 900), st.integers(1, 900)),
)
def test_parts_that_are_looked_at_lie_inside(shape):
    found = places(shape)
    assert 1 <= len(found) <= PARTS
    for place in found:
        for part, whole, most in zip(place, shape, (DEPTH, SIDE, SIDE), strict=True):
            assert 0 <= part.start < part.stop <= whole
            assert part.stop - part.start == min(whole, most)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ((32, 8, 8), "nanometer", 1.0),
        ((32, 16, 16), "nanometer", 2.0),
        ((0.03, 0.008, 0.008), "micrometer", 1.0),
        ((32, 8, 8), None, None),
        ((32, 8, 8), "furlong", None),
        (None, "nanometer", None),
    ],
)
def test_pixels_are_compared_in_one_unit(size, unit, expected):
    found = pixel_ratio(CONFIG, None if size is None else VoxelSize(*size), unit)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("side", "words"), [(8, None), (9, None), (12, "resample"), (5, "resample"), (8000, "unit")]
)
def test_pixels_of_another_size_are_told(side, words):
    planes = pieces_of(field(12, 96, 96)[::2])[0]
    found = doubts_of(planes, 2, CONFIG, None, VoxelSize(2 * side, side, side), "nanometer")
    if words is None:
        assert found.messages == ()
    else:
        assert words in found.messages[0]


def doubts_about(stack, factor, familiar):
    model = ModelBundle(CONFIG, torch.nn.Identity(), trust=Trust(familiar=familiar))
    inspection = inspect(stack, CONFIG, Progress())
    return diagnose(stack, factor, model, inspection).messages


def test_all_doubts_of_a_volume(familiar):
    data = field(48, 160, 160, seed=5)[::2]
    assert doubts_about(volume(data, size=(16, 8, 8)), 2, familiar) == ()
    strange = field(48, 160, 160, seed=5, noise=0.8)[::2]
    strange = np.clip(strange + 60.0 * (np.arange(24) % 2)[:, None, None], 0, 255).astype("uint8")
    found = doubts_about(volume(strange, size=(32, 16, 16)), 2, familiar)
    for word in ("unlike", "flicker", "2 times"):
        assert any(word in line for line in found), word


@pytest.mark.slow
def test_a_large_stack_takes_seconds_at_most(familiar):
    data = np.random.default_rng(0).integers(0, 255, (64, 256, 256), np.uint8)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        doubts_about(volume(data), 4, familiar)
        times.append(time.perf_counter() - started)
    assert min(times) < 10  # an idle machine takes under 2


def test_voxels_that_are_not_finite_are_learned_as_they_are_normalised():
    image = np.random.default_rng(0).normal(size=(1, 1, 6, 64, 64)).astype(np.float32)
    image[..., :20] = np.nan
    (stack,) = plane_stacks([Volume(image, "TCZYX")])
    found = learn_reference([stack])
    filled = stack.normalization.apply(stack.data[:, 0][None])[0]
    seen = texture_features(cut_crops([filled], found.side, 512))
    assert np.isfinite(found.channels[0].mean).all()
    np.testing.assert_allclose(found.channels[0].mean, seen.mean(0), atol=0.3)
