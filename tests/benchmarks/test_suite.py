"""The benchmark suite: it can be continued, all methods share one truth, bars are judged right."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import texture as structure
from isoslice.evaluation.slicefid.features import texture
from isoslice.inference.model import Model
from isoslice.models.config import MaskedTraining, MsdsrConfig, UNetSettings
from isoslice.models.networks.factory import build_network
from isoslice.runtime.progress import Progress
from suite import methods
from suite.bars import Bar, bars, peak_share
from suite.cases import load_case
from suite.children import ChildError, run_child
from suite.curve import run_curve
from suite.peers.care import aligned_pair
from suite.peers.eclare import realigned
from suite.report import distance
from suite.run import run_suite
from suite.scoring import Scored, fidelity
from suite.settings import Peer, SuiteSettings
from suite.store import Restored, as_type

BLOCK = (17, 32, 32)
FAKE_PEER = """
import json, sys
import numpy as np
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "train":
    assert "--planes" in words or "--stack" in words
    open(words["--model"] + ".txt", "a").write("trained\\n")
    print(json.dumps({"minutes": 0.5, "steps": 7}))
else:
    stack, k = np.load(words["--stack"]), int(words["--factor"])
    depth = (stack.shape[-3] - 1) * k + 1
    np.save(words["--output"], np.repeat(stack, k, -3)[..., :depth, :, :].astype("f4"))
    print("chatter")
    print(json.dumps({"seconds": 0.25, "peak_mb": 12.0}))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volumes of one case, tiny."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, seed in (("fib25_a.tif", 1), ("fib25_b.tif", 2)):
        tifffile.imwrite(
            folder / name, structure(20, 48, 50, seed=seed), imagej=True, metadata={"axes": "ZYX"}
        )
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> SuiteSettings:
    script = tmp_path / "peer.py"
    script.write_text(FAKE_PEER, encoding="utf-8")
    return SuiteSettings(
        minutes=0.01,
        threads=1,
        distill=False,
        msdsr=False,
        block=BLOCK,
        blocks=2,
        images_per_axis=6,
        real_images=8,
        resamples=10,
        peers=(
            Peer("CARE", Path(sys.executable), script),
            Peer("ECLARE", None, script, own_stack=True),
        ),
    )


@pytest.fixture
def run(data, settings, tmp_path, monkeypatch, tiny_model):
    """Run the suite with a model that is there already."""

    def trained(entry, case, benchmark, store, device, progress):
        folder = store.path(f"models/{entry.name}", "")
        model = tiny_model
        if entry.preset == "msdsr":
            config = MsdsrConfig(
                network=UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4),
                training=MaskedTraining(batch=2, crop=32, hidden_rows=(18, 28)),
            )
            model = Model(config, build_network(config).eval())
        if not folder.exists():
            model.save(folder)
        return model

    monkeypatch.setattr(methods, "get_model", trained)

    def go(pictures=False, **changes):
        chosen = dataclasses.replace(settings, **changes)
        out = tmp_path / "out"
        return out, run_suite(
            ["fib25"], [4], data, out, chosen, texture(), Progress(), pictures=pictures
        )

    return go


@pytest.mark.slow
def test_every_method_is_scored_and_nothing_is_computed_twice(run, monkeypatch):
    out, outcome = run()
    rows = {row.method: row for row in outcome.results["fib25"][4]}
    assert list(rows) == [
        "truth", "nearest", "linear", "cubic", "lanczos",
        "isoslice, mean", "isoslice, sample", "CARE",
    ]  # fmt: skip
    assert not outcome.failures
    text = (out / "tables" / "fib25_4x.md").read_text(encoding="utf-8")
    assert "ECLARE is left out: no interpreter" in text
    assert "1 threads" in text
    assert "of that." in text
    assert (out / "tables" / "fib25_bars.csv").stat().st_size > 0
    stored = json.loads((out / "suite.json").read_text(encoding="utf-8"))
    measured = stored["results"]["fib25"]["4x"]
    assert measured["CARE"]["training"] == {"minutes": 0.5, "steps": 7}
    assert measured["CARE"]["voxels_per_second"] == 17 * 48 * 50 / 0.25
    assert measured["isoslice, sample"]["peak_share"] > 0
    for row in rows.values():
        if row.restored is not None:
            assert row.restored.volume.dtype == np.uint8
            assert row.restored.volume.shape == (17, 48, 50)
            assert row.restored.record["peak_mb"] > 1

    def never(*_, **__):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(methods, "run_child", never)
        patch.setattr("suite.scoring.fidelity", never)
        patch.setattr("isoslice.evaluation.benchmark.realism.slicefid", never)
        _, again = run()
    assert [table.rows for table in again.tables] == [table.rows for table in outcome.tables]

    # Without its volume a method is restored again, and no other one.
    started = []

    def counted(command, seconds, log):
        started.append(log.name)
        return run_child(command, seconds, log)

    monkeypatch.setattr(methods, "run_child", counted)
    (out / "fib25" / "volumes" / "4x" / "CARE.npy").unlink()
    run()
    assert started == ["restoring 4x CARE.log"]
    assert (out / "fib25" / "models" / "4x CARE.txt").read_text(encoding="utf-8") == "trained\n"


