"""When to doubt what is restored of a stack: what is looked at, and what is told."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.volume import VoxelSize
from isoslice.inference.diagnostics import DEPTH, PARTS, SIDE, doubts_of, pixel_ratio, places
from isoslice.inference.inspection import diagnose, inspect
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.reliability.record import Trust
from isoslice.runtime.progress import Progress
from random_fields import field, pieces_of, volume

CONFIG = ModelConfig(sigma_data=0.1, pixel_size=(8, 8), unit="nanometer")


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
