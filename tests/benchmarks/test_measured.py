"""Bars of the measurement model: planes lie where they say, rows are joined, bars judged right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import texture as structure
from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.profile import FWHM, POINT, Profile
from isoslice.errors import DataError, SettingsError
from isoslice.runtime.progress import Progress
from suite.measured import bench as benches
from suite.measured.__main__ import PARTS
from suite.measured.__main__ import VOLUMES as NAMES
from suite.measured.bars import AGREES, GAINS, Bar, bars
from suite.measured.bench import Settings, open_bench
from suite.measured.parts import PROFILES
from suite.measured.peers import all_told
from suite.measured.rows import (
    ADAPTED,
    OWN,
    SAMPLE,
    TODAY,
    TOLD,
    Case,
    Row,
    as_csv,
    as_record,
    collected,
)
from suite.measured.run import run_measured
from suite.measured.scenes import Truth, blurred_scene, taps, uneven_scenes
from suite.measured.tables import bars_markdown, bars_text, case_tables
from suite.measured.volumes import PAIR, VOLUMES, Specimen, load, load_pair, middle
from suite.peers.care import aligned_pair
from suite.settings import Peer

GAUSSIAN = Profile("gaussian", 2 * FWHM)


def ramp(depth: int, side: int = 6) -> np.ndarray:
    """A volume that is its own place along Z."""
    return np.broadcast_to(np.arange(depth, dtype=float)[:, None, None], (depth, side, side))


def rows_of(*rows: Row) -> dict:
    return {row.key: row for row in rows}


def test_planes_lie_where_they_say():
    volume = ramp(33)
    for seen in (POINT, *PROFILES):
        scene = blurred_scene(volume, "blurred", 4, seen, 0.0)
        middle_planes = scene.planes[4:-4, 0, 0]
        np.testing.assert_allclose(middle_planes, np.arange(16, 20, 4), atol=1e-4)
        assert scene.truth.voxels.shape == volume.shape
    for scene in uneven_scenes(volume):
        np.testing.assert_allclose(scene.planes[:, 0, 0], scene.positions, atol=1e-5)
        made = interpolate(scene.planes, PlaneGrid(scene.positions))
        assert made.shape == scene.truth.voxels.shape


def test_noise_is_a_share_of_the_range():
    volume = structure(33, 40, 40)
    plain, noisy = (blurred_scene(volume, "blurred", 4, GAUSSIAN, x) for x in (0.0, 0.03))
    added = noisy.planes - plain.planes
    assert added.std() == pytest.approx(0.03 * plain.truth.span, rel=0.05)
    assert plain.missing is None
    assert blurred_scene(volume, "points", 4, POINT, 0.0).missing.sum() == 24


def test_taps_are_what_a_plane_sees():
    for profile in PROFILES:
        weights = np.array(taps(profile))
        at = np.arange(len(weights)) - len(weights) // 2
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)
        # The hat function of the volume between voxels adds 1/6 to the variance.
        assert (weights * at**2).sum() == pytest.approx(profile.deviation**2 + 1 / 6, rel=2e-3)


def test_care_learns_from_columns_that_were_blurred_and_are_where_they_were():
    planes = np.broadcast_to(np.arange(65.0), (1, 8, 65)).astype(np.float32)
    source, target = aligned_pair(planes, 4, taps(GAUSSIAN), 0.0)
    np.testing.assert_allclose(source[..., 12:-12], target[..., 12:-12], atol=1e-3)
    planes = structure(2, 64, 65).astype(np.float32)
    scene = blurred_scene(planes.transpose(2, 0, 1), "blurred", 4, GAUSSIAN, 0.0)
    source, _ = aligned_pair(planes, 4, taps(GAUSSIAN), 0.0)
    np.testing.assert_allclose(source[..., ::4], scene.planes.transpose(1, 2, 0), atol=0.02)
    noisy, _ = aligned_pair(planes, 4, taps(GAUSSIAN), 5.0)
    assert (noisy - source)[..., ::4].std() == pytest.approx(5, rel=0.1)


def test_other_programs_are_told_the_same():
    care, given, own = all_told(Profile("slab", 4.0), "slab:4", 2.5)
    assert care.words[-1] == 2.5
    assert given.words == ("--kernel", "rect:4")
    assert own.words == ("--kernel", "own")


def test_coverage_leaves_out_background_and_measured_planes():
    voxels = np.zeros((17, 4, 4))
    voxels[:, :, 2:] = np.random.default_rng(0).normal(10, 1, (17, 4, 2))
    truth = Truth(voxels)
    assert truth.specimen(4).sum() == 17 * 4 * 2
    reach = np.full(voxels.shape, 0.5)
    reach[::4] = 0
    interval = (voxels - reach, voxels + reach)
    wrong = (voxels + 1, voxels + 2)
    missing = np.arange(17) % 4 != 0
    assert truth.coverage(interval, 4, missing) == 1
    assert truth.coverage(wrong, 4, missing) == 0
    voxels[8, 0, 0] = 3  # seen by planes around, so no background
    assert Truth(voxels).specimen(4)[4:13, 0, 0].all()


def test_psnr_is_that_of_errors_within_the_range():
    truth = Truth(np.linspace(0, 100, 1000).reshape(10, 10, 10))
    span = truth.span
    found = truth.voxels.copy()
    found[5] += span / 100
    assert truth.psnr(found) == pytest.approx(50, abs=0.01)
    assert truth.psnr(found, np.arange(10) == 5) == pytest.approx(40, abs=0.01)


def test_the_middle_is_cut_and_halves_share_nothing(tmp_path):
    assert middle(np.zeros((250, 250, 250))).shape == (129, 160, 160)
    assert middle(np.zeros((157, 192, 104))).shape == (129, 160, 104)
    assert middle(np.zeros((130, 20, 20))).shape == (129, 20, 20)
    assert middle(np.arange(20.0)[:, None, None], (9, 1, 1))[0, 0, 0] == 5
    volume = structure(20, 40, 120)
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "lucchi_train.tif"
    tifffile.imwrite(path, volume, imagej=True, metadata={"axes": "ZYX"})
    specimen = load("lucchi", [tmp_path])
    np.testing.assert_array_equal(specimen.learned[0], volume[:, :, :52])
    np.testing.assert_array_equal(specimen.truth, volume[1:18, :, 68:])
    with pytest.raises(DataError, match="no such file"):
        load("fib25", [tmp_path])


def test_thick_planes_of_the_pair_lie_among_thin_ones(tmp_path):
    thin = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None], (30, 8, 8))
    for name, data in (("head_ct_1mm.tif", thin), ("head_ct_5mm.tif", thin[2::5])):
        tifffile.imwrite(tmp_path / name, data, imagej=True, metadata={"axes": "ZYX"})
    pair = load_pair([tmp_path])
    np.testing.assert_array_equal(pair.truth[::5], pair.thick)


def test_bars_are_judged():
    everywhere = dict.fromkeys(VOLUMES, 1.0)
    bar = Bar("gain", everywhere, tuple(VOLUMES), low=0.7)
    assert (bar.value, bar.result, bar.target) == (1.0, "met", ">= 0.7")
    some = Bar("gain", {"fib25": 1.0}, tuple(VOLUMES), low=0.7)
    assert (some.value, some.result) == (None, "not measured")
    uneven = everywhere | {"fib25": -1.0}
    assert Bar("gain", uneven, tuple(VOLUMES), low=0.6).value == pytest.approx(0.6)
    assert Bar("gain", uneven, tuple(VOLUMES), low=0.0, worst=True).result == "missed"
    assert Bar("chi", everywhere, tuple(VOLUMES), *AGREES).result == "met"
    assert Bar("chi", dict.fromkeys(VOLUMES, 0.7), tuple(VOLUMES), *AGREES).result == "missed"


def test_bars_compare_what_they_say():
    rows = []
    for number, volume in enumerate(VOLUMES):
        for factor in (2, 4, 8):
            case = Case("points", factor)
            rows.append(Row(volume, case, TODAY, "point", psnr=30.0))
            loss = 0.1 if (volume, factor) == ("lucchi", 8) else 0.0
            rows.append(Row(volume, case, TOLD, "point", psnr=30.0 - loss, coverage=0.9))
        case = Case("blurred", 4, "even", "gaussian:4.71", 0.0)
        rows.append(Row(volume, case, TODAY, "point", psnr=20.0))
        rows.append(Row(volume, case, TOLD, "gaussian:4.71", psnr=22.0 + number, chi_squared=0.5))
        rows.append(Row(volume, case, TOLD, "auto", psnr=21.5 + number))
        rows.append(Row(volume, case, OWN, "gaussian:4.71", psnr=23.0 + number, coverage=0.91))
        rows.append(Row(volume, case, TOLD + SAMPLE, "gaussian:4.71", chi_squared=1.1))
        rows.append(Row(volume, case, "CARE", "gaussian:4.71", psnr=22.0 - 1 + 0.6 * number))
        for planes, gain in (("even", 1.0), ("jitter", 1.5)):
            case = Case("uneven", 4, planes)
            rows.append(Row(volume, case, "linear", "point", psnr=20.0))
            rows.append(Row(volume, case, TOLD, "point", psnr=20.0 + gain))
        for method, told, seconds in (
            (TODAY, "point", 1),
            (TOLD, "point", 1.1),
            (TOLD, "slab:4", 1.2),
        ):
            rows.append(Row(volume, Case("cost"), method, told, seconds=seconds))
    case = Case("pair", 5, "even", "its own")
    rows += [Row(PAIR, case, TOLD, "auto", psnr=24.2), Row(PAIR, case, TODAY, "point", psnr=21.4)]
    rows.append(Row(PAIR, case, "ECLARE", "auto", psnr=24.5))
    found = {bar.name: bar for bar in bars(rows_of(*rows))}
    values = {
        name: (round(b.value, 3), b.result) for name, b in found.items() if b.value is not None
    }
    where = "blurred, 4x even gaussian 4.71"
    assert values == {
        "points: told less today's, worst of 2x, 4x, 8x and of all volumes (dB)": (-0.1, "missed"),
        **{
            f"points, {k}x even point: coverage of 90% intervals, told point": (0.9, "met")
            for k in (2, 4, 8)
        },
        f"{where}: told less today's (dB)": (4.0, "met"),
        f"{where}: trained for these planes less today's (dB)": (5.0, "met"),
        f"{where}: coverage of 90% intervals, trained for these planes": (0.91, "met"),
        f"{where}: told less auto (dB)": (0.5, "missed"),
        f"{where}: chi squared, mean": (0.5, "missed"),
        f"{where}: chi squared, sample": (1.1, "met"),
        "uneven, jitter: gain over linear, less that of even planes (dB)": (0.5, "met"),
        "cost of points, mean: told / today's": (1.1, "missed"),
        "cost of a profile, mean: with / points": (1.091, "met"),
        "peers, 4x even gaussian 4.71: told less CARE, told gaussian:4.71, worst volume (dB)": (
            1.0,
            "met",
        ),
        "peers, 4x even gaussian 4.71: trained for these planes less CARE, told gaussian:4.71, "
        "worst volume (dB)": (2.0, "met"),
        "pair: auto less isoslice, today's, told point (dB)": (2.8, "met"),
        "pair: auto less ECLARE, told auto (dB)": (-0.3, "missed"),
    }
    assert found[f"{where} noise 0.03: told less today's (dB)"].low == GAINS[0.03][1]
    text = bars_text(list(found.values()))
    assert "5 of 5" in text
    assert "0 of 5" in text
    assert bars_markdown(list(found.values())).count("\n|") == len(found) + 2


def test_means_are_there_if_all_volumes_are():
    case = Case("points", 2)
    all_of = [Row(v, case, "linear", "point", psnr=30.0 + n) for n, v in enumerate(VOLUMES)]
    (table,) = case_tables(rows_of(*all_of), "")
    assert [column.name for column in table.columns] == [*VOLUMES, "mean"]
    assert table.rows[0].cells[-1].value == 32
    (table,) = case_tables(rows_of(*all_of[:3]), "Notes.")
    assert [column.name for column in table.columns] == list(VOLUMES)[:3]
    assert "brain_t1_b, mouse_brain_2p" in table.caption


def test_rows_are_collected_whatever_run_measured_them(tmp_path):
    case = Case("blurred", 4, "even", "slab:4", 0.03)
    bench = open_bench(
        Specimen("fib25", (np.zeros((3, 4, 4)),), np.zeros((9, 4, 4))),
        tmp_path, Settings(), Progress(),
    )  # fmt: skip
    bench.store.record(
        "results/a", lambda: as_record([Row("fib25", case, TOLD, "auto", psnr=3.0, note="n")])
    )
    bench.store.record(
        "results/a, intervals", lambda: as_record([Row("fib25", case, TOLD, "auto", coverage=0.5)])
    )
    (row,) = collected(tmp_path).values()
    assert (row.psnr, row.coverage, row.note, row.case) == (3.0, 0.5, "n", case)
    heading, line = as_csv([row]).splitlines()
    found = dict(
        zip(
            heading.split(","),
            line.replace(f'"{TOLD}"', TOLD.replace(",", "")).split(","),
            strict=True,
        )
    )
    assert (found["seen_through"], found["noise"], found["psnr"]) == ("slab:4", "0.03", "3.0000")
    assert found["seconds"] == ""


def test_options_name_what_there_is():
    assert tuple(VOLUMES) == NAMES
    assert set(PARTS) == {"points", "blurred", "own", "adapted", "uneven", "cost", "peers", "pair"}


FAKE_PEER = """
import json, sys
import numpy as np
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "train":
    assert "--taps" in words or "--kernel" in words
    print(json.dumps({"minutes": 0.5, "steps": 7, "note": words.get("--kernel", "")}))