@pytest.mark.slow
def test_training_times_are_compared(run, data, settings, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    table = run_curve("fib25", (0.02, 0.01), data, out, settings, texture(), Progress())
    assert [row.name for row in table.rows] == ["0.01 minutes", "0.02 minutes"]
    assert all(cell.known is not None for row in table.rows for cell in row.cells)
    assert (out / "curve" / "curve_fib25.png").stat().st_size > 1000
    # The model of the suite's own training time is shared with it.
    assert {path.name for path in (out / "fib25" / "models").iterdir()} == {
        "isoslice",
        "isoslice 0.02 min",
    }


@pytest.mark.slow
def test_pictures_are_drawn_and_blocks_are_marked(run, settings):
    pytest.importorskip("matplotlib")
    peer = dataclasses.replace(settings.peers[0], blocks_only=True)
    out, outcome = run(peers=(peer,), pictures=True, distill=True, msdsr=True, msdsr_steps=2)
    names = {path.name for path in (out / "pictures").iterdir()}
    assert names == {"fib25_4x_cuts.png", "fib25_4x_block.png", "fib25_4x_spectra.png"}
    last = outcome.results["fib25"][4][-1]
    assert last.method == "CARE (blocks)"
    assert last.restored.volume.shape == (2, *BLOCK)
    assert last.fidelity == last.blocks
    assert [row.name for row in outcome.tables[0].rows if not row.ranked] == [
        "truth",
        "msdsr (blocks)",
        "CARE (blocks)",
    ]
    assert outcome.results["fib25"][4][-2].restored.record["evaluations"] == 2
    assert "of 200" in outcome.tables[0].caption
    assert {bar.result for bar in outcome.bars if "msdsr" in bar.name} <= {"met", "missed"}
    distilled = next(row for row in outcome.results["fib25"][4] if "distilled" in row.method)
    assert distilled.restored.record["evaluations"] == 2
    assert distilled.restored.training["teacher"]
    assert any("distilled" in bar.name for bar in outcome.bars)


@pytest.mark.slow
def test_measured_planes_are_exact_and_a_failing_peer_is_named(run, tmp_path, settings):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys; print('no luck', file=sys.stderr); sys.exit(3)", encoding="utf-8"
    )
    peer = Peer("CARE", Path(sys.executable), broken)
    _, outcome = run(peers=(peer,))
    assert len(outcome.failures) == 1
    assert "got exit status 3, expected 0" in outcome.failures[0]
    assert "no luck" in outcome.failures[0]
    assert "Left out because it failed" in outcome.tables[0].caption
    truth = outcome.results["fib25"][4][1].restored.volume
    for row in outcome.results["fib25"][4][2:]:
        np.testing.assert_array_equal(row.restored.volume[::4], truth[::4])


def test_all_scales_share_one_truth_and_blocks_begin_on_measured_planes(data):
    case = load_case("fib25", data, BLOCK, 3, 0)
    assert case.truth.data.shape == (17, 48, 50)
    for factor in (2, 4, 8):
        coarse = case.coarse(factor)
        assert (len(coarse) - 1) * factor + 1 == 17
        assert case.missing(factor).sum() == 17 - len(coarse)
    assert all(corner[0] % 8 == 0 for corner in case.corners)
    assert case.blocks(case.truth.data).shape == (3, *BLOCK)
    assert case.train[0].source != case.truth.source


