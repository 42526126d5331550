"""Every option gives the same voxels in memory, on the disk, in parts, and in any format."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice import read_volume, write_volume
from isoslice.data.profile import sampled_profile
from isoslice.data.volume import Volume
from isoslice.inference import slicewise
from isoslice.inference.engine.begin import Request, unfinished
from isoslice.inference.engine.end import record_path, targets
from isoslice.inference.engine.job import Job
from isoslice.inference.engine.predict import predict_file
from isoslice.inference.engine.run import How
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.inference.passes import BATCH_PIXELS
from isoslice.inference.prediction import Prediction
from isoslice.models.config import (
    DistilledSettings,
    EndToEndConfig,
    ModelConfig,
    MsdsrConfig,
    NetworkSettings,
    UNetSettings,
)
from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.networks.factory import build_network
from isoslice.models.reliability.calibration import (
    COVERAGE_LEVELS,
    Calibration,
    FactorCalibration,
)
from isoslice.models.reliability.record import Trust
from isoslice.runtime.progress import Progress
from tiny_head import let_hear, random_head

SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


def own(channels=1, measured=False, **settings):
    """A model of the preset isoslice that knows its errors, made at random."""
    torch.manual_seed(0)
    shape = NetworkSettings(
        channels=channels,
        widths=(8, 12),
        blocks_down=(1, 1),
        blocks_up=(1, 0),
        measured=measured,
    )
    network = Denoiser(
        channels, shape.widths, shape.blocks_down, shape.blocks_up, measured=measured
    ).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    if measured:
        let_hear(network)
    one = FactorCalibration(
        factor=4, ratio=(1.5,) * channels, multiples=tuple(range(1, len(COVERAGE_LEVELS) + 1))
    )
    trust = Trust(calibration=Calibration(factors=(one,), held_out=True))
    config = ModelConfig(sigma_data=0.1, network=shape, **settings)
    return Model(config, network, {}, random_head(config), trust)


def of_paper(kind):
    torch.manual_seed(0)
    shape = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)
    config = kind(network=shape)
    return Model(config, build_network(config).eval())


def stack(*shape, axes="ZYX", dtype="uint8", names=None):
    data = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
    return Volume(data, axes, SPACING, "micrometer", names)


def srh_stack():
    data = np.random.default_rng(0).integers(3000, 40000, (2, 3, 36, 40)).astype(np.uint16)
    return Volume(data, "CZYX", SPACING, "micrometer", ("CH2", "CH3"))


def damaged():
    """A stack of which one plane is turned over, and one frozen."""
    data = texture(14, 40, 36)
    data[3], data[9] = data[3, ::-1], data[8]
    return Volume(data, "ZYX", SPACING, "micrometer")


#: Model, stack, options.
CASES = {
    "sample": (own, stack(3, 40, 36), {}),
    "mean": (own, stack(3, 36, 40), {"mode": "mean"}),
    "steps and detail": (own, stack(3, 36, 40), {"steps": 4, "detail": 0.5, "seed": 3}),
    "blur": (own, stack(3, 40, 36), {"blur": True}),
    "slab": (own, stack(3, 40, 36), {"slice_profile": "slab"}),
    "mean of blurred planes": (
        own, stack(3, 36, 40), {"mode": "mean", "slice_profile": "gaussian:3"}
    ),
    "a profile of samples": (
        lambda: own(measured=True),
        stack(3, 36, 40),
        {"slice_profile": sampled_profile([0, 0.7, 1, 2.1], [0.3, 2 / 3, 1, 0.1], "psf")},
    ),
    "told of blur and noise": (
        lambda: own(2, measured=True),
        stack(2, 3, 36, 40, axes="CZYX"),
        {"slice_profile": "slab", "denoise": True},
    ),
    "any spacing": (lambda: own(measured=True), stack(3, 40, 36), {"spacing": 0.6, "samples": 2}),
    "denoised": (
        lambda: own(measured=True), stack(3, 40, 36), {"denoise": True, "uncertainty": True}
    ),
    "uncertainty of blurred planes": (
        lambda: own(measured=True),
        stack(7, 36, 40),
        {"slice_profile": "gaussian:3", "uncertainty": True},
    ),
    "missing and damaged planes": (own, damaged(), {"missing": "6", "uncertainty": True}),
    "uncertainty": (own, stack(3, 36, 40), {"mode": "mean", "uncertainty": True}),
    "uncertainty of a sample": (own, stack(3, 36, 40), {"uncertainty": True}),
    "samples": (own, stack(3, 40, 40, dtype="uint16"), {"samples": 2, "keep_samples": True}),
    "samples of times and channels": (
        own,
        stack(2, 2, 2, 30, 34, axes="TCZYX", names=("a", "b")),
        {"samples": 2},
    ),
    "two channels": (
        lambda: own(2), stack(2, 3, 36, 40, axes="CZYX", dtype="float32"), {"uncertainty": True}
    ),
    "distilled": (
        lambda: own(distilled=DistilledSettings(sigma_second=1.0)), stack(3, 36, 40), {}
    ),
    "a distilled model that is told": (
        lambda: own(measured=True, distilled=DistilledSettings(sigma_second=1.0)),
        stack(3, 40, 36),
        {"slice_profile": "gaussian:3", "denoise": True},
    ),
    "samples of a distilled model": (
        lambda: own(distilled=DistilledSettings(sigma_second=1.0)), stack(3, 36, 40), {"samples": 2}
    ),
    "SRH": (lambda: own(3, srh=True, intensities=(0.0, 1.0)), srh_stack(), {"mode": "mean"}),
    "msdsr": (lambda: of_paper(MsdsrConfig), stack(3, 40, 24), {"steps": 3}),
    "msdsr, one direction, blurred": (
        lambda: of_paper(MsdsrConfig),
        stack(3, 40, 24),
        {"steps": 2, "direction": "YZ", "blur": True},
    ),
    "end-to-end": (lambda: of_paper(EndToEndConfig), stack(3, 40, 44), {}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Cut even small volumes into several blocks."""
    monkeypatch.setattr("isoslice.inference.engine.begin.BLOCK", 32)
    monkeypatch.setattr("isoslice.inference.engine.in_memory.BLOCK", 32)


