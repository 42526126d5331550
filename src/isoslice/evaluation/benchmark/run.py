"""``isoslice benchmark``: models, volumes, scores, tables, figures; each is computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice import __version__
from isoslice.data.display import srh_colours
from isoslice.data.subsampling import evenly_spaced
from isoslice.evaluation.benchmark.cells import ScoreTable
from isoslice.evaluation.benchmark.data import BenchmarkData, get_model, load_data
from isoslice.evaluation.benchmark.fidelity import fidelity_of
from isoslice.evaluation.benchmark.paired import (
    PairedImages,
    paired_images,
    paired_results,
    score_pairs,
)
from isoslice.evaluation.benchmark.panels import Colours, rows_figure, volume_figure
from isoslice.evaluation.benchmark.realism import Scorer, make_scorer
from isoslice.evaluation.benchmark.report import (
    blur_table,
    cost_table,
    direction_table,
    fidelity_table,
    paired_table,
    volume_table,
)
from isoslice.evaluation.benchmark.restored import (
    BLURRED,
    TRUTH,
    ablation_volumes,
    grid_of,
    method_volumes,
)
from isoslice.evaluation.benchmark.settings import BenchmarkSettings
from isoslice.evaluation.benchmark.store import Store, open_store
from isoslice.evaluation.benchmark.tables import write_tables
from isoslice.evaluation.figures import check_matplotlib
from isoslice.evaluation.slicefid.features import Extractor
from isoslice.inference.model import Model
from isoslice.runtime.progress import Progress

Voxels = NDArray[np.float32]


def run_benchmark(
    settings: BenchmarkSettings,
    folder: str | Path,
    extractor: Extractor,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[ScoreTable]:
    """Run a benchmark, or the rest of an interrupted one.

    Parameters
    ----------
    settings
        What to run, see `settings.read_settings`.
    folder
        For models, volumes, scores, ``tables/`` and ``figures/``; results that it holds already,
        of the same settings and data, are not computed again.
    extractor
        See `isoslice.evaluation.slicefid.features`.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    progress
        Receives notes and progress; silent by default.

    Returns
    -------
    All tables: ``paired``, ``slicefid`` (and ``slicefid_msdsr``), ``fidelity``,
    ``directions``, ``blur``, ``cost``.

    Raises
    ------
    DataError, SettingsError, ModelError
        If the data or settings cannot be used.
    OutputError
        If the folder holds a benchmark of other settings or data.
    """
    progress = progress or Progress()
    check_matplotlib()
    data = load_data(settings)
    resolved = {
        **settings.model_dump(mode="json"),
        "extractor": extractor.name,
        "isoslice": __version__,
        "data": data.fingerprint(),
    }
    check_image_sizes(data, settings)
    store = open_store(Path(folder), resolved)
    models = {
        entry.name: get_model(entry, data, settings, store, device, progress)
        for entry in settings.models
    }
    scorer = make_scorer(data, settings, store, extractor, progress)

    tables = [_paired(data, models, scorer, device)]
    volumes = {
        factor: method_volumes(data, factor, models, settings, store, device, progress)
        for factor in settings.factors
    }
    tables += _slices(data, volumes, scorer)
    tables += _ablations(data, volumes, models, scorer)
    tables.append(cost_table(_costs(models, store, settings)))
    (store.folder / "tables").mkdir(exist_ok=True)
    write_tables(tables, store.folder / "tables")
    progress.note(f"tables: {store.folder / 'tables'}; figures: {store.folder / 'figures'}")
    return tables


def check_image_sizes(data: BenchmarkData, settings: BenchmarkSettings) -> None:
    """Cut everything into images once: what is too small fails before hours of work."""
    from isoslice.evaluation.slicefid.slices import (
        auto_tile,
        intensity_mapping,
        plane_images,
        slice_images,
    )

    lengths = [*data.truth.shape[2:], *(n for p in data.real for n in p.shape[2:])]
    mapping = intensity_mapping(data.real)
    for protocol in settings.protocols:
        for factor in settings.factors:
            known = grid_of(data, factor).nearest
            slice_images(data.truth[0], protocol, mapping, known, auto_tile(lengths), source="test")
        for planes in data.real:
            plane_images(planes[:2], protocol, mapping, auto_tile(lengths), source="train")


def _paired(
    data: BenchmarkData, models: Mapping[str, Model], scorer: Scorer, device: str
) -> ScoreTable:
    settings, store, progress = scorer.settings, scorer.store, scorer.progress
    pairs = paired_images(data, settings)
    results = {
        factor: paired_results(pairs, factor, models, settings, store, device, progress)
        for factor in settings.factors
    }
    progress.note("scoring the paired task")
    scores = {
        factor: {
            name: score_pairs(pairs, images, f"{factor}x, {name}", scorer, settings)
            for name, images in methods.items()
        }
        for factor, methods in results.items()
    }
    _figure(store, "paired", lambda path: _paired_figure(path, pairs, results, _colours(settings)))
    return paired_table(scores, scorer.extractor.name, len(pairs.images))


def _paired_figure(
    path: Path,
    pairs: PairedImages,
    results: Mapping[int, Mapping[str, Voxels]],
    colours: Colours | None,
) -> None:
    chosen = evenly_spaced(len(pairs.images), 3)
    inputs = {}
    for factor in results:
        shown = np.full_like(pairs.truth, np.nan)
        shown[:, :, ::factor] = pairs.truth[:, :, ::factor]
        inputs[factor] = [shown[i] for i in chosen]
    rows_figure(
        path,
        [pairs.truth[i] for i in chosen],
        inputs,
        {k: {n: [v[i] for i in chosen] for n, v in m.items()} for k, m in results.items()},
        colours=colours,
    )


def _colours(settings: BenchmarkSettings) -> Colours | None:
    """Return the paper's display colours for SRH; grey or RGB otherwise."""
    return srh_colours if settings.srh else None


