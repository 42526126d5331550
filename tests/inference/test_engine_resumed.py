"""Volumes restored slab by slab: interrupted, gone on with, and what is refused."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isoslice import write_volume
from isoslice.data.volume import Volume
from isoslice.errors import DataError, IsosliceError, OutputError, SettingsError
from isoslice.inference.engine.begin import Request, unfinished
from isoslice.inference.engine.job import Job, open_job
from isoslice.inference.engine.job_plan import files_glance
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.locks import locked
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.io import read_volume
from isoslice.io.options import ReadOptions
from isoslice.runtime.progress import Progress
from jobs_setup import SPACING, files, run, small_model, voxels


class Stop(Exception):  # noqa: N818
    pass


def stopping(monkeypatch, after):
    """Let work stop after some tasks; returns what was done."""
    done: list[str] = []
    original = Job.run_task

    def run_task(job, stage, index, report):
        if len(done) == after:
            raise Stop
        done.append(stage.task(index))
        return original(job, stage, index, report)

    monkeypatch.setattr(Job, "run_task", run_task)
    return done


def interrupted(request, monkeypatch, after=2):
    with monkeypatch.context() as patch:
        done = stopping(patch, after)
        with pytest.raises(Stop):
            run(request)
    return done


@pytest.mark.parametrize("after", [1, 5, 12, 24, 26])
def test_an_interrupted_run_goes_on(request_, undisturbed, monkeypatch, after):
    first = interrupted(request_, monkeypatch, after)
    assert unfinished(request_.output).exists()
    assert not request_.output.exists()
    with monkeypatch.context() as patch:
        second = stopping(patch, 1000)
        run(request_, resume=True)
    assert not set(first) & set(second)
    assert files(request_.output) == files(undisturbed)


def test_nothing_is_left_where_nothing_was_done(request_, monkeypatch):
    interrupted(request_, monkeypatch, after=0)
    assert not unfinished(request_.output).exists()


def test_a_plan_that_took_long_is_kept_where_nothing_was_done(request_, undisturbed, monkeypatch):
    monkeypatch.setattr("isoslice.inference.engine.run.WORTH_KEEPING", 0)
    interrupted(request_, monkeypatch, after=0)
    assert unfinished(request_.output).exists()
    with monkeypatch.context() as patch:
        patch.setattr("isoslice.inference.engine.begin.inspect", None)  # the stack is not measured
        run(request_, resume=True)
    assert files(request_.output) == files(undisturbed)


@pytest.mark.parametrize("how", [{"resume": True}, {"part": (2, 3)}])
def test_what_was_planned_alone_is_gone_on_with(request_, undisturbed, monkeypatch, how):
    made = run(request_, plan_only=True)
    assert (made.tasks, made.finished) == (0, None)
    assert not request_.output.exists()
    monkeypatch.setattr("isoslice.inference.engine.begin.inspect", None)
    run(request_, **how)
    assert files(request_.output) == files(undisturbed)


@pytest.mark.parametrize("cut", [0, 7])
@pytest.mark.parametrize("after", [3, 26])
def test_a_file_that_was_cut_off_is_made_again(request_, undisturbed, monkeypatch, after, cut):
    """A slab of a pass, or a block of the output."""
    done = interrupted(request_, monkeypatch, after)
    folder = unfinished(request_.output)
    recorded = Ledger(folder).done
    name = next(iter(recorded[done[-1]]))
    with (folder / name).open("r+b") as stream:
        stream.truncate((folder / name).stat().st_size - cut if cut else 0)
    with monkeypatch.context() as patch:
        again = stopping(patch, 1000)
        run(request_, resume=True)
    assert set(done) & set(again) == {done[-1]}
    assert files(request_.output) == files(undisturbed)


def test_a_slab_that_is_lost_later_is_a_clean_error(request_, monkeypatch):
    done = interrupted(request_, monkeypatch, after=7)
    assert done[-1] == "0/mean-1/1"
    folder = unfinished(request_.output)
    for name in Ledger(folder).done[done[0]]:
        (folder / name).write_bytes(b"short")
    with pytest.raises(OutputError, match="--overwrite"):
        run(request_, resume=True)


def test_disk_and_permissions_are_clean_errors(request_, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("isoslice.io.atomic.os.fsync", full)
        with pytest.raises(OutputError, match="disk is full"):
            run(request_)
    with monkeypatch.context() as patch:
        patch.setattr("isoslice.inference.engine.begin.field_bytes", lambda *_: 10**12)
        patch.setattr("isoslice.inference.engine.need.free_bytes", lambda _: 10**9)
        with pytest.raises(OutputError, match="choose another disk"):
            run(request_)
    assert not unfinished(request_.output).exists()
    run(request_)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"options": PredictOptions(seed=1)}, "seed"),
        ({"options": PredictOptions(mode="mean")}, "mode"),
        ({"factor": 3}, "factor"),
        ({"options": PredictOptions(detail=0.5)}, "detail"),
        ({"options": PredictOptions(steps=4)}, "steps"),
        ({"options": PredictOptions(missing="1")}, "missing planes"),
        ({"reading": ReadOptions(voxel_size=(4, 1, 1))}, "voxel size"),
        ({"reading": ReadOptions(channel="0")}, "channel"),
    ],
)
def test_other_settings_do_not_go_on(request_, monkeypatch, change, word):
    interrupted(request_, monkeypatch)
    with pytest.raises(SettingsError, match=f"another .*{word}"):
        run(replace(request_, **change), resume=True)
    assert unfinished(request_.output).exists()


def test_another_version_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    monkeypatch.setattr("isoslice.inference.engine.begin.__version__", "0.0.1")
    with pytest.raises(SettingsError, match="another version"):
        run(request_, resume=True)


def test_another_stack_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    shard = next(path for path in (request_.stack / "0" / "c").rglob("*") if path.is_file())
    os.utime(shard, (1, 1))
    with pytest.raises(SettingsError, match="another stack"):
        run(request_, resume=True)


def test_a_stack_that_was_moved_goes_on(request_, undisturbed, monkeypatch):
    interrupted(request_, monkeypatch)
    there = request_.stack.parent / "moved"
    there.mkdir()
    request_.stack.rename(there / request_.stack.name)
    run(replace(request_, stack=there / request_.stack.name), resume=True)
    assert voxels(request_.output).tobytes() == voxels(undisturbed).tobytes()


def test_slabs_stay_as_they_were(request_, undisturbed, monkeypatch):
    interrupted(request_, monkeypatch)
    notes = []
    monkeypatch.setattr(Progress, "note", lambda self, text: notes.append(text))
    run(replace(request_, slab=8), resume=True)
    assert any("change nothing now" in note for note in notes)
    assert files(request_.output) == files(undisturbed)


def test_another_model_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    model = Model.load(request_.model)
    with torch.no_grad():
        next(model.network.parameters()).mul_(2)
    model.save(request_.model, overwrite=True)
    with pytest.raises(SettingsError, match="another model"):
        run(request_, resume=True)


def test_what_is_unfinished_is_not_overwritten_unasked(request_, undisturbed, monkeypatch):
    interrupted(request_, monkeypatch)
    with pytest.raises(OutputError, match="--resume"):
        run(request_)
    run(request_, overwrite=True)
    assert files(request_.output) == files(undisturbed)


def test_nothing_to_go_on_with(request_):
    with pytest.raises(SettingsError, match="no unfinished output"):
        run(request_, resume=True)


def test_two_runs_do_not_write_the_same_output(request_):
    lock = unfinished(request_.output).with_name("out.ome.zarr.unfinished.lock")
    with locked(lock, request_.output):
        with pytest.raises(OutputError, match="another run"):
            run(request_)
        assert lock.exists()  # it is the other run's
    with locked(lock, request_.output, shared=True), locked(lock, request_.output, shared=True):
        pass
    run(request_)


@pytest.mark.parametrize("back", [True, False])
def test_a_stack_that_vanishes_is_a_clean_error(request_, undisturbed, monkeypatch, back):
    original = Job.run_task

    def run_task(job, stage, index, report):
        if index == 2:
            (request_.stack / "0").rename(request_.stack / "gone")
        return original(job, stage, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run_task", run_task)
        with pytest.raises(DataError, match=r"stack.ome.zarr: got"):
            run(request_)
    if back:
        (request_.stack / "gone").rename(request_.stack / "0")
        run(request_, resume=True)
        assert files(request_.output) == files(undisturbed)
    else:
        with pytest.raises(IsosliceError):
            run(request_, resume=True)


def test_a_chunk_that_vanishes_is_found_at_the_end(request_, monkeypatch):
    original = Job.run_task

    def run_task(job, stage, index, report):
        if stage.name == "mean-1":
            for path in (request_.stack / "0" / "c").rglob("*"):
                if path.is_file():
                    path.unlink()
        return original(job, stage, index, report)

    monkeypatch.setattr(Job, "run_task", run_task)
    with pytest.raises(DataError, match="another stack"):
        run(request_)
    assert not request_.output.exists()
    with pytest.raises(SettingsError, match="no unfinished output"):
        run(request_, resume=True)  # even if the chunks came back: nobody knows what was read


def test_a_process_that_rounds_otherwise_does_not_join(request_, monkeypatch):
    interrupted(replace(request_, device="cpu"), monkeypatch)
    job = open_job(unfinished(request_.output))
    job.compute_on(torch.device("cpu", 0))  # as one of several
    assert job.restoration.device.index == 0
    job.saved = job.saved.model_copy(update={"arithmetic": "cuda float32"})
    with pytest.raises(SettingsError, match="made alike"):
        job.compute_on(torch.device("cpu"))


def test_a_plan_that_is_damaged_is_a_clean_error(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    (unfinished(request_.output) / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match="--overwrite"):
        run(request_, resume=True)
    with pytest.raises(OutputError):
        open_job(unfinished(request_.output))


def test_a_glance_tells_a_stack_that_is_gone(request_):
    before = files_glance(request_.stack)
    assert files_glance(request_.stack) == before
    (request_.stack / "0").rename(request_.stack.with_name("gone"))
    assert files_glance(request_.stack) != before
    assert files_glance(Path("nothing there")) == "gone"


def test_a_format_that_is_read_as_a_whole_has_to_be_small(request_, tmp_path, monkeypatch):
    pytest.importorskip("nibabel")
    monkeypatch.setattr("isoslice.inference.engine.begin.LEAST_BUDGET", 0)
    write_volume(tmp_path / "a.nii.gz", read_volume(request_.stack))
    run(replace(request_, stack=tmp_path / "a.nii.gz"))
    other = replace(request_, stack=tmp_path / "a.nii.gz", output=tmp_path / "b.ome.zarr")
    with pytest.raises(SettingsError, match="OME-Zarr"):
        run(replace(other, memory=10**4))


def test_what_is_not_ours_is_not_removed(request_):
    folder = unfinished(request_.output)
    folder.mkdir()
    (folder / "precious").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not made by isoslice"):
        run(request_, overwrite=True)
    assert (folder / "precious").exists()


def test_a_chosen_channel_is_restored_again_from_the_plan(tmp_path, monkeypatch):
    """Interrupted and gone on with, a job opens the channel, time and voxel size it began with."""
    small_model(tmp_path / "m.model")
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, (2, 3, 5, 40, 33)).astype(np.uint8)
    stack, alone = tmp_path / "stack.ome.zarr", tmp_path / "alone.ome.zarr"
    write_volume(stack, Volume(data, "TCZYX", SPACING, "micrometer"))
    write_volume(alone, Volume(data[1, 2], "ZYX", {"Z": 6.0, "Y": 2.0, "X": 2.0}, "micrometer"))
    reading = ReadOptions(channel="2", time="1", voxel_size=(6, 2, 2))
    chosen = Request(stack, tmp_path / "m.model", tmp_path / "chosen.ome.zarr", reading, slab=20)
    interrupted(chosen, monkeypatch)
    run(chosen, resume=True)
    run(replace(chosen, stack=alone, output=tmp_path / "a.ome.zarr", reading=ReadOptions()))
    found, expected = read_volume(chosen.output), read_volume(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(found.data, expected.data)
    assert (found.axes, found.spacing) == (expected.axes, expected.spacing) == (
        "ZYX", {"Z": 2.0, "Y": 2.0, "X": 2.0}
    )  # fmt: skip
