"""Train and restore by every method, each of it once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from isoslice.data.interpolation import Method
from isoslice.evaluation.benchmark.data import get_model
from isoslice.evaluation.benchmark.settings import ModelEntry
from isoslice.evaluation.benchmark.store import Store
from isoslice.inference.model import Model
from isoslice.io.atomic import atomic_output
from isoslice.models.files.bundle import is_model_folder
from isoslice.runtime.progress import Progress
from isoslice.training.distillation import distill
from suite.cases import CaseData
from suite.children import ChildError, run_child
from suite.settings import Peer, SuiteSettings
from suite.store import Restored, as_type, volume_path

RESTORE = Path(__file__).parent / "restore.py"
MEAN, SAMPLE, DISTILLED = "isoslice, mean", "isoslice, sample", "isoslice, distilled"
MSDSR = "msdsr (blocks)"


@dataclass(frozen=True)
class Bench:
    """One case with its folder and how to run it."""

    case: CaseData
    settings: SuiteSettings
    store: Store
    progress: Progress

    def child(self, name: str, command: Sequence[object]) -> dict[str, Any]:
        """Run a child process; what it says goes to ``logs/``."""
        self.progress.note(f"{self.case.name}: {name}")
        log = self.store.path(f"logs/{name}", ".log")
        return run_child(command, self.settings.threads, log)

    def stack(self, factor: int, blocks: bool = False) -> Path:
        """Where the stack to be restored is kept."""
        data = self.case.coarse(factor)
        name = f"stacks/{factor}x"
        if blocks:
            data, name = self.case.blocks(self.case.truth.data)[:, ::factor], f"{name} blocks"
        self.store.array(name, lambda: data)
        return self.store.path(name, ".npy")


def restored(bench: Bench, factor: int) -> Iterator[Restored | ChildError]:
    """Restore by every method at one scale; one that fails yields why."""
    for method in get_args(Method):
        yield interpolation(bench, factor, method)
    yield from own_volumes(bench, factor)
    if bench.settings.distill:
        folder, info = distilled_model(bench)
        yield _volume(bench, factor, DISTILLED, info, ["--model", folder])
    if bench.settings.msdsr and factor in bench.settings.msdsr_factors:
        width, steps = bench.settings.msdsr_width, bench.settings.msdsr_steps
        folder, info = own_model(bench, "msdsr", width)
        yield _volume(bench, factor, MSDSR, info, ["--model", folder, "--steps", steps], True)
    for peer in bench.settings.peers:
        if peer.python is not None:
            try:
                yield _peer_volume(bench, factor, peer, peer.python)
            except ChildError as error:
                bench.progress.note(f"{bench.case.name}: {error}")
                yield error


def interpolation(bench: Bench, factor: int, method: str) -> Restored:
    """Restore by one of the library's aligned interpolations."""
    return _volume(bench, factor, method, {}, ["--interpolation", method])


def own_model(
    bench: Bench, preset: str, width: int | None = None, suffix: str = ""
) -> tuple[Path, dict[str, Any]]:
    """Train one of isoslice's presets on the case's planes: its folder, and its training."""
    name = preset + suffix
    entry = ModelEntry.model_validate({"name": name, "preset": preset, "width": width})
    model = get_model(
        entry,
        bench.case.benchmark(),
        bench.settings.benchmark(),
        bench.store,
        "cpu",
        bench.progress,
    )
    return bench.store.path(f"models/{name}", ""), dict(model.info)


def distilled_model(bench: Bench) -> tuple[Path, dict[str, Any]]:
    """Distill isoslice's own model on the same planes: its folder, and its training."""
    teacher, _ = own_model(bench, "isoslice")
    folder = bench.store.path("models/distilled", "")
    if not is_model_folder(folder):
        bench.progress.note(f"{bench.case.name}: distilling")
        workdir = folder.with_name(folder.name + ".training")
        student = distill(
            Model.load(teacher),
            list(bench.case.train),
            minutes=bench.settings.minutes,
            seed=bench.settings.seed,
            device="cpu",
            workdir=workdir,
            resume=workdir.exists(),
            progress=bench.progress,
        )
        student.save(folder)
        shutil.rmtree(workdir, ignore_errors=True)
    return folder, dict(Model.load(folder).info)


