"""Results and names as text."""

from __future__ import annotations

import os
import shlex

import pytest

from isoslice.runtime.text import as_typed, counted, decibels_better, spoken_bytes


@pytest.mark.skipif(os.name == "nt", reason="words as a POSIX shell splits them")
@pytest.mark.parametrize(
    "name",
    ["a.tif", "/data/a_1-2.tif", "my stack.tif", "zwei Kanäle.tif", "Kanäle.tif", "it's.tif",
     'a "b".tif', "$HOME.tif", "a\\b.tif", "a`b.tif", "what!.tif", "(1).tif", "a&b.tif", "~a.tif"],
)  # fmt: skip
def test_a_shell_reads_a_name_as_it_is(name):
    assert shlex.split(as_typed(name)) == [name]


def test_only_names_that_need_it_are_quoted_and_so_that_all_shells_know():
    assert as_typed("/data/a_1.ome.tif") == "/data/a_1.ome.tif"
    assert as_typed("Kanäle.tif") == "Kanäle.tif"
    assert as_typed("my stack.tif") == '"my stack.tif"'


def test_windows_paths_are_typed_as_they_are(monkeypatch):
    monkeypatch.setattr("isoslice.runtime.text._WINDOWS", True)
    assert as_typed("C:\\data\\a.tif") == "C:\\data\\a.tif"
    assert as_typed("C:\\my data\\a.tif") == '"C:\\my data\\a.tif"'


def test_sizes_are_told_in_a_unit_that_fits():
    sizes = (0, 694, 28_700, 10.8e6, 999.4e6, 999.6e6, 11.112e9, 49.1e12)
    told = [spoken_bytes(size) for size in sizes]
    assert told == ["0 B", "694 B", "28.7 kB", "10.8 MB", "999 MB", "1 GB", "11.1 GB", "49.1 TB"]


def test_differences_and_counts_are_said_in_words():
    told = [decibels_better(gain) for gain in (0.92, 0.043, -0.3, 0.0)]
    assert told == ["0.9 dB better", "0.04 dB better", "0.3 dB worse", "0.00 dB better"]
    assert [counted(count, "plane") for count in (1, 0, 1200)] == [
        "1 plane",
        "0 planes",
        "1,200 planes",
    ]
