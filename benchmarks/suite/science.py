"""Does science survive? Bodies found in a restored volume, against those found in the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import contingency_table

from isoslice.evaluation.benchmark.cells import Cell, Column, Row, ScoreTable
from isoslice.evaluation.benchmark.store import Store
from suite.cases import CaseData
from suite.segmentation import RECIPES, Recipe, segment
from suite.store import Restored


@dataclass(frozen=True)
class Agreement:
    """How bodies that were found agree with the true ones.

    Attributes
    ----------
    dice, dice_whole
        Of all bodies together, over the planes that were not measured and over all planes; None
        where neither has any.
    objects, matched
        How many were found; how many of these share more than half of their union with a true
        one (Kirillov et al., Panoptic Segmentation, CVPR 2019, section 4.1: such pairs are
        unique).
    f1
        Of the matches; None where neither has any.
    volume
        Of all bodies together, relative to the true ones; None where there are none.
    """

    dice: float | None
    dice_whole: float | None
    objects: int
    matched: int
    f1: float | None
    volume: float | None


def dice(found: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """Twice what both share over the sum of both; None if both are empty."""
    ours, true = found > 0, truth > 0
    total = int(ours.sum()) + int(true.sum())
    return 2 * int((ours & true).sum()) / total if total else None


def matches(found: NDArray[Any], truth: NDArray[Any]) -> int:
    """Count the pairs of a found and a true body that share more than half of their union."""
    table = contingency_table(truth, found).tocoo()
    true_size = np.bincount(truth.ravel())
    found_size = np.bincount(found.ravel())
    bodies = (table.row > 0) & (table.col > 0)
    shared = table.data[bodies]
    union = true_size[table.row[bodies]] + found_size[table.col[bodies]] - shared
    return int((2 * shared > union).sum())


def agreement(found: NDArray[Any], truth: NDArray[Any], missing: NDArray[np.bool_]) -> Agreement:
    """Compare labels (Z, Y, X), 0 outside of bodies; `missing` marks planes not measured."""
    ours, true = int(found.max(initial=0)), int(truth.max(initial=0))
    matched = matches(found, truth)
    volume = int((truth > 0).sum())
    return Agreement(
        dice=dice(found[missing], truth[missing]),
        dice_whole=dice(found, truth),
        objects=ours,
        matched=matched,
        f1=2 * matched / (ours + true) if ours + true else None,
        volume=int((found > 0).sum()) / volume if volume else None,
    )


def true_bodies(case: CaseData, store: Store, recipe: Recipe) -> NDArray[Any]:
    """Segment the truth, unless that was done before."""
    return store.array(f"segmentation/{recipe.key}/truth", lambda: segment(case.truth.data, recipe))


def science(case: CaseData, store: Store, found: Restored | None) -> dict[str, dict[str, Any]]:
    """Score what is found in one volume, unless that was done before.

    Parameters
    ----------
    found
        A restored volume; None for the truth.

    Returns
    -------
    For each kind of bodies the fields of `Agreement`; of the truth, the objects alone. Empty for
    a method that restored the blocks alone: bodies are larger.
    """
    if found is not None and found.blocks_only:
        return {}
    scores: dict[str, dict[str, Any]] = {}
    for recipe in RECIPES.get(case.name, ()):
        if found is None:
            count = int(true_bodies(case, store, recipe).max(initial=0))
            scores[recipe.what] = {"objects": count}
            continue

        def compute(recipe: Recipe = recipe, found: Restored = found) -> dict[str, Any]:
            truth = true_bodies(case, store, recipe)
            bodies = segment(found.volume, recipe)
            return asdict(agreement(bodies, truth, case.missing(found.factor)))

        scores[recipe.what] = store.record(f"segmentation/{recipe.key}/{found.key}", compute)
    return scores


def science_table(
    case: str,
    factor: int,
    rows: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]],
    notes: Sequence[str] = (),
) -> ScoreTable | None:
    """Make the table of one case and scale; None where nothing was segmented.

    Parameters
    ----------
    rows
        Name and scores (`science`) of the truth and of every method, in the order shown.
    notes
        Sentences for the end of the caption.
    """
    rows = [(name, scores) for name, scores in rows if scores]
    if not rows:
        return None
    recipes = RECIPES[case]
    columns = [
        column
        for recipe in recipes
        for column in (
            Column("Dice", recipe.what, "high", 4),
            Column("Dice, all planes", recipe.what, "high", 4),
            Column("objects", recipe.what, "", 0),
            Column("matched", recipe.what, "high", 0),
            Column("F1", recipe.what, "high", 3),
            Column("volume", recipe.what, "", 3),
        )
    ]
    names = ("dice", "dice_whole", "objects", "matched", "f1", "volume")
    return ScoreTable(
        f"{case}_{factor}x_segmentation",
        f"{case}, {factor}x, segmented",
        f"Every volume was segmented by one fixed pipeline; the truth's bodies are the reference. "
        f"One plane of {factor} kept. Dice over the planes that were not measured; objects, "
        "matched (intersection over union above 1/2) and F1 over the whole volume; volume relative "
        "to the truth's. Constants: "
        + "; ".join(f"{recipe.what}: {constants(recipe)}" for recipe in recipes)
        + ". "
        + " ".join([*notes, "Methods that restored the blocks alone are left out."]),
        tuple(columns),
        tuple(
            Row(
                name,
                tuple(
                    Cell(scores[recipe.what].get(column)) for recipe in recipes for column in names
                ),
                ranked=any("dice" in score for score in scores.values()),
            )
            for name, scores in rows
        ),
    )


def constants(recipe: Recipe) -> str:
    """Say a recipe's constants, and why, in a phrase."""
    side = "above" if recipe.bright else "below"
    return (
        f"smoothed by {recipe.smooth:g} voxels, {side} {recipe.threshold:g}, opened by "
        f"{recipe.radius:g}, at least {recipe.smallest} voxels ({recipe.reason})"
    )
