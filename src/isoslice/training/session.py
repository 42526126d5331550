"""Train a network in this process, alone or with others, and assemble the model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from isoslice import __version__
from isoslice.data.planes import PlaneStack
from isoslice.inference.model import Model
from isoslice.models.config import AnyConfig
from isoslice.runtime.device import describe, named
from isoslice.runtime.progress import Progress
from isoslice.runtime.text import counted
from isoslice.training.distributed.sync import join
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.loop import Budget, TrainingOutcome, fit
from isoslice.training.objectives import Objective
from isoslice.training.steps import Training, images_per_step
from isoslice.training.validation import evaluations, validation

#: Time to reserve for the least that `reliability` does, in training steps.
RELIABILITY_STEPS = 2
#: Cost of a crop in a training step, in evaluations: one forward, and two for backpropagation.
EVALUATIONS_PER_CROP = 3


@dataclass(frozen=True)
class TrainingRun:
    """Everything a process needs to train.

    Attributes
    ----------
    untrained, objective, config
        Network, objective, and the model's settings.
    training, held_out
        Planes for training and for validation.
    images
        Facts about the images for the training record.
    minutes, steps, device, workdir, resume
        As in `train.train`; minutes for the network's training only.
    began
        Start of the time budget, by `budget.now`.
    """

    untrained: nn.Module
    objective: Objective
    config: AnyConfig
    training: Sequence[PlaneStack]
    held_out: Sequence[PlaneStack]
    images: Mapping[str, Any]
    minutes: float | None
    steps: int | None
    device: torch.device
    workdir: Path | None
    resume: bool
    began: float | None = None


def run_here(job: TrainingRun, topology: ProcessTopology, progress: Progress) -> Model:
    """Train the network in this process, together with others if there are any.

    Returns
    -------
    The model with its training record, the same in every process.
    """
    device, config, several = job.device, job.config, topology.count > 1
    if several and device.type == "cuda":
        device = torch.device("cuda", topology.local_rank)
        torch.cuda.set_device(device)
    planes, held_out = (sum(len(s.data) for s in part) for part in (job.training, job.held_out))
    computing = f"{topology.count} x {describe(device)}" if several else describe(device)
    left_out = job.images.get("planes_left_out")
    told = f"; blank or damaged: {left_out}, left out (isoslice check names them)"
    aside = f"; {held_out:,} more kept aside to tell how good it gets" if held_out else ""
    progress.note(
        f"training on {counted(planes, 'plane')}{aside}{told if left_out else ''}; "
        f"computing on {f'{topology.count} x ' if several else ''}{named(device)}"
    )
    job.objective.move_to(device)
    outcome = _fit(job, device, topology, progress)
    # The memory of a GPU is free again for others, and for what asks how much of it is.
    trained = outcome.network.to("cpu").eval()
    job.untrained.to("cpu")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    images = images_per_step(job.objective, topology)
    processes = {"processes": topology.count, "nodes": topology.nodes, "batch": images}
    info: dict[str, Any] = {
        "isoslice": __version__,
        "torch": torch.__version__,
        "device": computing,
        **(processes if several else {}),
        "sources": job.images["sources"],
        "planes": planes,
        "validation_planes": held_out,
        **{name: fact for name, fact in job.images.items() if name != "sources"},
        "parameters": sum(p.numel() for p in trained.parameters()),
        "steps": outcome.steps,
        "minutes": outcome.seconds / 60,
        "images_seen": outcome.steps * images,
        "loss": outcome.loss,
        "validation": validation(trained.to(device), job.held_out, config, device),
        "history": outcome.history,
    }
    return Model(config, trained.to("cpu"), info)


def _fit(
    job: TrainingRun, device: torch.device, topology: ProcessTopology, progress: Progress
) -> TrainingOutcome:
    """Train the network, with a temporary folder for checkpoints if the job names none."""
    images = images_per_step(job.objective, topology)
    validation_steps = evaluations(job.config, job.held_out) / (EVALUATIONS_PER_CROP * images)
    folder = job.workdir or Path(tempfile.mkdtemp(prefix="isoslice-training-"))
    if topology.first:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        join(topology, device)
        return fit(
            Training(job.untrained, job.training, job.objective, device, topology),
            Budget(
                None if job.minutes is None else job.minutes * 60,
                job.steps,
                job.began,
                afterwards=RELIABILITY_STEPS + validation_steps,
            ),
            folder=folder,
            resume=job.resume,
            validate=lambda net: validation(net, job.held_out, job.config, device),
            progress=progress,
        )
    finally:
        if job.workdir is None:
            shutil.rmtree(folder, ignore_errors=True)
