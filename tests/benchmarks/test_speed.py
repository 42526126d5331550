"""`benchmarks/speed.py` and `benchmarks/machine.py` count what they say."""

from __future__ import annotations

import json
import sys

import pytest
import torch

import speed
from isoslice.inference.model import Model
from machine import network_flops


def test_operations_of_a_convolution_are_counted():
    class Halved(torch.nn.Module):
        """One 3x3 convolution of 3 to 5 channels at half resolution."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)

        def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    class Shape:
        channels = 1

    class Holder:
        network = Halved()
        config = type("Config", (), {"network": Shape})

    assert network_flops(Holder()) == 2 * 9 * 3 * 5 / 4


def test_speed_of_a_small_model(tiny_model: Model, monkeypatch, capsys, tmp_path):
    tiny_model.save(tmp_path / "model")
    arguments = [str(tmp_path / "model"), "--size", "13", "40", "36", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
    speed.main()
    found = json.loads(capsys.readouterr().out)
    assert found["voxels"] == 13 * 40 * 36
    assert found["evaluations_per_voxel"] >= 5  # those of the pieces that are looked at too
    operations = found["evaluations_per_voxel"] * found["voxels"] * found["kflops_per_evaluation"]
    assert found["gflops_reached_end_to_end"] == pytest.approx(
        operations / found["seconds"] / 1e6, rel=0.2, abs=0.2
    )
    assert 0 < found["share_of_peak_end_to_end"] < 1


def test_the_stack_is_made_up_the_same_every_time():
    stack = speed.made_up(3, 10, 17)
    assert stack.shape == (3, 10, 17)
    assert (stack == speed.made_up(3, 10, 17)).all()
    assert stack.std() > 10