def own_volumes(bench: Bench, factor: int, suffix: str = "") -> Iterator[Restored]:
    """Restore by isoslice's own model, in both of its modes; `suffix` names one of several."""
    folder, info = own_model(bench, "isoslice", suffix=suffix)
    for method, mode in ((MEAN, "mean"), (SAMPLE, "sample")):
        yield _volume(bench, factor, method + suffix, info, ["--model", folder, "--mode", mode])


def _volume(
    bench: Bench,
    factor: int,
    method: str,
    training: dict[str, Any],
    arguments: Sequence[object],
    blocks: bool = False,
) -> Restored:
    def command(output: Path) -> dict[str, Any]:
        settings = bench.settings
        common = ["--stack", bench.stack(factor, blocks), "--factor", factor, "--output", output]
        common += ["--threads", settings.threads, "--seed", settings.seed]
        name = f"restoring {factor}x by {method}"
        return bench.child(name, [sys.executable, RESTORE, *common, *arguments])

    return _kept(bench, factor, method, training, command)


def _peer_volume(bench: Bench, factor: int, peer: Peer, python: Path) -> Restored:
    settings, store = bench.settings, bench.store
    name = f"{factor}x {peer.name}"
    folder = store.path(f"models/{name}", "")
    stack = bench.stack(factor)
    common = ["--factor", factor, "--threads", settings.threads, "--seed", settings.seed]

    def train() -> dict[str, Any]:
        learn = ["--stack", stack] if peer.own_stack else ["--planes", *_planes(bench)]
        shutil.rmtree(folder, ignore_errors=True)
        command = [python, peer.script, "train", *learn, "--model", folder]
        command += ["--minutes", settings.minutes, *common]
        return bench.child(f"training {name}", command)

    training = store.record(f"training/{name}", train)

    def restore(output: Path) -> dict[str, Any]:
        given = bench.stack(factor, peer.blocks_only)
        command = [python, peer.script, "restore", "--stack", given, "--model", folder]
        return bench.child(f"restoring {name}", [*command, "--output", output, *common])

    return _kept(bench, factor, peer.row, training, restore)


def _planes(bench: Bench) -> list[Path]:
    """Where the training planes are kept."""
    paths = []
    for index, volume in enumerate(bench.case.train):
        name = f"stacks/train {index}"
        bench.store.array(name, lambda volume=volume: np.asarray(volume.data))  # type: ignore[misc]
        paths.append(bench.store.path(name, ".npy"))
    return paths


def _kept(
    bench: Bench,
    factor: int,
    method: str,
    training: dict[str, Any],
    restore: Callable[[Path], dict[str, Any]],
) -> Restored:
    """Restore unless volume and record are there; both are named by scale and method."""
    path = volume_path(bench.store, factor, method)
    timing = bench.store.path(f"timing/{factor}x/{method}", ".json")
    if not path.exists():
        timing.unlink(missing_ok=True)
    elif not timing.exists():
        path.unlink()

    def compute() -> dict[str, Any]:
        draft = bench.store.path(f"volumes/{factor}x/.draft {method}", ".npy")
        record = restore(draft)
        volume = as_type(np.load(draft, allow_pickle=False), bench.case.truth.data.dtype)
        draft.unlink()
        with atomic_output(path, overwrite=True) as whole, whole.open("wb") as file:
            np.save(file, volume)
        return record

    record = bench.store.record(f"timing/{factor}x/{method}", compute)
    volume = bench.store.array(f"volumes/{factor}x/{method}", _absent)
    _check_shape(bench, method, volume)
    return Restored(method, factor, volume, record, training)


def _absent() -> Any:
    raise AssertionError("restored before")


def _check_shape(bench: Bench, method: str, volume: Any) -> None:
    case = bench.case
    expected = case.truth.data.shape, (len(case.corners), *case.block)
    if volume.shape not in expected:
        raise ChildError(
            f"{method}: got a volume of {volume.shape}, expected {expected[0]}; it must return "
            "(n - 1) factor + 1 planes"
        )
