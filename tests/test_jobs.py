"""Volumes restored block by block: whoever does it, however often it is interrupted."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from isoslice import write_volume
from isoslice.blocks import Reach
from isoslice.config import ModelConfig, NetworkSettings
from isoslice.errors import DataError, IsosliceError, OutputError, SettingsError
from isoslice.io import read_volume
from isoslice.jobs import job as job_module
from isoslice.jobs.begin import Request, unfinished
from isoslice.jobs.job import HIDDEN, Job
from isoslice.jobs.ledger import Ledger
from isoslice.jobs.lock import locked
from isoslice.jobs.memory import parse_memory, window_voxels
from isoslice.jobs.plan import files_digest
from isoslice.jobs.run import How, restore_image
from isoslice.model import Model
from isoslice.network import Denoiser
from isoslice.progress import Progress
from isoslice.volume import Volume

SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


@pytest.fixture
def request_(tmp_path, monkeypatch):
    """A request that makes eight blocks of 64 x 64 x 64 or so."""
    torch.manual_seed(0)
    shape = NetworkSettings(channels=1, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    network = Denoiser(1, shape.widths, shape.blocks_down, shape.blocks_up).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    Model(ModelConfig(sigma_data=0.1, network=shape), network).save(tmp_path / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (20, 140, 150)).astype(np.uint8)
    write_volume(tmp_path / "stack.ome.zarr", Volume(data, "ZYX", SPACING, "micrometer"))
    monkeypatch.setattr("isoslice.jobs.begin.REACH", Reach(8, 8))
    monkeypatch.setattr("isoslice.jobs.begin.window_voxels", lambda *_: 900_000)
    return Request(
        tmp_path / "stack.ome.zarr", tmp_path / "m.model", tmp_path / "out.ome.zarr", threads=2
    )


def voxels(path):
    return read_volume(path).data


@pytest.fixture
def undisturbed(request_):
    other = replace(request_, output=request_.output.with_name("undisturbed.ome.zarr"))
    restore_image(other, How(), Progress())
    return voxels(other.output)


def test_a_stack_becomes_an_image(request_):
    outcome = restore_image(request_, How(), Progress())
    assert outcome.finished
    assert outcome.blocks > 4
    made, stack = read_volume(request_.output), read_volume(request_.stack)
    assert made.data.shape == (77, 140, 150)
    assert made.data.dtype == np.uint8
    assert made.spacing == {"Z": 0.5, "Y": 0.5, "X": 0.5}
    np.testing.assert_array_equal(made.data[::4], stack.data)
    assert made.provenance["factor"] == 4
    assert not unfinished(request_.output).exists()
    record = json.loads(request_.output.with_name("out.ome.zarr.json").read_text())
    assert record["blocks"] == outcome.blocks
    names = {path.name for path in request_.output.parent.iterdir()}
    assert names == {"m.model", "stack.ome.zarr", "out.ome.zarr", "out.ome.zarr.json"}


def test_blocks_are_like_the_whole(request_):
    restore_image(request_, How(), Progress())
    whole = Model.load(request_.model).predict(read_volume(request_.stack)).volume
    found = voxels(request_.output)
    assert np.abs(found.astype(int) - whole).mean() < 0.5


def test_parts_make_the_same_image(request_, undisturbed):
    for number in (2, 3, 1):
        outcome = restore_image(request_, How(part=(number, 3)), Progress())
    assert outcome.finished
    np.testing.assert_array_equal(voxels(request_.output), undisturbed)


@pytest.mark.slow
def test_a_cluster_makes_the_same_image(request_, undisturbed):
    pytest.importorskip("distributed")
    # Workers are other processes, which know nothing of the monkeypatches but by the plan.
    outcome = restore_image(request_, How(workers=2), Progress())
    assert outcome.finished
    np.testing.assert_array_equal(voxels(request_.output), undisturbed)


class Stop(Exception):  # noqa: N818
    pass


def stopping(monkeypatch, after):
    """Let restoring fail after some blocks; returns what was restored."""
    done = []
    original = Job.restore

    def restore(self, index, report=lambda fraction: None):
        if len(done) == after:
            raise Stop
        done.append(index)
        return original(self, index, report)

    monkeypatch.setattr(job_module.Job, "restore", restore)
    return done


def test_an_interrupted_run_goes_on(request_, undisturbed, monkeypatch):
    with monkeypatch.context() as patch:
        first = stopping(patch, 3)
        with pytest.raises(Stop):
            restore_image(request_, How(), Progress())
    assert unfinished(request_.output).exists()
    assert not request_.output.exists()
    with monkeypatch.context() as patch:
        second = stopping(patch, 1000)
        assert restore_image(request_, How(resume=True), Progress()).finished
    assert not set(first) & set(second)
    np.testing.assert_array_equal(voxels(request_.output), undisturbed)


def interrupted(request, monkeypatch, after=2):
    with monkeypatch.context() as patch:
        stopping(patch, after)
        with pytest.raises(Stop):
            restore_image(request, How(), Progress())


def test_nothing_is_left_where_nothing_was_done(request_, monkeypatch):
    interrupted(request_, monkeypatch, after=0)
    assert not unfinished(request_.output).exists()


@pytest.mark.parametrize("cut", [0, 7])
def test_a_file_that_was_cut_off_is_made_again(request_, undisturbed, monkeypatch, cut):
    interrupted(request_, monkeypatch)
    folder = unfinished(request_.output)
    ledger = Ledger(folder / HIDDEN)
    done = ledger.done(folder)
    assert len(done) == 2
    shard = next(path for path in sorted((folder / "0" / "c").rglob("*")) if path.is_file())
    with shard.open("r+b") as stream:
        stream.truncate(shard.stat().st_size - cut if cut else 0)
    assert len(ledger.done(folder)) == 1
    restore_image(request_, How(resume=True), Progress())
    np.testing.assert_array_equal(voxels(request_.output), undisturbed)


def test_a_line_that_was_cut_off_does_not_count(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record(3, {})
    ledger.record(4, {})
    path = tmp_path / "done-all.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert Ledger(tmp_path).done(tmp_path) == {3}
    Ledger(tmp_path).record(5, {})  # begins a line of its own
    assert Ledger(tmp_path).done(tmp_path) == {3, 5}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 1}, "seed"),
        ({"mode": "mean"}, "mode"),
        ({"factor": 3}, "factor"),
        ({"detail": 0.5}, "detail"),
        ({"steps": 4}, "steps"),
    ],
)
def test_other_settings_do_not_go_on(request_, monkeypatch, change, word):
    interrupted(request_, monkeypatch)
    with pytest.raises(SettingsError, match=f"another .*{word}"):
        restore_image(replace(request_, **change), How(resume=True), Progress())
    assert unfinished(request_.output).exists()


def test_another_stack_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    shard = next(path for path in (request_.stack / "0" / "c").rglob("*") if path.is_file())
    os.utime(shard, (1, 1))
    with pytest.raises(SettingsError, match="another stack"):
        restore_image(request_, How(resume=True), Progress())


def test_another_model_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    model = Model.load(request_.model)
    with torch.no_grad():
        next(model.network.parameters()).mul_(2)
    model.save(request_.model, overwrite=True)
    with pytest.raises(SettingsError, match="another model"):
        restore_image(request_, How(resume=True), Progress())


def test_what_is_unfinished_is_not_overwritten_unasked(request_, undisturbed, monkeypatch):
    interrupted(request_, monkeypatch)
    with pytest.raises(OutputError, match="--resume"):
        restore_image(request_, How(), Progress())
    restore_image(request_, How(overwrite=True), Progress())
    np.testing.assert_array_equal(voxels(request_.output), undisturbed)


def test_nothing_to_go_on_with(request_):
    with pytest.raises(SettingsError, match="no unfinished output"):
        restore_image(request_, How(resume=True), Progress())


def test_two_runs_do_not_write_the_same_output(request_):
    lock = unfinished(request_.output).with_name("out.ome.zarr.unfinished.lock")
    with locked(lock, request_.output), pytest.raises(OutputError, match="another run"):
        restore_image(request_, How(), Progress())
    with locked(lock, request_.output, shared=True), locked(lock, request_.output, shared=True):
        pass
    assert restore_image(request_, How(), Progress()).finished


def test_a_stack_that_vanishes_is_a_clean_error(request_, monkeypatch):
    original = Job.restore

    def restore(self, index, report=lambda fraction: None):
        if index == 1:
            (request_.stack / "0").rename(request_.stack / "gone")
        return original(self, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "restore", restore)
        with pytest.raises(IsosliceError):
            restore_image(request_, How(), Progress())
    (request_.stack / "gone").rename(request_.stack / "0")
    assert restore_image(request_, How(resume=True), Progress()).finished


def test_not_a_number_stops_before_anything_is_written(request_):
    data = np.random.default_rng(0).random((5, 40, 40)).astype(np.float32)
    data[2, 3, 4] = np.nan
    bad = request_.stack.with_name("bad.npy")
    write_volume(bad, Volume(data, "ZYX", SPACING))
    with pytest.raises(DataError, match="NaN"):
        restore_image(replace(request_, stack=bad), How(), Progress())
    assert not unfinished(request_.output).exists()
    assert not request_.output.exists()


def test_memory_is_read_as_people_write_it():
    assert parse_memory("4GB") == 4 * 10**9
    assert parse_memory("500 mb") == 500 * 10**6
    assert parse_memory("2GiB") == 2 * 2**30
    assert parse_memory("1000000") == 10**6
    for wrong in ("", "4 apples", "-1GB", "0"):
        with pytest.raises(SettingsError, match="memory"):
            parse_memory(wrong)
    with pytest.raises(SettingsError, match="--memory"):
        window_voxels(10**8, 1, 2)
    assert window_voxels(8 * 10**9, 2, 2) < window_voxels(8 * 10**9, 1, 2)


def test_digests_tell_of_every_change(tmp_path):
    folder = tmp_path / "a"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "c").write_bytes(b"123")
    seen = {files_digest(folder)}
    assert files_digest(folder) in seen
    os.utime(folder / "b" / "c", ns=(5, 5))
    seen.add(files_digest(folder))
    (folder / "b" / "c").write_bytes(b"1234")
    seen.add(files_digest(folder))
    (folder / "d").write_bytes(b"")
    seen.add(files_digest(folder))
    assert len(seen) == 4
