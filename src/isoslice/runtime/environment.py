"""Versions, processor, memory, accelerators: for bug reports. Never fails.

Leaves out host names, user names and paths.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import isoslice

#: Libraries whose versions matter in a bug report.
LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "safetensors",
    "pydantic",
    "tifffile",
    "imagecodecs",
    "zarr",
    "numcodecs",
    "yaozarrs",
    "imageio",
    "lazy_loader",
    "Pillow",
    "scikit-image",
    "typer",
    "rich",
)
#: Libraries that only some files and commands need.
OPTIONAL = (
    "nibabel",
    "SimpleITK",
    "mrcfile",
    "h5py",
    "hdf5plugin",
    "bioio",
    "bioio-czi",
    "bioio-nd2",
    "bioio-lif",
    "matplotlib",
    "distributed",
    "napari",
    "qtpy",
)
#: Module that each optional extra installs.
EXTRAS = {
    "nifti": "nibabel",
    "itk": "SimpleITK",
    "mrc": "mrcfile",
    "hdf5": "h5py",
    "bioio": "bioio",
    "figures": "matplotlib",
    "cluster": "distributed",
    "napari": "napari",
}


@dataclass(frozen=True)
class Environment:
    """Versions and hardware; None for what is absent or cannot be determined.

    Attributes
    ----------
    isoslice, python
        Versions.
    system
        Operating system and its version.
    machine
        Processor architecture.
    processor
        Processor name.
    cores
        Cores that this process may use.
    memory_gib
        Memory of the machine.
    libraries
        Version of each library.
    optional
        Version of each library that only some files and commands need.
    extras
        Whether each optional extra is installed.
    torch
        Threads, instruction set, bfloat16 support and accelerators, as torch sees them.
    """

    isoslice: str
    python: str
    system: str
    machine: str
    processor: str | None
    cores: int | None
    memory_gib: float | None
    libraries: dict[str, str | None]
    optional: dict[str, str | None]
    extras: dict[str, bool]
    torch: dict[str, Any] | None


def environment() -> Environment:
    """Collect versions and hardware of this machine."""
    return Environment(
        isoslice=isoslice.__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        system=platform.platform(),
        machine=platform.machine(),
        processor=_processor(),
        cores=_cores(),
        memory_gib=_memory_gib(),
        libraries={name: _version(name) for name in LIBRARIES},
        optional={name: _version(name) for name in OPTIONAL},
        extras={name: _installed(module) for name, module in EXTRAS.items()},
        torch=_torch(),
    )


def _version(name: str) -> str | None:
    with contextlib.suppress(Exception):
        return metadata.version(name)
    return None


def _installed(module: str) -> bool:
    with contextlib.suppress(Exception):
        return util.find_spec(module) is not None
    return False


def _processor() -> str | None:
    with contextlib.suppress(Exception):
        if sys.platform == "linux":
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, encoding="utf-8", timeout=5
            ).stdout.strip()
        return platform.processor() or None
    return None


def _cores() -> int | None:
    with contextlib.suppress(Exception):
        # A container or a job scheduler may grant fewer than the machine has.
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gib() -> float | None:
    with contextlib.suppress(Exception):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return round(size / 2**30, 1)
    return None


def _torch() -> dict[str, Any] | None:
    try:
        import torch
    except Exception:  # a bug report must survive a broken installation
        return None
    report: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "cpu_capability": None,
        "cpu_bfloat16": None,
        "device": None,
        "cuda": [],
        "cuda_version": None,
        "mps": False,
    }
    with contextlib.suppress(Exception):
        report["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    with contextlib.suppress(Exception):
        from isoslice.runtime.device import choose_device, cpu_has_bfloat16, describe

        report["cpu_bfloat16"] = cpu_has_bfloat16()
        report["device"] = describe(choose_device())
    with contextlib.suppress(Exception):
        report["cuda_version"] = torch.version.cuda
        report["cuda"] = [
            {
                "name": torch.cuda.get_device_name(i),
                "memory_gib": round(torch.cuda.get_device_properties(i).total_memory / 2**30, 1),
            }
            for i in range(torch.cuda.device_count())
        ]
    with contextlib.suppress(Exception):
        report["mps"] = bool(torch.backends.mps.is_available())
    return report
