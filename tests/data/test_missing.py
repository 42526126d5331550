"""Which planes are said to be missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.missing import FOUND, NONE_MISSING, Missing, parse_missing
from isoslice.errors import SettingsError


@pytest.mark.parametrize(
    ("value", "planes", "find"),
    [
        (None, (), True),
        ("auto", (), True),
        ("12,40-42", (12, 40, 41, 42), True),
        (" 3 , 5 - 6,4", (3, 4, 5, 6), True),
        ("none", (), False),
        ("None,12", (12,), False),
        ("auto,12", (12,), True),
        ([12, 5, 5], (5, 12), True),
        (np.array([7, 2]), (2, 7), True),
        (range(2, 4), (2, 3), True),
        (3, (3,), True),
        ((), (), True),
    ],
)
def test_what_is_said(value, planes, find):
    assert parse_missing(value) == Missing(planes, find)


@given(st.sets(st.integers(0, 60)), st.booleans())
def test_the_text_says_the_same(planes, find):
    said = Missing(tuple(sorted(planes)), find)
    assert parse_missing(str(said)) == said
    assert parse_missing(said) is said


@pytest.mark.parametrize(
    "value",
    [
        "",
        "twelve",
        "12;13",
        "42-40",
        "-1",
        "1.5",
        "12,",
        "12,none",
        "0-99999999999",
        [-1],
        [1.5],
        2.5,
    ],
)
def test_what_is_no_plane_is_refused(value):
    if value == "":
        assert parse_missing(value) == FOUND
        return
    with pytest.raises(SettingsError, match="such as 12,40-42"):
        parse_missing(value)


def test_planes_that_cannot_be_restored_are_refused():
    parse_missing("1-7").check(9, "s.tif")
    with pytest.raises(
        SettingsError, match=r"s\.tif: got missing planes 9, 11, expected .* 0 to 8"
    ):
        parse_missing("3,9,11").check(9, "s.tif")
    for said, which in (("0", "plane 0"), ("8", "plane 8"), ("0-8", "planes 0, 8")):
        with pytest.raises(SettingsError, match=f"missing {which}, at an end"):
            parse_missing(said).check(9, "s.tif")
        parse_missing(said).check(9, "s.tif", restored=False)


def test_of_a_part_of_the_stack_those_within():
    assert parse_missing("2,3,5,9").within(2, 6) == Missing((1, 3))
    assert NONE_MISSING.within(2, 6) == NONE_MISSING