else:
    stack, k = np.load(words["--stack"]), int(words["--factor"])
    if "auto" in words["--model"]:
        sys.exit(3)
    depth = (len(stack) - 1) * k + 1
    np.save(words["--output"], np.repeat(stack, k, 0)[:depth].astype("f4"))
    print(json.dumps({"seconds": 0.25, "peak_mb": 12.0}))
"""


def rows_found(outcome, method):
    return sum(row.method == method for row in outcome.rows.values())


@pytest.mark.slow
def test_all_parts_run_and_nothing_is_measured_twice(tmp_path, monkeypatch):
    for name, seed in (("fib25_a", 1), ("fib25_b", 2)):
        stack = structure(40, 40, 40, seed=seed)
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    thin = structure(68, 40, 40, seed=3)
    for name, stack in (("head_ct_1mm", thin), ("head_ct_5mm", thin[2::5])):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    script = tmp_path / "peer.py"
    script.write_text(FAKE_PEER, encoding="utf-8")
    python = Path(sys.executable)
    peers = Peer("CARE", python, script), Peer("ECLARE", python, script, True)
    settings = Settings(0.01, threads=1, peers=peers, steps=1)
    train, trained = benches.isoslice.train, []

    def quick(*arguments, **more):
        assert (more["minutes"], more["steps"]) == (None, 1)
        trained.append(more.get("network"))
        return train(*arguments, **more)

    monkeypatch.setattr(benches.isoslice, "train", quick)

    def run(*parts):
        return run_measured(
            ["fib25", "lucchi"], parts, ("slab-noise",), [tmp_path], tmp_path / "out", settings,
            Progress(),
        )  # fmt: skip

    outcome = run(*PARTS)
    # Today's and told, those for two Gaussians, a slab, points, and two kinds between planes; pair.
    assert [network is None for network in trained] == [False, *[True] * 7, False, True]
    assert not trained[0].measured
    assert rows_found(outcome, OWN) == 6 + 3 + 4
    assert rows_found(outcome, ADAPTED) == 6
    absent = [failure for failure in outcome.failures if "lucchi_train.tif" in failure]
    failed = [failure for failure in outcome.failures if "exit status 3" in failure]
    assert (len(absent), len(failed), len(outcome.failures)) == (7, 2, 9)
    rows = outcome.rows
    case = Case("blurred", 4, "even", "slab:4", 0.03)
    assert rows["fib25", case, "ECLARE", "slab:4"].note == "rect:4"
    assert rows["fib25", case, "CARE", "slab:4"].seconds == 0.25
    assert rows["fib25", case, TOLD, "slab:4"].chi_squared > 0
    assert rows["fib25", Case("points", 2), TOLD, "point"].coverage > 0
    assert rows["fib25", Case("uneven", 4, "4.83"), TOLD, "point"].coverage > 0
    assert rows["fib25", Case("cost"), TODAY + SAMPLE, "point"].seconds > 0
    pair = Case("pair", 5, "even", "its own")
    told = {(row.method, row.told) for row in rows.values() if row.case == pair}
    assert {(TOLD, "auto"), (TOLD, "slab:5"), (TODAY, "point"), ("CARE", "gaussian:4.34")} < told
    known = [bar for bar in outcome.bars if bar.name.startswith("pair: auto less") and bar.found]
    assert len(known) == 4
    text = (tmp_path / "out" / "measured.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(rows) + 1

    def never(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(benches.isoslice, "train", never)
    monkeypatch.setattr(benches, "training", never)
    monkeypatch.setattr("suite.measured.peers.run_child", never)
    for failure in tmp_path.glob("out/*/models/*auto*"):
        failure.rmdir()
    again = run("points", "cost")
    assert again.rows == rows


def test_refused_intervals_leave_no_record(tmp_path, monkeypatch):
    volume = structure(17, 40, 40)
    bench = open_bench(Specimen("fib25", (volume,), volume), tmp_path, Settings(), Progress())
    scene = blurred_scene(volume, "blurred", 4, GAUSSIAN, 0.0)

    def refuse(*_, **__):
        raise SettingsError("no")

    monkeypatch.setattr(benches, "predict", refuse)
    benches.intervals(bench, scene, TOLD, "gaussian:4.71")
    assert not list(tmp_path.glob("fib25/results/**/*.json"))
