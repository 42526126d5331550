"""How blocks leave the device: few operators, few bytes, one behind the other."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from claimed_devices import ClaimedDevices, claimed_device
from conftest import texture
from isoslice.data.box import whole
from isoslice.data.frames import frames_of
from isoslice.data.grid import even_grid
from isoslice.data.normalization import percentile_normalization
from isoslice.data.volume import Volume
from isoslice.inference import compose
from isoslice.inference.detail.blend import Gains
from isoslice.inference.engine import sinks
from isoslice.inference.engine.leaving import Leaving
from isoslice.inference.engine.sinks import ArraySink
from isoslice.inference.fields import Layout, MemoryStore
from isoslice.inference.intensities import normalised
from isoslice.inference.measured import PlanesInMemory
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import VOXELS_AT_ONCE
from isoslice.runtime.transfer import to_host
from operator_count import OperatorCount

SIZE = (3.0, 1.0, 1.0)


def test_what_is_copied_without_blocking_is_waited_for():
    with claimed_device("cuda") as device:
        values = torch.arange(6, device=device)
        wait = to_host(values)
        values.zero_()  # the copy was ordered before
        np.testing.assert_array_equal(wait(), np.arange(6))


def test_voxels_cross_the_bus_in_their_own_type(tiny_model, monkeypatch):
    """Of a mean in uint8 no more than a byte a voxel, measured or restored."""
    devices: list[ClaimedDevices] = []
    enter = ClaimedDevices.__enter__

    def entered(one):
        devices.append(one)
        return enter(one)

    monkeypatch.setattr(ClaimedDevices, "__enter__", entered)
    stack = texture(9, 64, 60)
    with claimed_device("cuda"):
        volume = tiny_model.predict(stack, "ZYX", SIZE, device="cuda", mode="mean").volume
    crossed = devices[0].crossed
    assert sum(crossed["to host"]) == volume.nbytes
    weights = sum(each.nbytes for each in tiny_model.network.state_dict().values())
    rows = 64 * volume.shape[0]  # what the interpolation needs of each
    assert stack.nbytes <= sum(crossed["from host"]) < stack.nbytes + weights + rows


def test_the_host_writes_in_one_thread_beside_and_in_order(tiny_model, monkeypatch):
    monkeypatch.setattr("isoslice.inference.engine.in_memory.BLOCK", 16)
    seen: list[tuple[int, tuple[int, ...]]] = []
    write = sinks.ArraySink.write

    def watched(self, time, channel, box, voxels):
        seen.append((threading.get_ident(), box.start))
        return write(self, time, channel, box, voxels)

    stack = texture(9, 40, 44)
    expected = tiny_model.predict(stack, "ZYX", SIZE, mode="mean").volume
    monkeypatch.setattr(sinks.ArraySink, "write", watched)
    found = tiny_model.predict(stack, "ZYX", SIZE, mode="mean").volume
    np.testing.assert_array_equal(found, expected)
    threads, starts = zip(*seen, strict=True)
    assert set(threads) == {threads[0]} != {threading.get_ident()}
    assert list(starts) == sorted(starts)
    assert len(starts) == 2 * 3 * 3


def test_what_goes_wrong_beside_is_raised_here(tiny_model, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(sinks.ArraySink, "write", full)
    with pytest.raises(OSError, match="no space left"):
        tiny_model.predict(texture(5, 40, 44), "ZYX", SIZE, mode="mean")


def test_a_blocks_operators_do_not_grow_with_its_planes(monkeypatch):
    """With as many voxels at once as on a GPU."""
    monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", VOXELS_AT_ONCE["cuda"])
    monkeypatch.setitem(compose.COMPOSED, "cpu", compose.COMPOSED["cuda"])
    config, started = ModelConfig(sigma_data=0.1, softening=0.2), []
    for count in (3, 9):
        grid, shape = even_grid(count, 4), (4 * count - 3, 12, 14)
        store = MemoryStore(Layout(1, shape, torch.float16, shape[1:], shape))
        for name in ("mean", "sample"):
            store.write(name, "XZ", 0, torch.rand(1, *shape).half())
        stack = texture(count, 12, 14)
        volume = Volume(stack, "ZYX")
        frame = frames_of(1, 1, grid.known, [[[]]], False, 0)[0]
        scaled = percentile_normalization(stack[None])
        planes = PlanesInMemory(normalised(stack[None], scaled, torch.device("cpu")), grid)
        array = np.zeros((1, 1, *shape), np.uint8)
        leaving = Leaving(ArraySink(array), "planes", volume, frame, scaled)
        box, gains = whole(shape), Gains(*torch.rand(2, 1, shape[0]))
        with OperatorCount() as operators:
            fields = compose.Residual(store, "mean", "sample")
            block = compose.compose(config, planes, fields, box, gains=gains)
            leaving.start(box, block)()
        started.append(operators.total)
        np.testing.assert_array_equal(array[0, 0, ::4], stack)
        assert array[0, 0, 1::4].std() > 0
    assert started[0] == started[1] < 150
