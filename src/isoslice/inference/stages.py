"""What a frame is restored by: stages one after the other, and the fields that they leave.

A *field* is what a stage leaves for later ones: a volume (C, Z, Y, X), or a few numbers. It has the
name of its stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from isoslice.data.box import SlicePlane
from isoslice.inference.fields import Layout
from isoslice.inference.passes import Pass

#: A pass over slices, in slabs; numbers of the whole frame, in one task; or block by block.
Kind = Literal["pass", "numbers", "blocks"]
#: Name of the last stage, which gives the restored volume.
RESULT = "blocks"
#: Work of composing a voxel, relative to one pass.
COMPOSE_COST = 0.15


class Stage(NamedTuple):
    """A stage of a frame.

    Attributes
    ----------
    name
        Its own, and its field's.
    kind
        How it is cut into tasks.
    reads
        Stages whose fields it reads.
    start
        Of a pass: the field that it changes, one of `reads`; zeros without one.
    step
        Of a pass: what it does.
    of_errors
        Of a pass: the error head takes the place of the denoiser.
    draw
        Number of the sample that it belongs to.
    cost
        Of one voxel, relative to one network evaluation.
    """

    name: str
    kind: Kind
    reads: tuple[str, ...] = ()
    start: str | None = None
    step: Pass | None = None
    of_errors: bool = False
    draw: int = 0
    cost: float = 1.0


def task_count(stage: Stage, layout: Layout) -> int:
    """Count the tasks of a stage."""
    if stage.step is not None:
        return len(layout.slab_ranges(stage.step.plane))
    return layout.blocks if stage.kind == "blocks" else 1


def chain(
    name: str,
    steps: Sequence[Pass],
    start: str | None = None,
    *,
    of_errors: bool = False,
    draw: int = 0,
    cost: float = 1.0,
) -> list[Stage]:
    """List passes one after the other, named `name` and a number, from the field `start` on."""
    stages: list[Stage] = []
    for number, step in enumerate(steps):
        before = stages[-1].name if stages else start
        reads = () if before is None else (before,)
        stages.append(Stage(f"{name}-{number}", "pass", reads, before, step, of_errors, draw, cost))
    return stages


def needed_after(stages: Sequence[Stage], name: str) -> set[str]:
    """Return the fields that stages after the one called `name` read."""
    names = [stage.name for stage in stages]
    return {field for stage in stages[names.index(name) + 1 :] for field in stage.reads}


def directions(stages: Sequence[Stage]) -> dict[str, SlicePlane]:
    """Return the direction of the slices in which each field was written."""
    return {stage.name: stage.step.plane for stage in stages if stage.step is not None}


def peak_bytes(stages: Sequence[Stage], of_pass: int, *, in_place: bool) -> int:
    """Return the bytes of a voxel's fields, where they are most.

    Parameters
    ----------
    stages
        Of a frame.
    of_pass
        Bytes of what passes leave; blocks take 4.
    in_place
        Whether a pass changes the field that it begins with, if no other stage needs that.
    """
    sizes = {"pass": of_pass, "blocks": 4, "numbers": 0}
    size_of = {stage.name: sizes[stage.kind] for stage in stages}
    most, held = 0, set[str]()
    for stage in stages:
        after = needed_after(stages, stage.name)
        used = held | {stage.name}
        if in_place and stage.start is not None and stage.start not in after:
            used -= {stage.start}
        if stage.name in after:  # else it leaves nothing but the result
            most = max(most, sum(size_of[name] for name in used))
        held = after & used
    return most
