"""Volumes restored slab by slab: whoever does it, however often it is interrupted."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isoslice import write_volume
from isoslice.config import ModelConfig, NetworkSettings
from isoslice.errors import DataError, IsosliceError, OutputError, SettingsError
from isoslice.io import read_volume
from isoslice.jobs import engines
from isoslice.jobs.begin import Request, unfinished
from isoslice.jobs.job import HIDDEN, open_job
from isoslice.jobs.ledger import Ledger
from isoslice.jobs.lock import locked
from isoslice.jobs.plan import files_glance
from isoslice.jobs.run import How, restore_image
from isoslice.model import Model
from isoslice.network import Denoiser
from isoslice.passes import BATCH_PIXELS
from isoslice.progress import Progress
from isoslice.volume import Volume

SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


def small_model(path, channels=1):
    torch.manual_seed(0)
    shape = NetworkSettings(channels=channels, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    network = Denoiser(channels, shape.widths, shape.blocks_down, shape.blocks_up).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    Model(ModelConfig(sigma_data=0.1, network=shape), network).save(path)


@pytest.fixture
def request_(tmp_path, monkeypatch):
    """A request of 28 tasks: five passes of 5 and 4 slabs in turn, gains, 4 blocks."""
    small_model(tmp_path / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (8, 90, 75)).astype(np.uint8)
    write_volume(tmp_path / "stack.ome.zarr", Volume(data, "ZYX", SPACING, "micrometer"))
    monkeypatch.setattr("isoslice.jobs.begin.BLOCK", 64)
    monkeypatch.setitem(BATCH_PIXELS, "cpu", 29 * 90 * 4)
    return Request(
        tmp_path / "stack.ome.zarr",
        tmp_path / "m.model",
        tmp_path / "out.ome.zarr",
        threads=2,
        slab=20,
    )


def run(request, **how):
    return restore_image(request, How(**how), Progress())


def voxels(path):
    return read_volume(path).data


def files(path):
    """All of an image's files and what is in them, but for when it was made."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def undisturbed(request_):
    other = replace(request_, output=request_.output.with_name("undisturbed.ome.zarr"))
    run(other)
    return other.output


def test_a_stack_becomes_an_image(request_):
    outcome = run(request_)
    made, stack = read_volume(request_.output), read_volume(request_.stack)
    assert made.data.shape == (29, 90, 75)
    assert made.data.dtype == np.uint8
    assert made.spacing == {"Z": 0.5, "Y": 0.5, "X": 0.5}
    np.testing.assert_array_equal(made.data[::4], stack.data)
    assert made.provenance["factor"] == 4
    assert outcome.voxels == made.data.size
    assert not unfinished(request_.output).exists()
    record = json.loads(request_.output.with_name("out.ome.zarr.json").read_text())
    assert record["runs"][0]["tasks"] == outcome.tasks == 28
    assert record["plan"]["factor"] == 4
    names = {path.name for path in request_.output.parent.iterdir()}
    assert names == {"m.model", "stack.ome.zarr", "out.ome.zarr", "out.ome.zarr.json"}
    assert not (request_.output / HIDDEN).exists()


@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("slab", [None, 8, 20, 1000])
def test_slabs_do_not_show(request_, mode, slab):
    """Every voxel is that of `Model.predict`, which has the whole volume in memory."""
    run(replace(request_, slab=slab, mode=mode))
    whole = Model.load(request_.model).predict(read_volume(request_.stack), mode=mode).volume
    np.testing.assert_array_equal(voxels(request_.output), whole)


def test_slabs_do_not_show_in_floats_of_several_channels_and_times(request_, tmp_path):
    small_model(tmp_path / "two.model", channels=2)
    data = np.random.default_rng(1).normal(size=(2, 2, 5, 40, 45)).astype(np.float32)
    write_volume(tmp_path / "tc.npy", Volume(data, "TCZYX", SPACING, "micrometer", ("a", "b")))
    request = replace(request_, stack=tmp_path / "tc.npy", model=tmp_path / "two.model", slab=8)
    run(request)
    made = read_volume(request_.output)
    whole = Model.load(request.model).predict(read_volume(request.stack)).volume
    np.testing.assert_array_equal(made.data, whole)
    assert made.channel_names == ("a", "b")


def test_slabs_of_a_distilled_model_do_not_show(request_):
    model = Model.load(request_.model)
    config = model.config.model_copy(update={"distilled": distilled_settings()})
    Model(config, model.network).save(request_.model, overwrite=True)
    run(request_)
    whole = Model.load(request_.model).predict(read_volume(request_.stack)).volume
    np.testing.assert_array_equal(voxels(request_.output), whole)


