"""Volumes restored slab by slab: the same voxels, whoever does it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from isoslice import write_volume
from isoslice.data.volume import Volume
from isoslice.errors import OutputError, SettingsError
from isoslice.inference.engine.begin import Request, unfinished
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.io import read_volume
from jobs_setup import SPACING, files, run, small_model, voxels


def test_a_stack_becomes_an_image(request_):
    outcome = run(request_)
    made, stack = read_volume(request_.output), read_volume(request_.stack)
    assert made.data.shape == (29, 58, 47)
    assert made.data.dtype == np.uint8
    assert made.spacing == {"Z": 0.5, "Y": 0.5, "X": 0.5}
    np.testing.assert_array_equal(made.data[::4], stack.data)
    assert made.provenance["factor"] == 4
    assert outcome.voxels == made.data.size
    assert not unfinished(request_.output).exists()
    record = json.loads(request_.output.with_name("out.ome.zarr.json").read_text(encoding="utf-8"))
    assert record["runs"][0]["tasks"] == outcome.tasks == 28
    assert record["plan"]["factor"] == 4
    names = {path.name for path in request_.output.parent.iterdir()}
    assert names == {"m.model", "stack.ome.zarr", "out.ome.zarr", "out.ome.zarr.json"}
    assert {path.name for path in request_.output.iterdir()} == {"zarr.json", "0"}


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("slab", [None, 8, 20, 1000])
def test_slabs_do_not_show(request_, mode, slab):
    """Every voxel is that of `Model.predict`, which has the whole volume in memory."""
    run(replace(request_, slab=slab, options=PredictOptions(mode=mode)))
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
    from isoslice.models.config import DistilledSettings

    return DistilledSettings(sigma_second=1.0)


def command(request, *options):
    return [
        sys.executable, "-c", COMMAND, "predict", str(request.stack), "-m", str(request.model),
        "-o", str(request.output), "--device", request.device, "-q", "--slab", "12", *options,
    ]  # fmt: skip


#: The command line, with the fixture's patches, and so slow that others get their share.
COMMAND = """
import sys, time
import isoslice.inference.engine.begin as begin
from isoslice.inference.engine.job import Job
run_task = Job.run_task
Job.run_task = lambda *task: (time.sleep(0.2), run_task(*task))[1]
from isoslice.inference.passes import BATCH_PIXELS
begin.BLOCK = 32
BATCH_PIXELS.update(dict.fromkeys(BATCH_PIXELS, 29 * 58 * 4))
from isoslice.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_parts_at_once_make_the_same_files(request_, undisturbed):
    runs = [subprocess.Popen(command(request_, "--part", f"{i}/3")) for i in (2, 3, 1)]
    assert [each.wait(timeout=300) for each in runs] == [0, 0, 0]
    assert files(request_.output) == files(undisturbed)
    record = json.loads(request_.output.with_name("out.ome.zarr.json").read_text(encoding="utf-8"))
    assert sum(record["tasks"].values()) == 28
    assert len(record["tasks"]) > 1
    # One that comes late finds nothing to do.
    assert subprocess.run(command(request_, "--part", "3/3"), check=False).returncode == 0
    assert files(request_.output) == files(undisturbed)


def test_one_part_alone_does_what_others_would(request_, undisturbed):
    run(request_, part=(2, 3))
    assert files(request_.output) == files(undisturbed)
    other = replace(request_, options=PredictOptions(mode="mean"))
    with pytest.raises(OutputError, match="exists"):  # not what was asked for
        run(other, part=(1, 3))


def test_parts_are_not_told_to_overwrite(request_):
    with pytest.raises(SettingsError, match="--overwrite"):
        run(request_, part=(1, 2), overwrite=True)


@pytest.mark.slow
def test_a_cluster_makes_the_same_files(request_, undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed")
    # Workers are other processes, which know of the patches by this alone.
    patch = tmp_path / "patch.py"
    patch.write_text(
        "from isoslice.inference.passes import BATCH_PIXELS\n"
        "BATCH_PIXELS.update(dict.fromkeys(BATCH_PIXELS, 29 * 58 * 4))\n",
        encoding="utf-8",
    )
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as two,
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
        "from isoslice.inference.engine.executors import local_cluster\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with local_cluster(2, 1):\n"
        "            print('started')\n"
        "    except IsosliceError as error:\n"
        "        print(error)\n",
        encoding="utf-8",
    )
    ran = subprocess.run(
        [sys.executable, script], stdout=subprocess.PIPE, encoding="utf-8", timeout=300
    )
    assert ran.stdout.startswith("a worker ended while it started")
    assert ran.returncode == 0


def test_no_scheduler_answers(request_):
    pytest.importorskip("distributed")
    with pytest.raises(SettingsError, match="no Dask scheduler answers"):
        run(request_, scheduler="not an address")
    assert not unfinished(request_.output).exists()
