"""A few of many, evenly spaced."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.subsampling import evenly_spaced


@given(st.integers(1, 500), st.integers(1, 40))
def test_as_many_as_asked_for_with_both_ends_and_even_steps(length, count):
    places = evenly_spaced(length, count)
    assert places == sorted(set(places))
    assert len(places) == min(length, count)
    assert places[0] == 0
    if count > 1:
        assert places[-1] == length - 1
    steps = [b - a for a, b in pairwise(places)]
    assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize(("length", "count"), [(9, 3), (4, 9)])
def test_known_places(length, count):
    assert evenly_spaced(length, count) == {9: [0, 4, 8], 4: [0, 1, 2, 3]}[length]
