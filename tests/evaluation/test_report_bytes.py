"""Voxels in a report: bytes, packed volumes, pictures and colours."""

from __future__ import annotations

import base64
import gzip
import io
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import texture
from isoslice.data.volume import VoxelSize
from isoslice.evaluation.report import Layer, Report, write_report
from isoslice.evaluation.report.encode import (
    VIRIDIS,
    as_bytes,
    coloured,
    fitted,
    nifti,
    png,
    windows,
)
from report_page import scene_of


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_levels_span_the_window_and_are_cut_off_beyond(low: float, width: float) -> None:
    values = low + width * np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert as_bytes(values, (low, low + width)).tolist()[:2] == [0, 0]
    assert as_bytes(values, (low, low + width)).tolist()[3:] == [255, 255]
    assert as_bytes(values, (low, low + width))[2] in (127, 128)


def test_a_packed_volume_is_a_nifti_image_with_its_values() -> None:
    nibabel = pytest.importorskip("nibabel")
    values = texture(5, 6, 7, dtype="float32")
    window = (10.0, 200.0)
    file = nifti(as_bytes(values, window), VoxelSize(16.0, 8.0, 8.0), window)
    image = nibabel.Nifti1Image.from_bytes(file)
    np.testing.assert_allclose(image.get_fdata().T, values, atol=190 / 255 / 2 + 1e-3)
    assert image.header.get_zooms() == (1, 1, 2)
    # Rows and planes run downwards: the first voxel is the highest along both.
    np.testing.assert_allclose(image.affine @ [0, 0, 0, 1], [0, 5, 8, 1])
    np.testing.assert_allclose(image.affine @ [6, 5, 4, 1], [6, 0, 0, 1])


def test_a_picture_comes_back_as_it_was() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
    np.testing.assert_array_equal(iio.imread(io.BytesIO(png(levels))), levels)
    painted = coloured(levels)
    np.testing.assert_array_equal(iio.imread(io.BytesIO(png(painted))), painted)


def test_colours_get_brighter_evenly() -> None:
    ramp = coloured(np.arange(256, dtype=np.uint8)[None])[0].astype(float)
    linear = np.where(
        ramp / 255 <= 0.04045, ramp / 255 / 12.92, ((ramp / 255 + 0.055) / 1.055) ** 2.4
    )
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(y) - 16
    steps = np.diff(lightness[::32])
    assert (steps > 5).all()
    assert steps.max() / steps.min() < 1.6
    assert ramp[0].tolist() == list(VIRIDIS[0])
    assert ramp[-1].tolist() == list(VIRIDIS[-1])


@given(st.integers(20_000, 300_000))
def test_packed_volumes_fit_the_budget_and_use_most_of_it(budget: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (33, 80, 80), np.uint8)
    scene, _, found = fitted(scene_of(noise, factor=4), budget)
    size = sum(map(len, found.values()))
    assert size <= budget
    assert size > 0.6 * min(budget, noise.size * 4 / 3)
    start, shape = scene.box.start, scene.box.shape
    np.testing.assert_array_equal(scene.volumes[0].voxels, noise[scene.box.slices])
    assert start[0] % 4 == 0
    assert (shape[0] - 1) % 4 == 0
    packed = gzip.decompress(base64.b64decode(found["Restored"]))
    assert len(packed) == 352 + scene.box.voxels


@pytest.mark.slow
def test_a_page_of_four_noisy_volumes_of_256_cubed_stays_below_25_megabytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (256, 256, 256), np.uint8)
    more = tuple(
        Layer(role, role, np.roll(noise, n, axis=n))  # type: ignore[arg-type]
        for n, role in enumerate(("input", "linear", "uncertainty"))
    )
    path = tmp_path / "noise.html"
    write_report(path, Report("noise", "predict", "", scene=scene_of(noise, more=more)))
    assert 15e6 < path.stat().st_size < 25e6


def test_one_window_for_intensities_and_one_from_zero_for_doubt() -> None:
    truth = Layer("Truth", "truth", np.linspace(50, 150, 4 * 5 * 6).reshape(4, 5, 6))
    wild = np.full((4, 5, 6), 1000.0)
    doubt = Layer("Uncertainty", "uncertainty", np.full((4, 5, 6), 7.0))
    scale = windows(scene_of(wild, more=(truth, doubt)))
    assert scale.grey == pytest.approx((50, 150), abs=1)
    assert scale.coloured == pytest.approx((0, 7))