@pytest.fixture
def small_batches(monkeypatch):
    """Cut them into several batches, and so slabs, too; other processes know nothing of it."""
    for table in (BATCH_PIXELS, slicewise.BATCH_PIXELS):
        for kind in table:
            monkeypatch.setitem(table, kind, 9 * 40 * 5)


class Killed(BaseException):
    """Ends a run as a signal would, leaving what is done."""


def killed_and_resumed(request, monkeypatch):
    """End a run in the middle of its tasks, and go on with what it left."""
    run_task, done = Job.run_task, list[int]()

    def dying(job, stage, index, report):
        if len(done) == sum(stage.tasks for stage in job.stages()) // 2:
            raise Killed
        done.append(index)
        return run_task(job, stage, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run_task", dying)
        with pytest.raises(Killed):
            predict_file(request, How(), Progress())
    return predict_file(request, How(resume=True), Progress())


def voxels(prediction: Prediction, axes: str):
    """Return all volumes of a prediction by name, as arrays."""
    named = {"volume": prediction.volume, "std": prediction.std}
    named |= {f"sample-{i + 1}": sample for i, sample in enumerate(prediction.samples)}
    assert prediction.axes == axes
    return {name: np.asarray(data) for name, data in named.items() if data is not None}


def as_json(provenance):
    """Return what is stored of a provenance, without the name of the stack's file."""
    return json.loads(json.dumps({**provenance, "source": None}))


def same_voxels(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


#: Cases that take long.
SLOW = {
    "samples",
    "samples of times and channels",
    "samples of a distilled model",
    "two channels",
}


@pytest.fixture(params=[pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def case(request, tmp_path):
    make, given, options = CASES[request.param]
    model = make()
    write_volume(tmp_path / "stack.ome.zarr", given)
    asked = Request(
        tmp_path / "stack.ome.zarr",
        model,
        tmp_path / "out.ome.zarr",
        options=PredictOptions(**options),
        threads=2,
    )
    expected = model.predict(read_volume(asked.stack), **options)
    return asked, expected, voxels(expected, expected.axes)


def check(found, request, prediction, expected):
    """Check what a run into files gave: what is returned, stored and recorded."""
    same_voxels(voxels(found, prediction.axes), expected)
    assert as_json(found.provenance) == as_json(prediction.provenance)
    assert (found.factor, found.doubts) == (prediction.factor, prediction.doubts)
    assert found.calibration == prediction.calibration
    for name, path in targets(request.output, request.options).items():
        stored = read_volume(path)
        order = [stored.axes.index(axis) for axis in prediction.axes]
        np.testing.assert_array_equal(stored.data.transpose(order), expected[name])
    assert json.loads(record_path(request.output).read_text(encoding="utf-8"))["runs"]
    assert not unfinished(request.output).exists()


@pytest.mark.usefixtures("small_batches")
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_the_same_voxels_everywhere(case, monkeypatch):
    asked, prediction, expected = case
    folder = asked.output.parent
    small = replace(asked, memory=300 * 10**6, slab=20)

    made, outcome = predict_file(small, How(), Progress())
    check(made, small, prediction, expected)
    assert outcome.voxels == expected["volume"].size

    tiff = replace(small, output=folder / "killed.ome.tif")
    check(killed_and_resumed(tiff, monkeypatch).prediction, tiff, prediction, expected)

    nifti = replace(small, output=folder / "parts.nii.gz")
    ended = [
        predict_file(nifti, How(part=part), Progress()).prediction for part in ((2, 2), (1, 2))
    ]
    assert ended[1] is None  # the other one did everything
    check(ended[0], nifti, prediction, expected)

    npy = replace(asked, output=folder / "api.npy")
    options = asked.options.model_dump()
    api = asked.model.predict(asked.stack, output=npy.output, memory="2GB", **options)
    check(api, npy, prediction, expected)

    whole = replace(asked, output=folder / "memory.ome.tif")
    check(predict_file(whole, How(), Progress()).prediction, whole, prediction, expected)


@pytest.fixture(scope="module")
def scheduler():
    """Address of a scheduler with two workers, each with the threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_the_same_voxels_by_workers(case, scheduler):
    asked, prediction, expected = case
    made, _ = predict_file(asked, How(scheduler=scheduler), Progress())
    check(made, asked, prediction, expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["samples"], indirect=True)
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_the_same_voxels_by_workers_of_its_own(case):
    pytest.importorskip("distributed")
    asked, prediction, expected = case
    tiff = replace(asked, output=asked.output.parent / "workers.ome.tif")
    check(predict_file(tiff, How(workers=2), Progress()).prediction, tiff, prediction, expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sample"], indirect=True)
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_workers_that_stay_do_not_go_on_with_the_job_before(case, scheduler):
    asked, _, _ = case
    volumes = []
    for seed in (0, 1):
        again = replace(asked, options=PredictOptions(seed=seed))
        made, _ = predict_file(again, How(scheduler=scheduler, overwrite=True), Progress())
        volumes.append(np.asarray(made.volume))
    assert not np.array_equal(*volumes)
    expected = asked.model.predict(read_volume(asked.stack), seed=1).volume
    np.testing.assert_array_equal(volumes[1], expected)


@pytest.mark.parametrize("case", ["uncertainty"], indirect=True)
@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_a_run_killed_while_it_tidies_up_ends_well(case, name, monkeypatch):
    asked, prediction, expected = case
    request = replace(asked, output=asked.output.parent / name, memory=10**9)

    def dying(folder):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("isoslice.inference.engine.end.remove_unfinished", dying)
        with pytest.raises(Killed):
            predict_file(request, How(), Progress())
    assert request.output.exists()
    resumed = predict_file(request, How(resume=True), Progress()).prediction
    check(resumed, request, prediction, expected)