def test_one_file_is_cut_in_halves_that_share_nothing(tmp_path):
    volume = structure(20, 40, 120)
    tifffile.imwrite(tmp_path / "lucchi_train.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    case = load_case("lucchi", tmp_path, BLOCK, 2, 0)
    np.testing.assert_array_equal(case.train[0].data, volume[:, :, :52])
    np.testing.assert_array_equal(case.truth.data, volume[:17, :, 68:])


def test_child_says_what_went_wrong(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ChildError, match="got no JSON on the last line"):
        run_child([sys.executable, "-c", "print('hello')"], 1, log)
    with pytest.raises(ChildError, match="got no interpreter"):
        run_child([tmp_path / "nowhere", "script.py", "train"], 1, log)
    assert run_child([sys.executable, "-c", "print('{}')"], 1, log) == {}


def test_whole_numbers_are_rounded_and_clipped():
    volume = np.array([-3.0, 0.4, 1.6, 300.0])
    assert as_type(volume, np.dtype(np.uint8)).tolist() == [0, 0, 2, 255]
    assert as_type(volume, np.dtype(np.float32)).dtype == np.float32


def test_fidelity_of_the_truth_and_of_a_smooth_volume():
    truth = structure(17, 32, 32).astype(np.float32)
    missing = np.arange(17) % 4 != 0
    same = fidelity([truth], [truth], missing, 100.0)
    assert same["psnr"] == float("inf")
    assert same["gradient"] == {"Z": 1.0, "Y": 1.0, "X": 1.0}
    assert same["fsc_z"]["cutoff"] == pytest.approx(0.47, abs=0.05)
    smooth = truth.copy()
    smooth[1:-1] = (truth[:-2] + truth[1:-1] + truth[2:]) / 3
    worse = fidelity([smooth, smooth], [truth, truth], missing, 100.0)
    assert worse["gradient"]["Z"] < 0.9
    assert worse["power"]["Z"] < worse["power"]["Y"]
    error = np.mean((smooth - truth)[missing].astype(float) ** 2)
    assert worse["psnr"] == pytest.approx(10 * np.log10(100.0**2 / error), abs=1e-3)


def row(method, fid, psnr=30.0, gradient=1.0, seconds=1.0, **record):
    volume = np.zeros((10, 100, 100), np.uint8)
    found = {
        "psnr": psnr,
        "gradient": {"Z": gradient, "Y": 1.0, "X": 1.0},
    }
    restored = Restored(method, 4, volume, {"seconds": seconds, "peak_mb": 1, **record}, {})
    return Scored(method, restored, found, found, {"mean": {"fid": fid}})


def test_bars_are_judged_by_known_numbers():
    floor = Scored("truth", None, {}, {}, {"mean": {"fid": 50.0}})
    network = {
        "inside_seconds": 0.2,
        "inside_pixels": 800_000,
        "flops_per_pixel": 100_000.0,
        "peak_gflops": 500.0,
    }
    rows = [
        floor,
        row("linear", 200.0, 26.0),
        row("cubic", 190.0, 26.2),
        row("isoslice, mean", 120.0, 27.3),
        row("isoslice, sample", 100.0, 25.4, gradient=0.85, seconds=0.3, **network),
        row("isoslice, distilled", 100.0, 25.4, seconds=0.1),
        row("msdsr (blocks)", 170.0, 24.0),
        row("CARE", 150.0, 27.5, seconds=0.5),
    ]
    assert distance(rows[4], floor, rows[1]) == pytest.approx(1 / 3)
    assert distance(rows[0], floor, rows[1]) == 0
    assert distance(rows[4], floor, None) is None
    found = {bar.name: bar for bar in bars("fib25", {4: rows}, ["CARE", "ECLARE"])}
    expected = {
        "fib25 4x, sample: SliceFID distance / linear's": (1 / 3, "met"),
        "fib25 4x, sample: SliceFID distance / msdsr's": (50 / 120, "met"),
        "fib25 4x, sample: gradient ratio, farthest from 1 of all axes": (0.15, "missed"),
        "fib25 4x, sample: PSNR less linear's (dB)": (-0.6, "missed"),
        "fib25 4x, mean: PSNR less the better of linear's and cubic's (dB)": (1.1, "met"),
        "fib25 4x, mean: PSNR less that of CARE (dB)": (-0.2, "missed"),
        "fib25 4x, mean: PSNR less that of ECLARE (dB)": (None, "not measured"),
        "fib25 4x, mean: PSNR less that of msdsr (blocks) (dB)": (3.3, "met"),
        "fib25 4x, sample: voxels/s": (1e5 / 0.3, "met"),
        "fib25 4x, sample: speed / CARE's": (0.5 / 0.3, "met"),
        "fib25 4x, distilled: voxels/s": (1e6, "met"),
        "fib25 4x, sample: network, share of the peak": (0.8, "met"),
    }
    assert list(found) == list(expected)
    for name, (value, result) in expected.items():
        assert found[name].value == (value if value is None else pytest.approx(value)), name
        assert found[name].result == result, name
    assert peak_share({}) is None
    assert Bar("x", float("nan"), 1.0, ">=").met is None


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_eclare_is_moved_onto_the_measured_planes(factor):
    # A wave as ECLARE returns it: n k planes, measured plane i in the middle of its k.
    n = 12
    at = np.arange(n * factor) - (factor - 1) / 2
    volume = np.sin(2 * np.pi * at / (3 * factor + 9))[:, None, None] * np.ones((1, 2, 2))
    moved = realigned(volume.astype(np.float32), factor)
    depth = (n - 1) * factor + 1
    assert moved.shape == (depth, 2, 2)
    expected = np.sin(2 * np.pi * np.arange(depth) / (3 * factor + 9))
    inside = slice(5, -5)
    np.testing.assert_allclose(moved[inside, 0, 0], expected[inside], atol=5e-3)


def test_care_learns_from_lines_between_known_columns():
    planes = structure(2, 6, 23).astype(np.float32)
    source, target = aligned_pair(planes, 4)
    assert source.shape == target.shape == (2, 6, 21)
    np.testing.assert_array_equal(source[..., ::4], planes[..., :21:4])
    between = np.interp(np.arange(21), np.arange(0, 21, 4), planes[0, 0, :21:4])
    np.testing.assert_allclose(source[0, 0], between, rtol=1e-5)


def test_peer_scripts_explain_themselves_without_their_programs():
    folder = Path(methods.__file__).parent
    for script in (*(folder / "peers").glob("*.py"), folder / "restore.py"):
        if script.name != "__init__.py":
            done = subprocess.run([sys.executable, script, "--help"], capture_output=True)
            assert done.returncode == 0, script
