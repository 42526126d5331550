"""Devices, and the precision that each computes in."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from isoslice.errors import SettingsError
from isoslice.runtime.text import counted

DEVICES = ("auto", "cpu", "cuda", "mps")

#: Most bytes per voxel that restoring a volume takes, without batches of slices.
BYTES_PER_VOXEL = 12
#: Bytes of a GPU's memory from which it is a large one.
LARGE_GPU = 12 * 10**9
#: Voxels that are worked on at once outside the networks: on a CPU, what its caches hold; on a GPU,
#: so many that launching operators takes no time beside them.
VOXELS_AT_ONCE = {"cpu": 2**17, "cuda": 2**23, "mps": 2**17}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    SettingsError
        If the name is unknown or this machine has no such device.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, there in present.items() if there))
    if name not in present:
        raise SettingsError(f"got device {name!r}, expected one of {', '.join(DEVICES)}")
    if not present[name]:
        raise SettingsError(
            f"got device {name!r}, but PyTorch {torch.__version__} finds none here; "
            "use --device auto, or see 'isoslice env'"
        )
    return torch.device(name)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware computes in it, else float32.

    On older processors PyTorch emulates bfloat16, ten times slower than float32; so the
    processor's instructions decide, not PyTorch's support.
    """
    if device.type == "cuda":
        recent = torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
        return torch.bfloat16 if recent else torch.float32
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor has bfloat16 instructions (AVX-512 BF16 or AMX)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which convolutions run in `fast_dtype`."""
    dtype = fast_dtype(device)
    if dtype is torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def field_device(device: torch.device) -> torch.device:
    """Return where everything but the networks is computed, if they are on `device`.

    The same wherever fields are kept, since devices round differently.
    """
    return device if device.type == "cuda" else torch.device("cpu")


def device_memory(device: torch.device) -> int | None:
    """Return the bytes of a GPU's memory to plan with; None without a memory of its own."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * 0.8)


def kind_of(device: torch.device) -> str:
    """Return ``cpu``, ``mps``, ``cuda`` or ``large cuda``, which decides how large batches are.

    By all of a GPU's memory, not by what is free: sums round by how large batches are, and voxels
    are to be the same each time.
    """
    if device.type != "cuda":
        return device.type
    return "large cuda" if torch.cuda.mem_get_info(device)[1] >= LARGE_GPU else "cuda"


def field_home(device: torch.device, voxels: int, batch: int = 0) -> torch.device:
    """Return where a volume's fields are kept in memory: on the GPU if all fit there.

    `batch` is what a batch of slices takes, in bytes, for which `device_memory` leaves a quarter of
    what it returns.
    """
    memory = device_memory(device)
    if not memory:
        return torch.device("cpu")
    room = memory - max(0, batch - memory // 4)
    return device if voxels * BYTES_PER_VOXEL < room else torch.device("cpu")


def at_once(voxels: int, device: torch.device) -> int:
    """Say how many of equal parts, of so many voxels each, are worked on at once."""
    return max(1, VOXELS_AT_ONCE[device.type] // max(1, voxels))


def scanning_device(device: torch.device) -> torch.device:
    """Return the device for running maxima (cummax), which PyTorch lacks on MPS."""
    return torch.device("cpu") if device.type == "mps" else device


def describe(device: torch.device) -> str:
    """Describe device, threads and precision in a few words, for records."""
    return f"{named(device)}, {str(fast_dtype(device)).removeprefix('torch.')}"


def named(device: torch.device) -> str:
    """Name device and threads in a few words, for the user."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        return f"cpu, {counted(torch.get_num_threads(), 'thread')}"
    return device.type
