"""Packages by bioimage.io's own programs: they pass all its tests, and give what predict gives.

Skipped unless ISOSLICE_BIOIMAGEIO names a Python that has them, in an environment of its own:
`.ci/bioimageio` makes one and runs these tests.

Tried by hand, too: core 0.9.0 with spec 0.5.4.3 (2025), which insists on authors and a licence;
spec 0.5.14.3, reading alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import isoslice
from conftest import texture
from packages import model, package

PYTHON = os.environ.get("ISOSLICE_BIOIMAGEIO")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs ISOSLICE_BIOIMAGEIO, a Python with bioimageio"),
]


@pytest.mark.parametrize("about", [{}, {"authors": ["A. Person"], "license": "CC0-1.0"}])
def test_packages_pass_and_run(about, tmp_path, monkeypatch):
    monkeypatch.setattr("isoslice.runtime.device.cpu_has_bfloat16", lambda: False)
    made, stack = model(softening=0.16, head=True), texture(2, 4, 30, 37, dtype="float32")
    path = package(tmp_path, made, factor=3, **about)
    np.save(tmp_path / "stack.npy", stack[:, None])
    script = Path(__file__).parents[1] / "bioimageio_check.py"
    names = (path, *(tmp_path / name for name in ("stack.npy", "volume.npy", "again.zip")))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [str(PYTHON), str(script), *map(str, names)],
        capture_output=True,
        encoding="utf-8",
        env={**environment, "BIOIMAGEIO_CACHE_PATH": str(tmp_path / "cache")},
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["status"] == "passed", told
    assert {each["status"] for each in told["details"]} == {"passed"}
    assert len(told["details"]) >= 10  # batches of 1 and 2, of three sizes, among them
    assert not told["isoslice"]
    found = np.load(tmp_path / "volume.npy")
    assert found.shape == (2, 1, 10, 30, 37)
    options = {"factor": 3, "mode": "mean", "missing": "none", "device": "cpu"}
    for volume, one in zip(found, stack, strict=True):
        ours = made.predict(one, "ZYX", **options).volume
        np.testing.assert_allclose(volume[0], ours, atol=0.1)
    assert isoslice.import_bioimageio(tmp_path / "again.zip").fingerprint == made.fingerprint


def test_it_has_no_isoslice():
    ran = subprocess.run(
        [str(PYTHON), "-I", "-c", "import isoslice"], capture_output=True, encoding="utf-8"
    )
    assert "No module named 'isoslice'" in ran.stderr
    assert Path(sys.executable) != Path(str(PYTHON))
