"""Percentiles of data that is never in memory as a whole, against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isoslice.data.normalization import (
    measure_in_parts,
    measure_stack,
    percentile_normalization,
)
from isoslice.data.percentiles import percentiles
from isoslice.data.volume import DTYPES as DTYPES_TAKEN
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.runtime.progress import Progress

DTYPES = st.sampled_from(DTYPES_TAKEN)
FARTHEST = {"float16": 2**15, "float32": 2**90, "float64": 2**90}
WIDTHS = {"float16": 16, "float32": 32, "float64": 64}


@given(
    DTYPES.flatmap(
        lambda name: arrays.arrays(
            name,
            st.integers(1, 60),
            elements=None
            if name[0] != "f"
            else st.floats(-FARTHEST[name], FARTHEST[name], width=WIDTHS[name]),
        )
    ),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_percentiles_are_numpys(data, wanted, parts):
    found = percentiles(lambda: np.array_split(data, parts), wanted)
    expected = np.percentile(data.astype(np.float64), wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


def test_no_numbers():
    with pytest.raises(ValueError, match="no numbers"):
        percentiles(lambda: [np.zeros(0, np.uint8)], [50])


@pytest.mark.parametrize("dtype", DTYPES_TAKEN)
def test_streamed_normalization_is_that_of_all(monkeypatch, dtype):
    monkeypatch.setattr("isoslice.data.normalization.MAX_PART_BYTES", 2000)
    rng = np.random.default_rng(0)
    data = (rng.gamma(2, 20, size=(2, 3, 12, 20, 15))).astype(dtype)
    data[:, 1] = 7  # a channel that is constant beside others
    expected = percentile_normalization(data.swapaxes(0, 1))
    found, _ = measure_in_parts(Volume(data, "TCZYX"), Progress())
    assert found == expected


def test_streamed_normalization_refuses_what_cannot_be_used():
    ones = np.ones((3, 4, 5), np.uint8)
    with pytest.raises(DataError, match="constant"):
        measure_in_parts(Volume(ones, "ZYX"), Progress())
    bad = np.full((3, 4, 5), np.nan, np.float32)
    with pytest.raises(DataError, match="no finite voxel"):
        measure_in_parts(Volume(bad, "ZYX"), Progress())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_large_parts_are_counted_in_pieces(dtype, monkeypatch):
    monkeypatch.setattr("isoslice.data.percentiles._AT_ONCE", 7)
    data = np.random.default_rng(0).normal(20, 9, 1000).astype(dtype)
    found = percentiles(lambda: [data[:400], data[400:]], (0.1, 50.0, 99.9))
    np.testing.assert_allclose(found, np.percentile(data.astype(float), (0.1, 50.0, 99.9)))
    assert percentiles(lambda: [data[:0], data], (50.0,)) == [found[1]]


def test_a_large_stack_in_memory_is_measured_part_by_part_and_says_how_far(monkeypatch):
    class Listen(Progress):
        def update(self, task, fraction, detail=""):
            told.append((task, fraction))

    told: list[tuple[str, float]] = []
    stack = np.random.default_rng(0).normal(size=(1, 2, 5, 8, 8)).astype(np.float32)
    whole, surveyed = measure_stack(stack, "it", progress=Listen())
    assert told == []
    monkeypatch.setattr("isoslice.data.normalization.MAX_PART_BYTES", 2 * 8 * 8 * 4)
    parts, survey = measure_stack(stack, "it", progress=Listen())
    assert parts == whole
    np.testing.assert_array_equal(survey.least, surveyed.least)
    first = [fraction for task, fraction in told if task == "measuring intensities, channel 1"]
    assert first == [0, 1 / 3, 2 / 3, 1]
    again = [fraction for task, fraction in told if task.endswith("channel 2, reading 2")]
    assert again == [1 / 3, 2 / 3, 1]
