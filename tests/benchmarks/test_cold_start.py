"""`benchmarks/cold_start.py` measures programs that predict."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("torch")

import cold_start
from conftest import texture, write_stack


def test_seconds_of_a_small_stack_are_in_their_order(monkeypatch, capsys, tmp_path):
    write_stack(tmp_path / "stack.tif", texture(4, 32, 32))
    arguments = [str(tmp_path / "stack.tif"), "--mode", "mean", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["cold_start.py", *arguments])
    cold_start.main()
    names, values = capsys.readouterr().out.splitlines()
    start, first, end, prediction, network = (float(each) for each in values.split()[1:6])
    assert names.split() == ["start", "first", "block", "end", "prediction", "network", "beside"]
    assert 0 < start < first < end
    assert 0 < network < prediction < end
    assert values.split()[0] == "mean"
    assert values.endswith("%")
