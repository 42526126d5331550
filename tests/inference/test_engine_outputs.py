"""What a run leaves beside its output, and what it finds there."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from isoslice import OutputError, read_volume, write_volume
from isoslice.errors import IsosliceWarning
from isoslice.inference.engine.end import record_path, remove_stale
from isoslice.inference.engine.predict import predict_file
from isoslice.inference.engine.run import How
from isoslice.inference.options import PredictOptions
from isoslice.runtime.progress import Progress
from jobs_setup import run

pytestmark = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


def predict(request, **how):
    return predict_file(request, How(**how), Progress())


def as_run_before(output, options):
    """Leave what a run with other options left: companions, and a record that names them."""
    record = json.loads(record_path(output).read_text(encoding="utf-8"))
    record["plan"]["options"] |= options
    record_path(output).write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("name", ["out.npy", "out.ome.zarr"])
def test_overwriting_leaves_no_samples_of_the_run_before(request_, tmp_path, name):
    request = replace(request_, output=tmp_path / name)
    predict(request)
    as_run_before(request.output, {"uncertainty": True, "samples": 2, "keep_samples": True})
    stem, _, suffix = name.partition(".")
    stale = [tmp_path / f"{stem}.{kind}.{suffix}" for kind in ("std", "sample-1", "sample-2")]
    other = tmp_path / f"{stem}.sample-3.{suffix}"  # of no run that is known
    for path in (*stale, other):
        if suffix == "npy":
            np.save(path, np.zeros((2, 2, 2)))
        else:
            path.mkdir()
    predict(request, overwrite=True)
    assert not any(path.exists() for path in stale)
    assert other.exists()
    assert read_volume(request.output).data.shape == (29, 58, 47)


@pytest.mark.parametrize("name", ["out.npy", "out.ome.zarr"])
@pytest.mark.parametrize("content", ["{}", "[1, 2]", "not JSON"])
def test_what_is_no_record_is_not_replaced_by_one(request_, tmp_path, name, content):
    request = replace(request_, output=tmp_path / name)
    record_path(request.output).write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match="was not made by isoslice"):
        predict(request, overwrite=True)
    assert record_path(request.output).read_text(encoding="utf-8") == content
    assert not request.output.exists()


@pytest.mark.parametrize("suffix", ["ome.tif", "ome.zarr"])
def test_the_stack_is_never_removed_as_stale(request_, tmp_path, suffix):
    request = replace(request_, output=tmp_path / f"out.{suffix}")
    predict(request)
    as_run_before(request.output, {"uncertainty": True, "samples": 2, "keep_samples": True})
    stack = tmp_path / f"out.sample-1.{suffix}"
    write_volume(stack, read_volume(request.stack))
    predict(replace(request, stack=stack), overwrite=True)
    assert stack.exists()
    with pytest.raises(OutputError, match="measured data are never replaced"):
        predict(
            replace(request, stack=stack, options=PredictOptions(samples=2, keep_samples=True)),
            overwrite=True,
        )


def test_planes_of_a_folder_are_never_replaced(request_, tmp_path):
    folder = tmp_path / "planes"
    folder.mkdir()
    for z, plane in enumerate(read_volume(request_.stack).data):
        tifffile.imwrite(folder / f"p.sample-{z + 1}.tif", plane)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    request = replace(request_, stack=folder, factor=4, output=folder / "p.tif")
    for output, options in (
        (folder / "p.sample-3.tif", PredictOptions()),
        (folder / "p.tif", PredictOptions(samples=2, keep_samples=True)),
    ):
        with pytest.raises(OutputError, match="measured data are never replaced"):
            predict(replace(request, output=output, options=options), overwrite=True)
    predict(replace(request, output=tmp_path / "p.tif"))
    for name in ("p.tif", "p.tif.json"):  # as if a run before had left its samples there
        (tmp_path / name).rename(folder / name)
    as_run_before(folder / "p.tif", {"uncertainty": True, "samples": 2, "keep_samples": True})
    remove_stale(folder / "p.tif", {}, folder / "p.sample-*.tif")
    assert {path.name: path.read_bytes() for path in folder.glob("*.sample-*")} == before


def test_a_disk_that_may_not_hold_the_result_is_doubted(request_, monkeypatch):
    needed = 6 * 29 * 58 * 47  # the mean, and a sample before and after a pass
    monkeypatch.setattr("isoslice.inference.engine.need.free_bytes", lambda folder: needed + 9)
    with pytest.warns(IsosliceWarning, match="if the disk fills up"):
        run(request_)
    monkeypatch.setattr("isoslice.inference.engine.need.free_bytes", lambda folder: needed - 9)
    with pytest.raises(OutputError, match="choose another disk"):
        run(request_, overwrite=True)


def test_a_disk_that_is_too_small_is_refused_before_the_stack_is_read(request_, monkeypatch):
    """Of 2 TB reading takes hours."""
    read = []
    monkeypatch.setattr("isoslice.inference.engine.begin.inspect", lambda *_: read.append(1))
    monkeypatch.setattr("isoslice.inference.engine.need.free_bytes", lambda folder: 1000)
    with pytest.raises(OutputError, match=r"expected 474 kB for what lies there"):
        run(request_)  # 6 * 29 * 58 * 47 bytes
    assert not read


def test_what_a_large_stack_needs_is_told_before_it_is_read(request_, monkeypatch):
    told = []
    monkeypatch.setattr(Progress, "note", lambda self, text: told.append(text))
    run(request_)
    assert not any("is read first" in note for note in told)
    monkeypatch.setattr("isoslice.inference.engine.begin.WORTH_TELLING", 8 * 58 * 47)
    run(request_, overwrite=True)
    number = next(n for n, note in enumerate(told) if "is read first" in note)
    assert "(21.8 kB; " in told[number]  # 8 * 58 * 47 bytes
    assert "up to 79.1 kB, " in told[number]  # 29 * 58 * 47
    assert any("slices are restored at once" in note for note in told[number:])
