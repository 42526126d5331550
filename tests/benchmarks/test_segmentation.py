"""Segmentation of restored volumes: bodies of known number and size, agreement by known numbers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import segmentation as script
from conftest import texture
from isoslice.evaluation.benchmark.store import Store
from isoslice.evaluation.benchmark.tables import csv
from suite import science as scores
from suite.bars import bars
from suite.cases import load_case
from suite.science import agreement, dice, matches, science, science_table
from suite.scoring import Scored
from suite.segmentation import RECIPES, Recipe, segment, without_small
from suite.store import Restored

SHAPE = (40, 60, 60)
RECIPE = Recipe("balls", True, 1.0, 100, 4, 500, 1, "balls of known radius")
LABELS = arrays(np.int32, (3, 4, 5), elements=st.integers(0, 3))


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    at = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return (at**2).sum(0) <= radius**2


def painted(*inside: np.ndarray) -> np.ndarray:
    """Bodies of 200 on a ground of 20, with a camera's noise."""
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    return np.where(np.any(inside, 0), 200, 20) + noise


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("bright", [True, False])
def test_balls_are_found_with_their_volume(bright, step):
    recipe = dataclasses.replace(RECIPE, bright=bright, step=step)
    volume = painted(ball((20, 15, 15), 9), ball((20, 44, 44), 11), ball((8, 15, 45), 3))
    labels = segment(volume if bright else 220 - volume, recipe)
    sizes = np.sort(np.bincount(labels.ravel())[1:]) * step**2
    # The ball of radius 3 is thinner than the opening.
    assert len(sizes) == 2
    radii = np.cbrt(sizes * 3 / (4 * math.pi))
    # On a grid an opening moves surfaces by part of a voxel.
    np.testing.assert_allclose(radii, (9, 11), atol=0.6)
    assert labels.shape == (40, 60 // step, 60 // step)


def test_touching_balls_are_two_and_small_ones_none():
    left, right = ball((20, 30, 18), 11), ball((20, 30, 40), 11)
    labels = segment(painted(left, right), RECIPE)
    assert labels.max() == 2
    assert labels[20, 30, 15] != labels[20, 30, 41]
    shares = [(labels == label).sum() / (left | right).sum() for label in (1, 2)]
    np.testing.assert_allclose(shares, 0.5, atol=0.03)
    # Without an opening they are one.
    assert segment(painted(left, right), dataclasses.replace(RECIPE, radius=0)).max() == 1
    assert segment(painted(left), dataclasses.replace(RECIPE, smallest=7_000)).max() == 0


def test_nothing_and_everything_are_segmented():
    assert segment(np.zeros(SHAPE), RECIPE).max() == 0
    assert (segment(np.full(SHAPE, 200.0), RECIPE) == 1).all()


def test_small_bodies_are_left_out_and_the_others_numbered_anew():
    labels = np.array([[[0, 3, 3, 1, 7, 7, 7]]])
    assert without_small(labels, 2).tolist() == [[[0, 1, 1, 0, 2, 2, 2]]]


def test_dice_by_known_numbers():
    first, second = ball((20, 30, 30), 10), ball((20, 30, 30), 10)
    assert dice(first, second) == 1
    assert dice(first, ball((20, 5, 5), 4)) == 0
    assert dice(np.zeros(SHAPE), np.zeros(SHAPE)) is None
    # Half of a slab beside the whole of it: 2 * 5 / (5 + 10).
    slab = np.zeros((10, 2, 2))
    slab[:] = 1
    half = slab.copy()
    half[5:] = 0
    assert dice(half, slab) == pytest.approx(2 / 3)
    # Analytic: a ball in a concentric one.
    assert dice(ball((20, 30, 30), 8), ball((20, 30, 30), 12)) == pytest.approx(
        2 * 8**3 / (8**3 + 12**3), abs=0.01
    )


def test_matches_need_more_than_half_of_the_union():
    truth = np.repeat([1, 2, 3, 0], 10)[None, None]
    found = np.zeros_like(truth)
    found[..., :6] = 5  # 6 of 10
    found[..., 10:15] = 2  # 5 of 10: just not
    found[..., 18:30] = 3  # 10 shared, union 12
    assert matches(found, truth) == 2
    assert matches(truth, truth) == 3
    # Two that became one are at most one match.
    assert matches((truth > 0).astype(int), truth) == 0


def test_agreement_counts_bodies_everywhere_but_dice_where_nothing_was_measured():
    truth = np.zeros((5, 8, 8), np.int32)
    truth[:, :4], truth[:, 6:] = 1, 2
    found = truth.copy()
    found[1:4, :4] = 0  # of the first body only the measured planes are left
    missing = np.array([False, True, True, True, False])
    score = agreement(found, truth, missing)
    assert (score.objects, score.matched) == (2, 1)
    assert score.f1 == 0.5
    assert score.dice == pytest.approx(2 * 3 * 16 / (3 * 16 + 3 * 48))
    assert score.dice_whole > score.dice
    assert score.volume == pytest.approx((2 * 32 + 5 * 16) / (5 * 48))
    same = agreement(truth, truth, missing)
    assert (same.dice, same.f1, same.volume, same.matched) == (1, 1, 1, 2)
    none = agreement(truth * 0, truth * 0, missing)
    assert (none.dice, none.f1, none.volume) == (None, None, None)


@given(LABELS, LABELS)
def test_scores_are_symmetric_and_bounded(first, second):
    assert dice(first, second) == dice(second, first)
    assert matches(first, second) == matches(second, first)
    assert matches(first, first) == len(set(np.unique(first)) - {0})
    assert 0 <= (dice(first, second) or 0) <= 1
    both = min(len(set(np.unique(labels)) - {0}) for labels in (first, second))
    assert matches(first, second) <= both


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A tiny case, with constants for bodies as small."""
    for name, seed in (("fib25_a.tif", 1), ("fib25_b.tif", 2)):
        data = texture(20, 48, 50, seed=seed)
        tifffile.imwrite(tmp_path / name, data, imagej=True, metadata={"axes": "ZYX"})
    recipe = Recipe("blobs", True, 0.5, 120, 1, 20, 1, "bright texture")
    monkeypatch.setitem(RECIPES, "fib25", (recipe,))
    return load_case("fib25", tmp_path, (17, 32, 32), 2, 0)


def test_each_volume_is_segmented_once_and_shown_beside_the_truth(case, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    truth = case.truth.data
    flat = np.repeat(truth[::4], 4, 0)[2:19]
    perfect, nearest = (
        Restored(name, 4, volume, {}, {}) for name, volume in (("same", truth), ("nearest", flat))
    )
    blocks = Restored("msdsr (blocks)", 4, case.blocks(truth), {}, {})
    rows = [
        ("truth", science(case, store, None)),
        ("same", science(case, store, perfect)),
        ("nearest", science(case, store, nearest)),
        ("msdsr (blocks)", science(case, store, blocks)),
    ]
    assert rows[1][1]["blobs"]["dice"] == 1
    assert rows[1][1]["blobs"]["f1"] == 1
    assert rows[0][1]["blobs"]["objects"] == rows[1][1]["blobs"]["objects"] > 3
    assert 0 < rows[2][1]["blobs"]["dice"] < 0.95
    assert rows[3][1] == {}
    table = science_table("fib25", 4, rows)
    assert [row.name for row in table.rows] == ["truth", "same", "nearest"]
    assert [row.ranked for row in table.rows] == [False, True, True]
    assert f"nearest,yes,blobs,Dice,{rows[2][1]['blobs']['dice']!r}" in csv(table)

    def never(*_):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(scores, "segment", never)
        assert science(case, store, nearest) == rows[2][1]
    # Other constants find something else.
    other = dataclasses.replace(RECIPES["fib25"][0], threshold=100)
    monkeypatch.setitem(RECIPES, "fib25", (other,))
    assert science(case, store, nearest) != rows[2][1]


def test_cases_without_bodies_have_no_table():
    assert science_table("elsewhere", 4, [("truth", {}), ("linear", {})]) is None


def test_bars_hold_dice_against_the_better_interpolation():
    def row(method, value):
        return Scored(method, None, {}, {}, {}, {"bone": {"dice": value}})

    rows = [
        Scored("truth", None, {}, {}, {"mean": {"fid": 1.0}}, {"bone": {"objects": 3}}),
        row("linear", 0.8),
        row("cubic", 0.85),
        row("isoslice, mean", 0.9),
        row("isoslice, sample", 0.82),
    ]
    found = {bar.name: bar for bar in bars("mouse_ct", {8: rows}, [])}
    end = "Dice of bone less the better of linear's and cubic's"
    mean, sample = (found[f"mouse_ct 8x, {name}: {end}"] for name in ("mean", "sample"))
    assert (mean.value, mean.result) == (pytest.approx(0.05), "met")
    assert (sample.value, sample.result) == (pytest.approx(-0.03), "missed")
    assert not any("Dice" in bar.name for bar in bars("mouse_ct", {2: rows}, []))


def test_every_recipe_can_be_told_and_has_a_name_of_its_own():
    for case, recipes in RECIPES.items():
        assert len({recipe.key for recipe in recipes}) == len(recipes), case
        for recipe in recipes:
            ball = 4 / 3 * math.pi * recipe.radius**3
            assert recipe.smallest > ball, (case, recipe.what)
            assert recipe.reason.startswith("chosen on")
            changed = dataclasses.replace(recipe, reason="another")
            assert changed.key == recipe.key
            assert dataclasses.replace(recipe, smooth=9).key != recipe.key


@pytest.mark.slow
def test_the_script_restores_segments_and_goes_on(
    case, tmp_path, model_folder, monkeypatch, capsys
):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(script, "load", lambda *_: case)
    out = tmp_path / "out"
    words = ["--case", "fib25", "--factor", "4", "--model", str(model_folder)]
    words += ["--threads", "1", "--picture", "-o", str(out)]
    assert script.main(words) == 0
    shown = capsys.readouterr().out
    for method in ("truth", "nearest", "lanczos", "isoslice, mean", "isoslice, sample"):
        assert method in shown
    written = {path.name for path in out.iterdir()}
    assert {"fib25_4x_segmentation.md", "fib25_4x_segmentation.csv"} <= written
    assert (out / "fib25_4x_segmentation.png").stat().st_size > 1000
    before = (out / "fib25_4x_segmentation.csv").read_text(encoding="utf-8")
    assert script.main(words) == 0
    assert (out / "fib25_4x_segmentation.csv").read_text(encoding="utf-8") == before


def test_the_script_names_a_folder_that_is_missing(tmp_path: Path, capsys):
    assert script.main(["--case", "lucchi", "-o", str(tmp_path / "out")]) == 1
    assert "--data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