def distilled_settings():
    from isoslice.config import DistilledSettings

    return DistilledSettings(sigma_second=1.0)


def command(request, *options):
    return [
        sys.executable, "-c", COMMAND, "predict", str(request.stack), "-m", str(request.model),
        "-o", str(request.output), "--device", "cpu", "-q", "--slab", "20", *options,
    ]  # fmt: skip


#: The command line, with the fixture's patches, and so slow that others get their share.
COMMAND = """
import sys, time
import isoslice.jobs.begin as begin
import isoslice.jobs.engines as engines
run_task = engines.run_task
engines.run_task = lambda *task: (time.sleep(0.2), run_task(*task))[1]
from isoslice.passes import BATCH_PIXELS
begin.BLOCK, BATCH_PIXELS["cpu"] = 64, 29 * 90 * 4
from isoslice.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_parts_at_once_make_the_same_files(request_, undisturbed):
    runs = [subprocess.Popen(command(request_, "--part", f"{i}/3")) for i in (2, 3, 1)]
    assert [each.wait(timeout=300) for each in runs] == [0, 0, 0]
    assert files(request_.output) == files(undisturbed)
    record = json.loads(request_.output.with_name("out.ome.zarr.json").read_text())
    assert sum(record["tasks"].values()) == 28
    assert len(record["tasks"]) > 1
    # One that comes late finds nothing to do.
    assert subprocess.run(command(request_, "--part", "3/3"), check=False).returncode == 0
    assert files(request_.output) == files(undisturbed)


def test_one_part_alone_does_what_others_would(request_, undisturbed):
    run(request_, part=(2, 3))
    assert files(request_.output) == files(undisturbed)


def test_parts_are_not_told_to_overwrite(request_):
    with pytest.raises(SettingsError, match="--overwrite"):
        run(request_, part=(1, 2), overwrite=True)


@pytest.mark.slow
def test_a_cluster_makes_the_same_files(request_, undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed")
    # Workers are other processes, which know of the patches by this alone.
    patch = tmp_path / "patch.py"
    patch.write_text(
        "from isoslice.passes import BATCH_PIXELS\nBATCH_PIXELS['cpu'] = 29 * 90 * 4\n"
    )
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as two,
        distributed.Client(two) as client,
    ):
        client.upload_file(str(patch))
        client.run(__import__, "patch")
        run(request_, scheduler=two.scheduler_address)
    assert files(request_.output) == files(undisturbed)


@pytest.mark.slow
def test_workers_make_the_same_files(tmp_path):
    pytest.importorskip("distributed")
    small_model(tmp_path / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (8, 90, 75)).astype(np.uint8)
    write_volume(tmp_path / "stack.ome.zarr", Volume(data, "ZYX", SPACING, "micrometer"))
    one, two = (
        Request(tmp_path / "stack.ome.zarr", tmp_path / "m.model", tmp_path / name, slab=slab)
        for name, slab in (("one.ome.zarr", 90), ("two.ome.zarr", 20))
    )
    run(one)
    run(two, workers=2)
    assert files(one.output) == files(two.output)


@pytest.mark.slow
def test_a_worker_that_ends_while_it_starts_is_told(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "if __name__ == '__mp_main__':\n"  # what worker processes import
        "    os._exit(1)\n"
        "from isoslice.errors import IsosliceError\n"
        "from isoslice.jobs.engines import local_cluster\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with local_cluster(2, 1):\n"
        "            print('started')\n"
        "    except IsosliceError as error:\n"
        "        print(error)\n"
    )
    ran = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=300)
    assert ran.stdout.startswith("a worker ended while it started")
    assert ran.returncode == 0


def test_no_scheduler_answers(request_):
    pytest.importorskip("distributed")
    with pytest.raises(SettingsError, match="no Dask scheduler answers"):
        run(request_, scheduler="not an address")
    assert not unfinished(request_.output).exists()


class Stop(Exception):  # noqa: N818
    pass


def stopping(monkeypatch, after):
    """Let work stop after some tasks; returns what was done."""
    done = []
    original = engines.run_task

    def run_task(job, stage, index, report):
        if len(done) == after:
            raise Stop
        done.append(stage.task(index))
        return original(job, stage, index, report)

    monkeypatch.setattr(engines, "run_task", run_task)
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


@pytest.mark.parametrize("cut", [0, 7])
@pytest.mark.parametrize("after", [3, 26])
def test_a_file_that_was_cut_off_is_made_again(request_, undisturbed, monkeypatch, after, cut):
    """A slab of a pass, or a block of the output."""
    done = interrupted(request_, monkeypatch, after)
    folder = unfinished(request_.output)
    recorded = Ledger(folder / HIDDEN).done
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
    assert done[-1] == "0/pass-1/1"
    folder = unfinished(request_.output)
    for name in Ledger(folder / HIDDEN).done[done[0]]:
        (folder / name).write_bytes(b"short")
    with pytest.raises(OutputError, match="--overwrite"):
        run(request_, resume=True)


def test_disk_and_permissions_are_clean_errors(request_, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("isoslice.jobs.scratch.os.fsync", full)
        with pytest.raises(OutputError, match="disk is full"):
            run(request_)
    with monkeypatch.context() as patch:
        patch.setattr("isoslice.jobs.begin.scratch_bytes", lambda _: 10**12)
        patch.setattr("isoslice.jobs.begin.free_bytes", lambda _: 10**9)
        with pytest.raises(OutputError, match="choose another disk"):
            run(request_)
    assert not unfinished(request_.output).exists()
    run(request_)


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
        run(replace(request_, **change), resume=True)
    assert unfinished(request_.output).exists()


def test_another_version_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    monkeypatch.setattr("isoslice.jobs.begin.__version__", "0.0.1")
    with pytest.raises(SettingsError, match="another version"):
        run(request_, resume=True)


def test_another_stack_does_not_go_on(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    shard = next(path for path in (request_.stack / "0" / "c").rglob("*") if path.is_file())
    os.utime(shard, (1, 1))
    with pytest.raises(SettingsError, match="another stack"):
        run(request_, resume=True)


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
    with locked(lock, request_.output), pytest.raises(OutputError, match="another run"):
        run(request_)
    with locked(lock, request_.output, shared=True), locked(lock, request_.output, shared=True):
        pass
    run(request_)


@pytest.mark.parametrize("back", [True, False])
def test_a_stack_that_vanishes_is_a_clean_error(request_, undisturbed, monkeypatch, back):
    original = engines.run_task

    def run_task(job, stage, index, report):
        if index == 2:
            (request_.stack / "0").rename(request_.stack / "gone")
        return original(job, stage, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(engines, "run_task", run_task)
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
    original = engines.run_task

    def run_task(job, stage, index, report):
        if stage.name == "pass-1":
            for path in (request_.stack / "0" / "c").rglob("*"):
                if path.is_file():
                    path.unlink()
        return original(job, stage, index, report)

    monkeypatch.setattr(engines, "run_task", run_task)
    with pytest.raises(DataError, match="another stack"):
        run(request_)
    assert not request_.output.exists()
    with pytest.raises(SettingsError, match="no unfinished output"):
        run(request_, resume=True)  # even if the chunks came back: nobody knows what was read


def test_not_a_number_stops_before_anything_is_written(request_):
    data = np.random.default_rng(0).random((5, 40, 40)).astype(np.float32)
    data[2, 3, 4] = np.nan
    bad = request_.stack.with_name("bad.npy")
    write_volume(bad, Volume(data, "ZYX", SPACING))
    with pytest.raises(DataError, match="NaN"):
        restore_image(replace(request_, stack=bad), How(), Progress())
    assert not unfinished(request_.output).exists()
    assert not request_.output.exists()


def test_a_process_that_rounds_otherwise_does_not_join(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    job = open_job(unfinished(request_.output))
    job.compute_on(torch.device("cpu", 0))  # as one of several
    assert job.device.index == 0
    job.plan = job.plan.model_copy(update={"arithmetic": "cuda float32"})
    with pytest.raises(SettingsError, match="made alike"):
        job.compute_on(torch.device("cpu"))


def test_a_plan_that_is_damaged_is_a_clean_error(request_, monkeypatch):
    interrupted(request_, monkeypatch)
    (unfinished(request_.output) / HIDDEN / "plan.json").write_text("{")
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


def test_a_format_that_is_read_as_a_whole_has_to_be_small(request_, tmp_path):
    pytest.importorskip("nibabel")
    write_volume(tmp_path / "a.nii.gz", read_volume(request_.stack))
    run(replace(request_, stack=tmp_path / "a.nii.gz"))
    other = replace(request_, stack=tmp_path / "a.nii.gz", output=tmp_path / "b.ome.zarr")
    with pytest.raises(SettingsError, match="OME-Zarr"):
        run(replace(other, memory=10**5))


def test_what_is_not_ours_is_not_removed(request_):
    folder = unfinished(request_.output)
    folder.mkdir()
    (folder / "precious").write_text("mine")
    with pytest.raises(OutputError, match="not made by isoslice"):
        run(request_, overwrite=True)
    assert (folder / "precious").exists()
