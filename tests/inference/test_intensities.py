"""Intensities on a device: the bits of NumPy's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from isoslice.data.normalization import Normalization
from isoslice.data.survey import Limits
from isoslice.inference.intensities import MADE, can_make, deviations, inverted, normalised
from isoslice.runtime.device import VOXELS_AT_ONCE

#: Of two channels: one with a detector's limits, one whose values are far beyond the types' ranges.
SCALED = Normalization((-12.3, 40.0), (211.7, 4.1e9), limits=(Limits(-3.5, 190.0), Limits()))


@pytest.fixture
def values():
    """A block with every kind of number: beyond the range on both sides, halves, and zeros."""
    drawn = np.random.default_rng(0).normal(0.5, 0.7, (2, 7, 13, 11)).astype(np.float32)
    drawn[0, 0] = (np.arange(143).reshape(13, 11) + 12.8) / 224  # near halves, which are rounded
    drawn[:, 1, 0, :3] = 0, -0.0, 1
    return drawn


@pytest.fixture(params=[1, 100, 2**17])
def few_at_once(request, monkeypatch):
    monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", request.param)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("dtype", [np.dtype(name) for name in MADE])
def test_intensities_are_those_of_numpy(values, dtype):
    expected = SCALED.invert(values, dtype)
    found = inverted(torch.from_numpy(values), SCALED, dtype)
    np.testing.assert_array_equal(found.numpy().view(dtype), expected)
    kind = np.iinfo(dtype) if dtype.kind in "iu" else None
    if kind is not None and dtype.itemsize < 4:
        assert expected.max() == min(kind.max, 4_100_000_000)  # values do go beyond


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("dtype", [*MADE, "float16", ">u2", ">f4"])
def test_planes_are_normalised_as_by_numpy(dtype):
    """Padding, holes, and the extremes of the type, in one of two channels."""
    kind = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    stored = np.random.default_rng(0).uniform(0, 120, (2, 5, 9, 8)).astype(dtype)
    stored[0, 0, 0, :2] = kind.min, kind.max
    stored[1, 1] = 3  # padding
    scaled = Normalization((10.7, 20.0), (90.1, 3e4))
    if isinstance(kind, np.finfo):
        stored[:, 2, :, :3] = np.nan, np.inf, -np.inf
        scaled = replace(scaled, fill=(33.3, 44.4))
    scaled = replace(scaled, limits=(Limits(), Limits(outside=3.0, padding=True)))
    before = stored.copy()
    stored.flags.writeable = False
    with np.errstate(over="ignore"):
        expected = scaled.apply(stored)
    found = normalised(stored, scaled, torch.device("cpu"))
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(stored, before)
    assert (expected[1, 1] == 0).all()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_parts_of_volumes_are_brought_back_alike(values, dtype):
    """Whatever their layout in memory."""
    part = torch.from_numpy(values)[:, 1:5, ::2].transpose(2, 3)
    expected = SCALED.invert(part.numpy(), np.dtype(dtype))
    found = inverted(part, SCALED, np.dtype(dtype))
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", ["float16", ">u2", ">f4"])
def test_some_types_are_left_to_numpy(dtype):
    assert not can_make(np.dtype(dtype))


def test_deviations_are_those_of_numpy(values):
    std = np.abs(values)
    found = deviations(torch.from_numpy(std), SCALED)
    np.testing.assert_array_equal(found.numpy(), SCALED.scale_deviations(std))
