"""What the jobs rest on: ledgers, claims, memory, plans, what is told."""

import os
import re
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace

import pytest

from isoslice.data.measurement import Measurement
from isoslice.data.profile import Profile
from isoslice.errors import SettingsError
from isoslice.inference.consistency import operator_bytes
from isoslice.inference.engine import begin
from isoslice.inference.engine.executors import run_beside
from isoslice.inference.engine.job_plan import files_digest
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.locks import claimed
from isoslice.inference.engine.restoration import FrameStage
from isoslice.inference.engine.slabs import (
    Sizes,
    batch_bytes,
    parse_memory,
    slab_slices,
    working_memory,
)
from isoslice.inference.engine.tracking import Tracker
from isoslice.inference.engine.worker import Worker, alike
from isoslice.inference.options import PredictOptions
from isoslice.inference.recipes.residual import ResidualRecipe
from isoslice.models.config import ModelConfig
from isoslice.runtime.progress import Progress
from jobs_setup import run, small_request


def test_a_line_that_was_cut_off_does_not_count(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("0/mean-0/3", {})
    ledger.record("0/mean-0/4", {})
    (path,) = tmp_path.glob("done-*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    assert set(Ledger(tmp_path).done) == {"0/mean-0/3"}
    Ledger(tmp_path).record("0/mean-0/5", {})
    assert set(Ledger(tmp_path).done) == {"0/mean-0/3", "0/mean-0/5"}


def test_lines_of_others_are_seen_when_looked_for(tmp_path):
    mine, other = Ledger(tmp_path), Ledger(tmp_path)
    other.record("a", {"f": 3})
    other.record_stage("s")
    assert not mine.done
    mine.refresh()
    assert mine.done == {"a": {"f": 3}}
    assert mine.stages == {"s"}
    mine.forget_damaged(["a", "b"], tmp_path)
    assert not mine.done


def test_a_claim_is_left_to_whoever_holds_it(tmp_path):
    with claimed(tmp_path / "c", wait=False) as free:
        assert free
        with claimed(tmp_path / "c", wait=False) as second:
            assert second is False
    with claimed(tmp_path / "c", wait=True) as free:
        assert free is True


def test_who_waits_for_a_claim_is_told(tmp_path):
    told = []

    def waiting():
        told.append("waiting")
        held.close()

    with ExitStack() as held:
        held.enter_context(claimed(tmp_path / "c", wait=True, waiting=waiting))
        assert not told  # it was free
        with claimed(tmp_path / "c", wait=True, waiting=waiting) as free:
            assert free is None
    assert told == ["waiting"]


def test_memory_is_read_as_people_write_it():
    assert parse_memory("4GB") == 4 * 10**9
    assert parse_memory("500 mb") == 500 * 10**6
    assert parse_memory("2GiB") == 2 * 2**30
    assert parse_memory("1000000") == 10**6
    for wrong in ("", "4 apples", "-1GB", "0"):
        with pytest.raises(SettingsError, match="memory"):
            parse_memory(wrong)


HERE = Worker("cpu", "cpu bfloat16", 2, "here")
RECIPE = ResidualRecipe(ModelConfig(sigma_data=0.1))


def test_slabs_follow_the_memory():
    sizes = Sizes((2721, 2721, 2721), 1, 681, 2)
    thick = [slab_slices(sizes, gigabytes * 10**9, HERE, RECIPE)[0] for gigabytes in (2, 4, 8, 100)]
    assert thick == sorted(thick)
    assert 1 <= thick[0] < thick[-1] <= 128
    with pytest.raises(SettingsError, match="--memory") as told:
        slab_slices(sizes, 10**8, HERE, RECIPE)
    advice = re.search(r"--memory (\S+?),", str(told.value))
    assert slab_slices(sizes, parse_memory(advice[1]), HERE, RECIPE)[0] <= thick[0]
    # Whole batches of slices, so that batches lie at the same places whatever the slab.
    small = Sizes((100, 128, 200), 1, 25, 2)
    for budget in (1.2, 1.5, 4):
        xz, yz = slab_slices(small, int(budget * 10**9), HERE, RECIPE)
        assert xz % (2**18 // (100 * 200)) == 0
        assert yz % (2**18 // (100 * 128)) == 0
    more = HERE._replace(threads=4, arithmetic="cpu float32")
    assert working_memory(10**6, 3, more, RECIPE) > working_memory(10**6, 1, HERE, RECIPE)
    assert slab_slices(sizes, 4 * 10**9, HERE, RECIPE, asked=5) == (5, 5)


def test_what_planes_are_corrected_by_has_room_beside_a_slab():
    """2,000 planes that are blurred, at 8x: a gigabyte and more, whatever the slab."""
    sizes = Sizes((15993, 500, 500), 1, 2000, 2)
    measurement = Measurement(tuple(8.0 * i for i in range(2000)), 15993, Profile("slab", 8.0))
    blurred = sizes._replace(correction=operator_bytes([measurement]))
    assert 10**9 < blurred.correction < 1.5 * 10**9
    budget = 3 * 10**9
    assert slab_slices(blurred, budget, HERE, RECIPE) <= slab_slices(sizes, budget, HERE, RECIPE)
    least = 1.8 * 10**9
    slab_slices(sizes, int(least), HERE, RECIPE)
    with pytest.raises(SettingsError, match=r"GB are for the weights of 2,000 planes") as told:
        slab_slices(blurred, int(least), HERE, RECIPE)
    advice = re.search(r"--memory (\S+?),", str(told.value))
    slab_slices(blurred, parse_memory(advice[1]), HERE, RECIPE)
    gpu = Worker("cuda", "cuda bfloat16", 1, "there", memory=22 * 10**8)
    thick = [slab_slices(each, 10**12, gpu, RECIPE)[0] for each in (blurred, sizes)]
    assert thick[0] < thick[1]


def test_sizes_tell_of_blurred_planes(tmp_path, monkeypatch):
    """What is cut on the disk counts them, of frames that lost different planes each."""
    asked = small_request(tmp_path, monkeypatch)
    found, cut = list[Sizes](), begin.slab_slices

    def told(sizes, *more):
        found.append(sizes)
        return cut(sizes, *more)

    monkeypatch.setattr(begin, "slab_slices", told)
    for profile in ("point", "slab"):
        options = PredictOptions(mode="mean", slice_profile=profile)
        run(replace(asked, options=options, output=tmp_path / f"{profile}.ome.zarr"))
    assert [each.correction for each in found] == [0, 8 * 29 * (8 + 4 * 2 + 16)]


def test_workers_have_to_round_alike():
    several = alike([HERE, HERE._replace(threads=8)])
    assert several.threads == 8
    assert several.told == "2 workers: here"
    with pytest.raises(SettingsError, match=r"cpu bfloat16, cuda bfloat16"):
        alike([HERE, HERE._replace(arithmetic="cuda bfloat16")])
    with pytest.raises(SettingsError, match="no worker"):
        alike([])


def test_progress_is_told_of_all_runs(tmp_path):
    class Three:
        voxels = 3_000_000

        def stages(self):
            yield FrameStage(0, "mean-0", 2, 100.0)
            yield FrameStage(0, "blocks", 1, 100.0)

    ledger = Ledger(tmp_path)
    ledger.record("0/mean-0/1", {})
    told = []

    class Recorded(Progress):
        def update(self, task, fraction, detail=""):
            told.append((round(fraction, 2), detail))

    tracker = Tracker(Three(), ledger, Recorded())
    assert tracker.done_already() == "33% is done already: 1 of 3 pieces of work"
    finished = tracker.stage(next(Three().stages()), [0])
    tracker.report(0.5)
    finished(0, True)
    assert told == [(0.5, "1 of 3 pieces"), (0.67, "2 of 3 pieces")]
    assert (tracker.tasks, tracker.voxels) == (1, 1_000_000)


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


def test_what_a_power_cut_leaves_is_no_line(tmp_path):
    Ledger(tmp_path).record("0/mean-0/3", {})
    (path,) = tmp_path.glob("done-*.jsonl")
    path.write_bytes(path.read_bytes() + b"\0\0\0\n" + b'{"task": "0/mean-0/4"}\n')
    assert set(Ledger(tmp_path).done) == {"0/mean-0/3"}


def test_parts_count_what_they_did_themselves(tmp_path):
    stage, told = FrameStage(0, "mean-0", 3, 1.0), []
    job = SimpleNamespace(folder=tmp_path, run_task=lambda *task: {})
    engine = run_beside(job, Ledger(tmp_path), (1, 2))
    Ledger(tmp_path).record(stage.task(1), {})  # by another part, meanwhile
    engine(stage, [0, 1, 2], lambda *done: told.append(done), lambda share: None)
    assert sorted(told) == [(0, True), (1, False), (2, True)]


def test_slabs_fit_a_gpus_memory():
    sizes = Sizes((2721, 2721, 2721), 1, 681, 2)
    gpu = Worker("cuda", "cuda bfloat16", 1, "there", memory=4 * 10**9)
    plenty = slab_slices(sizes, 10**12, gpu._replace(memory=10**12), RECIPE)[0]
    thick = slab_slices(sizes, 10**12, gpu, RECIPE)[0]
    assert 0 < thick < plenty
    assert slab_slices(sizes, 10**12, gpu._replace(memory=0), RECIPE)[0] == 1  # one batch at least
    assert alike([gpu, gpu._replace(memory=5)]).memory == 5


def test_slabs_of_large_gpus_are_of_whole_large_batches():
    sizes, batch = Sizes((1025, 1024, 1024), 1, 257, 2), 2**24 // (1025 * 1024)
    gpu = Worker("large cuda", "large cuda bfloat16", 1, "there", memory=60 * 10**9)
    assert RECIPE.batch_slices(1025 * 1024, "large cuda") == batch == 15
    for memory in (6, 60):
        slabs = slab_slices(sizes, 10**12, gpu._replace(memory=memory * 10**9), RECIPE)
        assert min(slabs) >= batch
        assert [slab % batch for slab in slabs] == [0, 0]
    assert batch_bytes(1025 * 1024, 1, "large cuda", RECIPE) < 5 * 10**9
