"""One CT scan that was reconstructed twice: thick slices are restored, thin ones are the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from isoslice.data.profile import POINT, Profile
from suite.children import ChildError
from suite.measured.bench import Bench, by_isoslice, intervals
from suite.measured.parts import by_interpolation
from suite.measured.peers import Told, by_peers, care_told, eclare_told
from suite.measured.rows import TODAY, TOLD, Case
from suite.measured.scenes import Scene, Truth
from suite.measured.volumes import STEP

#: What the scanner states, and the Gaussian that least squares finds between the two volumes, in
#: mm, which are voxels of the thin one.
SLAB, FITTED = Profile("slab", 5.0), Profile("gaussian", 4.34)
#: The scan's row of the tables.
CASE = Case("pair", STEP, "even", "its own")


def scene_of(bench: Bench) -> Scene:
    """Return the thick planes."""
    thick = np.asarray(bench.specimen.thick, np.float32)
    truth = Truth(bench.specimen.truth.astype(float))
    return Scene(CASE, POINT, thick, truth, bench.specimen.size)


def told_to_peers() -> list[Told]:
    """List what other programs are told."""
    return [
        care_told(FITTED, f"gaussian:{FITTED.width:g}", 0.0),
        care_told(SLAB, f"slab:{SLAB.width:g}", 0.0),
        eclare_told(f"gaussian:{SLAB.width:g}"),
        eclare_told("auto"),
    ]


def pair(bench: Bench) -> Iterator[ChildError]:
    """Restore the thick planes by all; other programs that fail yield why."""
    scene = scene_of(bench)
    by_interpolation(bench, scene, POINT)
    by_isoslice(bench, scene, TODAY)
    for told in ("auto", f"slab:{SLAB.width:g}"):
        by_isoslice(bench, scene, TOLD, told)
        intervals(bench, scene, TOLD, told)
    yield from by_peers(bench, scene, told_to_peers())
