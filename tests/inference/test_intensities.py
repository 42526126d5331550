"""Intensities on a device: the bits of NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isoslice.data.normalization import Normalization
from isoslice.data.survey import Limits
from isoslice.inference.intensities import MADE, can_make, deviations, inverted
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
