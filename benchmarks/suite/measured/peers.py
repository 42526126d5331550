"""CARE and ECLARE on blurred planes, told what isoslice is told; and ECLARE left to itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.profile import Profile
from suite.children import ChildError, run_child
from suite.measured.bench import Bench, by_isoslice, keep_stack, planes_to_learn_from, restored
from suite.measured.parts import PROFILES
from suite.measured.rows import TODAY, TOLD
from suite.measured.scenes import Scene, blurred_scene, taps
from suite.settings import Peer

CARE, ECLARE = "CARE", "ECLARE"
#: Names of profiles that ECLARE calls otherwise.
KINDS = {"slab": "rect"}
#: What is asked of other programs by default: a Gaussian of two voxels' deviation, no noise; and
#: what can be asked for beside it.
CASES: dict[str, tuple[Profile, float]] = {
    "gaussian": (PROFILES[1], 0.0),
    "slab-noise": (PROFILES[0], 0.03),
}


@dataclass(frozen=True)
class Told:
    """What another program is told.

    Attributes
    ----------
    method
        The program.
    told
        The profile as shown, its length in voxels; ``auto`` leaves the program to find it.
    words
        Options of its training.
    """

    method: str
    told: str
    words: tuple[object, ...]

    @property
    def shown(self) -> str:
        """What it is called in tables."""
        return f"{self.method}, told {self.told}"


def care_told(profile: Profile, told: str, noise: float) -> Told:
    """Tell CARE weights of planes, and the deviation of their noise, in intensities."""
    weights = ",".join(f"{weight:.6g}" for weight in taps(profile))
    return Told(CARE, told, ("--taps", weights, "--noise", noise))


def eclare_told(told: str) -> Told:
    """Tell ECLARE a profile, or ``auto``."""
    kind, _, width = told.partition(":")
    kernel = "own" if told == "auto" else f"{KINDS.get(kind, kind)}:{width}"
    return Told(ECLARE, told, ("--kernel", kernel))


def all_told(seen: Profile, given: str, noise: float) -> list[Told]:
    """List what other programs are told of planes that were blurred on purpose.

    Parameters
    ----------
    seen, given
        The profile, and how it is shown.
    noise
        Deviation in intensities.
    """
    return [care_told(seen, given, noise), eclare_told(given), eclare_told("auto")]


def peers(bench: Bench, cases: tuple[str, ...]) -> Iterator[ChildError]:
    """Restore blurred planes by isoslice and other programs; one that fails yields why."""
    for name in cases:
        seen, noise = CASES[name]
        scene = blurred_scene(bench.specimen.truth, "blurred", 4, seen, noise, bench.settings.seed)
        by_isoslice(bench, scene, TODAY)
        by_isoslice(bench, scene, TOLD, scene.given)
        told = all_told(seen, scene.given, noise * scene.truth.span)
        yield from by_peers(bench, scene, told)


def by_peers(bench: Bench, scene: Scene, told: list[Told]) -> Iterator[ChildError]:
    """Restore a scene by those programs that an interpreter was named for."""
    known = {peer.name: peer for peer in bench.settings.peers if peer.python is not None}
    for each in told:
        if each.method in known:
            try:
                _restored(bench, scene, known[each.method], each)
            except ChildError as error:
                bench.note(str(error))
                yield error


def _restored(bench: Bench, scene: Scene, peer: Peer, told: Told) -> None:
    """Train another program, restore and score a scene by it; each of it once."""
    name = f"{scene.case.name} {told.method} {told.told}".replace(":", " ")
    settings, folder = bench.settings, bench.store.path(f"models/{name}", "")
    common = ["--factor", scene.case.factor, "--threads", settings.threads, "--seed", settings.seed]

    def child(task: str, words: list[object]) -> dict[str, Any]:
        bench.note(f"{task} {name}")
        log = bench.store.path(f"logs/{task} {name}", ".log")
        command = [peer.python, peer.script, task, "--model", folder, *words, *common]
        return run_child(command, settings.threads, log)

    def stack() -> Path:
        return keep_stack(bench, f"stacks/{scene.case.name}".replace(":", " "), scene.planes)

    def train() -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        learn: list[object] = ["--planes", *planes_to_learn_from(bench)]
        learn = ["--stack", stack()] if peer.own_stack else learn
        return child("train", [*learn, "--minutes", settings.minutes, *told.words])

    def restore() -> tuple[NDArray[Any], dict[str, Any]]:
        training = bench.store.record(f"training/{name}", train)
        draft = bench.store.path(f"volumes/{name}", ".npy")
        record = child("restore", ["--stack", stack(), "--output", draft])
        more = {
            "training_minutes": training["minutes"],
            "training_steps": training["steps"],
            "seconds": record["seconds"],
            "note": training.get("note", ""),
        }
        return np.load(draft, allow_pickle=False), more

    restored(bench, scene, told.method, told.told, restore)
