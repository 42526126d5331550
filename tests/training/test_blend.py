"""How much of an adaptation is kept: judged on hidden rows and on hidden planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice.data.crops import draw_crops
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.inference.rows import restore_rows
from isoslice.models.config import TrainingSettings
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.runtime.progress import Progress
from isoslice.training import blend
from isoslice.training.blend import CROPS, Judged, best_blend, blended, plane_error, row_error
from tiny_head import TINY, let_hear, network

CPU = torch.device("cpu")
SMALL = TrainingSettings(crop=32, batch=4)


def test_blends_lie_between_two_networks():
    old, new = network(gain=0.0), network(gain=0.4)
    let_hear(new)
    for share, other in ((0.0, old), (1.0, new)):
        pairs = zip(
            blended(old, new, share).state_dict().values(), other.state_dict().values(),
            strict=True,
        )  # fmt: skip
        for one, two in pairs:
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    assert float(blended(old, new, 0.5).leave_gain.detach()) == pytest.approx(0.25)


@pytest.fixture
def judged() -> Judged:
    planes = PlaneStack(texture(7, 64, 64)[:, None], Normalization((0.0,), (200.0,)))
    config = TINY.updated(training=SMALL.updated(factors=(4,), even_share=1.0), softening=0.16)
    return Judged(config, planes, planes, 4)


def test_the_better_of_two_is_found_and_no_worse_one(judged: Judged):
    quiet, loud = network(gain=0.0), network(gain=3.0)  # the first one interpolates
    assert best_blend(quiet, loud, [judged], CPU).share == 0
    found = best_blend(loud, quiet, [judged], CPU)
    assert found.share == 1
    assert found.gain == pytest.approx((found.rows + found.planes) / 2)
    assert min(found.rows, found.planes) > 1
    before, after = (
        row_error(net, judged.held_out, judged.config, CROPS, CPU) for net in (loud, quiet)
    )
    assert found.rows == pytest.approx(10 * np.log10(before / after), rel=1e-4)


def test_planes_of_any_width_are_judged_in_bounded_time(judged: Judged, monkeypatch):
    restored, told = [], []

    def restore(network, config, images, masks, mode):
        restored.append(tuple(images.shape))
        return restore_rows(network, config, images, masks, mode=mode)

    class Listen(Progress):
        def update(self, task, fraction, detail=""):
            told.append(fraction)

    monkeypatch.setattr(blend, "restore_rows", restore)
    monkeypatch.setattr(blend, "MOST_COLUMNS", 40)
    best_blend(network(gain=3.0), network(gain=0.0), [judged], CPU, Listen())
    assert set(restored) == {(24, 1, 25, 40)}
    assert told == [0, 0.25, 0.5, 0.75, 1]


def test_larger_shares_than_one_that_restores_worse_are_not_kept(judged: Judged, monkeypatch):
    """As of nuclei, of which few planes say that a quarter is worse, and all of it better."""
    gains = iter([0.1, -0.2, 0.3])  # of a quarter, half and all

    def errors(network, judged, device):
        rows, planes = (0.0, 0.0) if network is old else (0.5, next(gains))
        return [10 ** (-rows / 10)], [10 ** (-planes / 10)]

    old, new = network(gain=0.0), network(gain=0.4)
    monkeypatch.setattr(blend, "_errors", errors)
    found = best_blend(old, new, [judged], CPU)
    assert (found.share, found.rows, found.planes) == pytest.approx((0.25, 0.5, 0.1))
    assert next(gains) == 0.3  # was not tried


@pytest.mark.parametrize(
    ("rows", "planes", "share"),
    [
        ((0.25, 0.42, 0.59), (0.22, 0.27, 0.19), 1.0),  # of mouse_ct_1: the volume gains most
        ((0.25, 0.42, 0.49), (0.22, 0.27, 0.01), 0.5),
        ((0.25, 0.42, 0.59), (0.22, 0.27, -0.01), 0.5),
        ((0.01, 0.015, 0.03), (0.0, 0.0, -0.1), 0.0),  # too little to be worth it
    ],
)
def test_a_share_is_as_good_as_rows_and_planes_together(
    judged: Judged, monkeypatch, rows, planes, share: float
):
    after = zip(rows, planes, strict=True)

    def errors(network, judged, device):
        gains = (0.0, 0.0) if network is old else next(after)
        return tuple([10 ** (-gain / 10)] for gain in gains)

    old, new = network(gain=0.0), network(gain=0.4)
    monkeypatch.setattr(blend, "_errors", errors)
    assert best_blend(old, new, [judged], CPU).share == share


def test_what_helps_rows_alone_is_not_kept(judged: Judged, monkeypatch):
    monkeypatch.setattr(blend, "plane_error", lambda net, *_: 1 + float(net.leave_gain < 2.9))
    quiet, loud = network(gain=0.0), network(gain=3.0)
    assert best_blend(loud, quiet, [judged], CPU).share == 0
    without = replace(judged, planes=None)
    found = best_blend(loud, quiet, [without], CPU)
    assert (found.share, found.gain) == (1, found.rows)
    assert judged.planes is not None
    few = replace(judged, planes=replace(judged.planes, data=judged.planes.data[:4]))
    assert best_blend(loud, quiet, [few], CPU).share == 1


def test_row_errors_of_no_change_are_those_of_interpolation(judged: Judged):
    found = row_error(network(gain=0.0), judged.held_out, judged.config, 128, CPU)
    generator, errors = torch.Generator().manual_seed(0), []
    for _ in range(4):
        images = draw_crops([judged.held_out], 32, 32, generator)
        example = draw_example(images, judged.config, generator)
        base = torch.sinh(example.base * np.arcsinh(1 / 0.16)) * 0.16
        errors.append((base - images)[example.hidden.expand_as(images)])
    assert found == pytest.approx(float(torch.cat(errors).square().mean()), rel=1e-4)


@pytest.mark.parametrize("count", [5, 6, 7, 200])
def test_plane_errors_of_no_change_are_those_of_interpolation(judged: Judged, count: int):
    data = texture(count, 20, 24)[:, None]
    stack = replace(judged.held_out, data=data)
    config = judged.config.updated(softening=None)
    found = plane_error(network(gain=0.0), stack, config, 4, 100, CPU)
    planes = data[:, 0].astype(np.float64) / 200
    if count == 200:  # the middle 65
        planes = planes[67:132]
    planes = planes[: (len(planes) - 1) // 2 * 2 + 1]
    error = (planes[:-2:2] + planes[2::2]) / 2 - planes[1::2]
    assert found == pytest.approx(np.square(error).mean(), rel=1e-4)
