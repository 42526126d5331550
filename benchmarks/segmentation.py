"""Does science survive? Segment one specimen in the truth, interpolated, and restored.

    python benchmarks/segmentation.py --data FOLDER --case lucchi --model MODEL -o RESULTS
    python benchmarks/segmentation.py --case nuclei --minutes 4 -o RESULTS

The same scores as the suite's (suite/science.py), by one model that is there already; it must not
have seen what is restored. Without one, a model is trained at each scale on the coarse stack's own
planes. The nuclei are those of examples/nuclei_demo.py. --picture draws outlines. What was
restored and scored is kept in RESULTS, and not computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

import isoslice
from isoslice.data.grid import crop_to_grid, even_grid
from isoslice.data.interpolation import Method, interpolate
from isoslice.data.volume import Volume
from isoslice.evaluation.benchmark.store import Store, open_store
from isoslice.evaluation.benchmark.tables import text, write_tables
from isoslice.inference.model import Model
from isoslice.models.choices import Mode
from isoslice.runtime.progress import Progress, terminal_progress
from suite.cases import CASES, LARGEST, CaseData, load_case
from suite.methods import MEAN, SAMPLE
from suite.science import science, science_table
from suite.scoring import TRUTH
from suite.segmentation import RECIPES
from suite.settings import SuiteSettings
from suite.store import Restored, as_type

#: What pictures show beside the truth.
SHOWN = ("linear", MEAN, SAMPLE)
MODES: dict[str, Mode] = {MEAN: "mean", SAMPLE: "sample"}


def load(name: str, data: Path | None) -> CaseData:
    """Read one of the suite's cases, or the nuclei."""
    suite = SuiteSettings()
    if name in CASES:
        if data is None:
            raise isoslice.SettingsError(
                f"got no folder with the volumes of {name}, expected one; name it by --data"
            )
        return load_case(name, data, suite.block, suite.blocks, suite.seed)
    sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
    from nuclei_demo import load_truth

    truth = load_truth()
    truth = replace(truth, data=np.ascontiguousarray(crop_to_grid(truth.data, LARGEST)))
    return CaseData(name, (), truth, (), suite.block)


def volumes(
    case: CaseData, factor: int, options: argparse.Namespace, store: Store, progress: Progress
) -> Iterator[Restored]:
    """Interpolate by every method, and restore by the model or by one trained on the stack."""
    coarse, dtype = case.coarse(factor), case.truth.data.dtype
    grid = even_grid(len(coarse), factor)
    for method in get_args(Method):
        volume = as_type(interpolate(coarse.astype(np.float32), grid, method), dtype)
        yield Restored(method, factor, volume, {}, {})
    spacing = case.truth.spacing
    thicker = {**spacing, "Z": spacing["Z"] * factor}
    stack = Volume(coarse, "ZYX", thicker, case.truth.unit, source="the coarse stack")

    @cache
    def model() -> Model:
        if options.model is not None:
            return Model.load(options.model)
        return isoslice.train(stack, minutes=options.minutes, seed=0, progress=progress)

    for name, mode in MODES.items():

        def restore(mode: Mode = mode) -> NDArray[Any]:
            found = model().predict(stack, factor=factor, mode=mode, seed=0, progress=progress)
            return np.asarray(found.volume)

        volume = store.array(f"volumes/{factor}x/{name}", restore)
        training = store.record(f"training/{factor}x", lambda: training_of(model()))
        yield Restored(name, factor, volume, {}, training)


def training_of(model: Model) -> dict[str, Any]:
    """Tell how long a model was trained, and on what."""
    return {key: model.info.get(key) for key in ("steps", "minutes", "sources")}


def note(training: dict[str, Any]) -> str:
    """Say it in a sentence."""
    sources = ", ".join(map(str, training["sources"] or ["planes of its own"]))
    return (
        f"isoslice's model: {training['steps']} steps in {training['minutes']:.0f} minutes on "
        f"{sources}."
    )


def settings(case: CaseData, options: argparse.Namespace) -> dict[str, str | float]:
    """Tell what all that is kept depends on."""
    voxels = np.ascontiguousarray(case.truth.data)
    found: dict[str, str | float] = {"data": hashlib.sha256(voxels.tobytes()).hexdigest()}
    if options.model is None:
        return found | {"minutes": options.minutes}
    Model.load(options.model)  # says what is wrong with a folder that is no model
    weights = (options.model / "weights.safetensors").read_bytes()
    return found | {"model": hashlib.sha256(weights).hexdigest()}


def main(arguments: list[str] | None = None) -> int:
    """Restore, segment, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the suite's volumes")
    parser.add_argument("--case", choices=list(RECIPES), required=True)
    parser.add_argument("--factor", type=int, action="append", choices=[2, 4, 8])
    parser.add_argument("--model", type=Path, help="a model's folder; else one is trained")
    parser.add_argument("--minutes", type=float, default=4, help="of training, at each scale")
    parser.add_argument("--picture", action="store_true", help="draw what is found")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    progress = terminal_progress(quiet=False)
    tables = []
    try:
        case = load(options.case, options.data)
        store = open_store(options.output / case.name, settings(case, options))
        for factor in options.factor or [2, 4, 8]:
            rows, notes = [(TRUTH, science(case, store, None))], []
            shown = {TRUTH: case.truth.data}
            for found in volumes(case, factor, options, store, progress):
                progress.note(f"{case.name}: segmenting {factor}x {found.method}")
                rows.append((found.method, science(case, store, found)))
                if found.training:
                    notes = [note(found.training)]
                if found.method in SHOWN:
                    shown[found.method] = found.volume
            table = science_table(case.name, factor, rows, notes)
            assert table is not None
            tables.append(table)
            write_tables(tables, options.output)
            if options.picture:
                from suite.outlines import outlines_figure

                outlines_figure(shown, RECIPES[case.name][0], options.output / f"{table.key}.png")
            print(text(table))
    except isoslice.IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        progress.close()
    print(f"tables: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
