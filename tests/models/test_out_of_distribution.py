"""Does a stack look like what a model learned from?"""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from isoslice.data.planes import plane_stacks
from isoslice.data.volume import Volume
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
from random_fields import field, learned, seen, volume


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


def test_voxels_that_are_not_finite_are_learned_as_they_are_normalised():
    image = np.random.default_rng(0).normal(size=(1, 1, 6, 64, 64)).astype(np.float32)
    image[..., :20] = np.nan
    (stack,) = plane_stacks([Volume(image, "TCZYX")])
    found = learn_reference([stack])
    filled = stack.normalization.apply(stack.data[:, 0][None])[0]
    seen = texture_features(cut_crops([filled], found.side, 512))
    assert np.isfinite(found.channels[0].mean).all()
    np.testing.assert_allclose(found.channels[0].mean, seen.mean(0), atol=0.3)
