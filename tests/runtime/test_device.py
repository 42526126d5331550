"""Where and in which precision things are computed."""

import pytest
import torch

from isoslice import SettingsError
from isoslice.runtime.device import (
    autocast,
    choose_device,
    describe,
    fast_dtype,
    field_home,
    kind_of,
)


def test_auto_finds_a_device_that_works():
    device = choose_device("auto")
    assert float(torch.ones(2, device=device).sum()) == 2


def test_the_cpu_is_always_there_and_described():
    device = choose_device("cpu")
    assert device.type == "cpu"
    assert describe(device).startswith("cpu, ")


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_is_used_only_where_the_processor_has_it(monkeypatch, has):
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: has)
    device = torch.device("cpu")
    expected = torch.bfloat16 if has else torch.float32
    assert fast_dtype(device) is expected
    layer = torch.nn.Conv2d(4, 4, 3)
    with autocast(device):
        assert layer(torch.randn(1, 4, 8, 8)).dtype is expected


@pytest.mark.parametrize("name", ["abacus", "", "CPU"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(SettingsError, match="expected one of auto, cpu, cuda, mps"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused():
    with pytest.raises(SettingsError, match="finds none here"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("device", "memory", "kind"),
    [
        ("cpu", 0, "cpu"),
        ("mps", 0, "mps"),
        ("cuda", 11 * 10**9, "cuda"),
        ("cuda", 80 * 10**9, "large cuda"),
    ],
)
def test_gpus_are_large_by_all_of_their_memory(device, memory, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**9, memory))
    assert kind_of(torch.device(device)) == kind


@pytest.mark.parametrize(
    ("voxels", "batch", "home"),
    [
        (6 * 10**8, 2 * 10**9, "cuda"),  # for so much there is room beside
        (6 * 10**8, 4 * 10**9, "cpu"),
        (4 * 10**8, 4 * 10**9, "cuda"),
        (7 * 10**8, 0, "cpu"),
    ],
)
def test_fields_are_kept_on_a_gpu_that_has_room_for_batches_too(voxels, batch, home, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**10, 10**10))
    assert field_home(torch.device("cuda"), voxels, batch).type == home