def _slices(
    data: BenchmarkData, volumes: Mapping[int, Mapping[str, Voxels]], scorer: Scorer
) -> list[ScoreTable]:
    settings, tables = scorer.settings, []
    scorer.progress.note("scoring volumes")
    for protocol in settings.protocols:
        scores = {
            factor: {
                name: scorer.score(
                    f"{factor}x, {name}",
                    lambda volume=volume: volume,  # type: ignore[misc]
                    grid_of(data, factor).nearest,
                    protocol,
                )
                for name, volume in methods.items()
            }
            for factor, methods in volumes.items()
        }
        tables.append(volume_table(scores, scorer.extractor.name, protocol))
    fidelity = {
        factor: {
            name: fidelity_of(f"{factor}x, {name}", volume, data, grid_of(data, factor), scorer)
            for name, volume in methods.items()
            if name != TRUTH
        }
        for factor, methods in volumes.items()
    }
    tables.append(fidelity_table(fidelity))
    _figure(
        scorer.store,
        "volumes",
        lambda path: volume_figure(
            path,
            {
                factor: {name: volume[0] for name, volume in methods.items()}
                for factor, methods in volumes.items()
            },
            _middle(data, settings),
            colours=_colours(settings),
        ),
    )
    return tables


def _ablations(
    data: BenchmarkData,
    volumes: Mapping[int, Mapping[str, Voxels]],
    models: Mapping[str, Model],
    scorer: Scorer,
) -> list[ScoreTable]:
    settings = scorer.settings
    names = [name for name, model in models.items() if model.config.recipe == "msdsr"]
    if not names:
        return []
    protocol = settings.protocols[0]
    scores: dict[int, dict[str, Any]] = {}
    for factor in settings.ablated:
        scores[factor] = {}
        for name in names:
            ablated = ablation_volumes(data, factor, volumes[factor], name, scorer.store)
            for method, volume in ablated.items():
                scores[factor][method] = scorer.score(
                    f"{factor}x, {method}",
                    lambda volume=volume: volume,  # type: ignore[misc]
                    grid_of(data, factor).nearest,
                    protocol,
                )
            panels = {
                label: {
                    TRUTH: data.truth[0],
                    **{n: ablated[n + suffix][0] for n in list(ablated) if not n.endswith(BLURRED)},
                }
                for label, suffix in (("as it is", ""), ("blurred", BLURRED))
            }
            _figure(
                scorer.store,
                f"ablation {name} {factor}x",
                lambda path, panels=panels: volume_figure(  # type: ignore[misc]
                    path, panels, _middle(data, settings), colours=_colours(settings)
                ),
            )
    return [
        direction_table(scores, names, scorer.extractor.name),
        blur_table(scores, names, scorer.extractor.name),
    ]


def _middle(data: BenchmarkData, settings: BenchmarkSettings) -> tuple[int, int, int]:
    """Choose a central voxel on a plane that no factor measures, far from the largest's planes."""
    depth, height, width = data.truth.shape[2:]
    step = max(settings.factors)
    ideal = (depth // 2) // step * step + step // 2
    unmeasured = [z for z in range(depth) if all(z % factor for factor in settings.factors)]
    return min(unmeasured, key=lambda z: abs(z - ideal)), height // 2, width // 2


def _costs(
    models: Mapping[str, Model], store: Store, settings: BenchmarkSettings
) -> dict[str, dict[str, float]]:
    costs = {}
    for name, model in models.items():
        cost = {
            "parameters (M)": sum(p.numel() for p in model.network.parameters()) / 1e6,
            "training (min)": float(model.info.get("minutes", float("nan"))),
            "steps": float(model.info.get("steps", float("nan"))),
        }
        for factor in settings.factors:
            parts = ("mean", "sample") if model.config.recipe == "isoslice" else ("",)
            keys = (
                [f"{name}, {part}" for part in parts][-1:]
                if parts[0]
                else [f"{name}, XZ only", f"{name}, YZ only"]
            )
            seconds = [_seconds(store, f"seconds/{factor}x/{key}") for key in keys]
            cost[f"{factor}x (s)"] = sum(seconds)
        costs[name] = cost
    return costs


def _seconds(store: Store, name: str) -> float:
    return float(store.record(name, lambda: {"seconds": float("nan")})["seconds"])


def _figure(store: Store, name: str, draw: Callable[[Path], None]) -> None:
    path = store.path(f"figures/{name}", ".png")
    if not path.exists():
        draw(path)
