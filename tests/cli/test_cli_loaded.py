"""What a prediction loads before its first voxel: nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

#: Each takes a tenth of a second or more: PyTorch loads the first by itself, on the meta device.
NOT_NEEDED = ("sympy", "scipy", "zarr", "skimage", "torch._dynamo")


def test_a_prediction_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    stack = tmp_path / "stack.npy"
    np.save(stack, np.random.default_rng(0).integers(0, 255, (4, 32, 32)).astype(np.uint8))
    code = (
        "import sys; from isoslice.cli import main; code = main(); "
        f"print([m for m in {NOT_NEEDED} if m in sys.modules]); sys.exit(code)"
    )
    options = ("-m", "pretrained", "--voxel-size", "2,1,1nm", "--axes", "ZYX", "--quiet")
    command = ("predict", str(stack), "-o", str(tmp_path / "volume.tif"), *options)
    found = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, encoding="utf-8", timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"
