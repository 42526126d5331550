"""`--minutes` holds for all of a training, on slow machines too: with a clock that we turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isoslice.training.run
from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.reliability.calibration import evenly_spread_order
from isoslice.runtime import budget
from isoslice.runtime.budget import Deadline
from isoslice.training.distillation import distill
from tiny_training import fast, stripes


class Clock:
    """Seconds that pass when we say so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(budget, "now", made)
    return made


def slow_machine(monkeypatch, clock, seconds, preparing=0.0):
    """Let a crop of 32 x 32 take so many seconds in the network, and preparations, too."""
    features, familiar = Denoiser.features, isoslice.training.run.learn_reference

    def slowly(self, x, c_noise):
        passes = 3 if self.training else 1  # forward, and back, which costs two
        clock.seconds += passes * seconds * len(x) * x.shape[2] * x.shape[3] / 32**2
        return features(self, x, c_noise)

    def prepared(*args):
        clock.seconds += preparing
        return familiar(*args)

    monkeypatch.setattr(Denoiser, "features", slowly)
    monkeypatch.setattr(isoslice.training.run, "learn_reference", prepared)


def test_a_deadline_counts_on_its_clock(clock):
    deadline, endless = Deadline.after(20), Deadline.after(None)
    clock.seconds += 5
    assert (deadline.left, deadline.share, deadline.passed) == (15, 0.25, False)
    clock.seconds += 30
    assert (deadline.left, deadline.share, deadline.passed) == (0, 1, True)
    assert (endless.share, endless.passed) == (0, False)
    assert Deadline.after(0).passed


@pytest.mark.parametrize("count", range(1, 30))
def test_any_first_few_are_spread(count):
    order = evenly_spread_order(count)
    assert sorted(order) == list(range(count))
    if count >= 4:
        assert np.ptp(order[: count // 2]) >= count / 3


@pytest.mark.parametrize(
    ("minutes", "crop", "preparing"),
    [
        (0.1, 0.01, 0.0),  # a quick machine
        (0.1, 0.05, 0.0),  # one on which a validation takes longer than what was asked for
        (0.1, 0.01, 5.0),  # preparations that take nearly all of it
        (1.0, 0.05, 10.0),
        (10.0, 1.0, 0.0),
    ],
)
def test_training_keeps_to_its_time(monkeypatch, clock, minutes, crop, preparing):
    slow_machine(monkeypatch, clock, crop, preparing)
    began = clock.seconds
    model = fast(minutes=minutes)
    taken = clock.seconds - began
    assert taken <= max(minutes * 60 * 1.1, minutes * 60 + 15)
    assert taken >= minutes * 60 * 0.5  # and it is used
    assert model.info["steps"] >= 1
    assert model.trust.calibration is not None
    assert model.trust.familiar is not None
    assert model.head is not None


def test_distilling_keeps_to_its_time(monkeypatch, clock):
    teacher = fast(steps=1)
    slow_machine(monkeypatch, clock, 0.05)
    began = clock.seconds
    distill(teacher, stripes(), axes="ZYX", minutes=1.0, device="cpu")
    assert 30 <= clock.seconds - began <= 75


def test_steps_do_not_look_at_the_clock(monkeypatch, clock):
    expected = fast(steps=3)
    slow_machine(monkeypatch, clock, 100.0, 1000.0)
    found = fast(steps=3)
    assert found.fingerprint == expected.fingerprint
    assert found.trust == expected.trust
    assert all(map(torch.equal, found.head.parameters(), expected.head.parameters()))
