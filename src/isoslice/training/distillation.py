"""Distillation: train a student to reproduce the teacher's sampler in one evaluation a pass.

The teacher's deterministic sampler maps noise to an end point; the student regresses that map
(Luhman & Luhman 2021, arXiv 2101.02388; consistency distillation, Song et al. 2023, arXiv
2303.01469, with the teacher's end point in place of the student's own). Only 2D images are needed.
There are two kinds of input, for the two passes of `passes.distilled_passes`:

- noise alone, at the sampler's first noise level, for the XZ pass;
- an image with noise of a lower level, for the YZ pass.

A student of a teacher that is told how planes were measured is told, too: a share of its examples
have planes that are blurred, noisy or anywhere, and the teacher's end points are told of them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from isoslice.data.crops import Indices, crop_size
from isoslice.data.noise_range import as_noisy_as, some_of
from isoslice.data.planes import PlaneStack, split
from isoslice.errors import SettingsError
from isoslice.inference.detail.blend import blend_detail
from isoslice.inference.model import Model
from isoslice.models.config import DistilledSettings, ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.diffusion.edm import NO_SIGNAL, Network, denoise
from isoslice.models.diffusion.masked_example import draw_example, measured_of
from isoslice.models.networks.factory import build_network
from isoslice.runtime.device import autocast
from isoslice.runtime.progress import Progress
from isoslice.runtime.randomness import normal
from isoslice.training.finetune import check_channels
from isoslice.training.objectives import ResidualObjective
from isoslice.training.own_planes import that_fit
from isoslice.training.run import (
    Images,
    RunOptions,
    as_volumes,
    image_facts,
    train_model,
    training_planes,
)
from isoslice.training.statistics import residual_statistics

#: Shares of a batch for the mean and for the first pass; the rest is for the second.
MEAN_SHARE, FIRST_SHARE = 0.15, 0.45
#: Range of noise levels of the second pass, in units of the residual's deviation.
SECOND_PASS_LEVELS = (0.2, 1.0)
#: Target of the first pass, as for `blend.blend_detail`: at a detail of 0.5 all fine detail along H
#: and no coarse detail, separated by a Gaussian of this deviation in pixels.
TARGET_DETAIL, TARGET_SIGMA = 0.5, 1.5
#: Network evaluations of the teacher.
TEACHER_STEPS = 3


def end_points(
    network: Network,
    state: Tensor,
    base: Tensor,
    masks: Tensor,
    sigma: Tensor,
    sigma_min: float,
    sigma_data: float,
    measured: Tensor | None = None,
    steps: int = TEACHER_STEPS,
) -> Tensor:
    """Solve the probability flow ODE from each image's noise level to zero (EDM equation 4).

    Parameters
    ----------
    network
        The teacher.
    state
        Noisy residuals, (N, C, H, W), zero on known rows.
    base, masks
        As in `edm.denoise`.
    sigma
        Noise level of each, (N,); levels decrease geometrically to `sigma_min`, or stay constant
        if they are lower.
    sigma_min, sigma_data
        Last noise level, and the teacher's residual deviation.
    measured
        How planes were measured, as in `edm.denoise`.
    steps
        Euler steps, of one evaluation each.

    Returns
    -------
    Denoised residuals, (N, C, H, W).
    """
    last = torch.minimum(sigma, torch.full_like(sigma, sigma_min))
    shares = torch.linspace(0, 1, steps).tolist() if steps > 1 else [0.0]
    levels = [sigma * (last / sigma) ** share for share in shares]
    for level, next_level in zip(levels, [*levels[1:], torch.zeros_like(sigma)], strict=True):
        estimate = denoise(network, state, base, masks, level, sigma_data, measured)
        noise_kept = (next_level / level)[:, None, None, None]
        state = estimate + noise_kept * (state - estimate)
    return state


def fine_detail_only(mean: Tensor, sample: Tensor) -> Tensor:
    """Remove coarse detail along H from samples (N, C, H, W): `blend_detail` at half detail."""
    base, detailed = (x.flatten(0, 1).unsqueeze(2) for x in (mean, sample.clone()))
    return blend_detail(base, detailed, TARGET_DETAIL, TARGET_SIGMA).view_as(sample)


def kinds_of(count: int, measured: int) -> tuple[Tensor, Tensor]:
    """Say which crops of a batch are for the mean, and which for the first pass, (N,) each.

    The rest is for the second. So it is among points and among the last `measured` by themselves.
    """
    means, first = torch.zeros(2, count, dtype=torch.bool)
    for start, size in ((0, count - measured), (count - measured, measured)):
        till = start + round(MEAN_SHARE * size)
        means[start:till] = True
        first[till : till + round(FIRST_SHARE * size)] = True
    return means, first


@dataclass(frozen=True)
class DistillationObjective(ResidualObjective):
    """Objective of the student: regression on the teacher's end points."""

    teacher: nn.Module = field(default_factory=nn.Identity)

    def move_to(self, device: torch.device) -> None:
        """Move the teacher."""
        self.teacher.to(device)

    def loss(
        self,
        network: nn.Module,
        images: Tensor,
        generator: torch.Generator,
        stacks: Indices | None = None,
    ) -> Tensor:
        """Compute the `weighted_loss` of the difference from the teacher.

        See `kinds_of` for what each crop of a batch is for.
        """
        sampler, scale, count = self.config.sampler, self.config.sigma_data, len(images)
        example = draw_example(images, self.config, generator)
        base, masks, residual = example.base, example.masks, example.residual
        told = example.measured
        low, high = SECOND_PASS_LEVELS
        sigma = scale * low * (high / low) ** torch.rand(count, generator=generator)
        sigma, noise = sigma.to(images.device), normal(images.shape, generator, images.device)

        means, first = (
            kind.to(images.device) for kind in kinds_of(count, measured_of(self.config, count))
        )
        passes = ~means
        sigma[first] = scale * sampler.sigma_max
        added = sigma[:, None, None, None] * noise * example.hidden
        noisy = residual * example.hidden + added
        start = noisy.clone()
        noisy[first] = added[first]
        target = residual.clone()
        with torch.no_grad(), autocast(images.device):
            level = torch.full((1,), NO_SIGNAL, device=images.device)
            mean = denoise(
                self.teacher,
                residual[first],
                base[first],
                masks[first],
                level,
                scale,
                None if told is None else told[first],
            ).float()
            start[first] = mean + added[first]
            target[passes] = end_points(
                self.teacher,
                start[passes],
                base[passes],
                masks[passes],
                sigma[passes],
                sampler.sigma_min * scale,
                scale,
                None if told is None else told[passes],
            ).float()
        target[first] = fine_detail_only(mean, target[first])
        sigma[means] = NO_SIGNAL
        units = self.units_of(stacks, images.device)
        return self.denoising_loss(network, noisy, target, images, example, sigma, units)


def distill(
    teacher: Model,
    images: Images,
    *,
    axes: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workdir: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    along: str | None = None,
) -> Model:
    """Train a student that predicts with two evaluations a voxel, where `teacher` needs several.

    It has the default network's size, and starts from the teacher's weights if that has it too.

    Parameters
    ----------
    teacher
        A model of the preset ``isoslice``, not itself distilled.
    images, axes
        2D images or stacks like the teacher's training images, best the same; see `train.train`.
    minutes, steps, seed, device, devices, nodes, workdir, resume, progress, along
        As in `train.train`.

    Returns
    -------
    A model whose samples take two evaluations.

    Raises
    ------
    SettingsError
        If the teacher is of another recipe or distilled itself, or an option is out of range.
    DataError
        If the images cannot be used, or have other channels than the teacher's.

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((6, 48, 48), np.float32)
    >>> teacher = isoslice.Model.pretrained()
    >>> student = isoslice.distill(teacher, planes, axes="ZYX", steps=1)
    >>> student.predict(planes, axes="ZYX", factor=2).provenance["steps"]
    2
    """
    if teacher.config.recipe != "isoslice" or teacher.config.distilled is not None:
        kind = teacher.config.recipe if teacher.config.distilled is None else "distilled"
        raise SettingsError(
            f"got a {kind} model to distill, expected one that 'isoslice train' made with its own "
            "preset; give that one"
        )
    options = RunOptions.checked(minutes, steps, device, devices, nodes, workdir, resume, progress)
    volumes, stacks = training_planes(
        as_volumes(images, axes), teacher.config.intensities, teacher.config.srh, along
    )
    check_channels(volumes, stacks, teacher.config)
    stacks = [as_the_teacher_learned(stack, teacher.config) for stack in stacks]
    crop = crop_size(stacks, TrainingSettings().crop, 16, teacher.config.training.row_spacing)
    config = student_config(teacher.config, crop, seed)
    planes = split(stacks, config.training.validation_share, config.training.seed)
    if teacher.config.per_stack:  # of many specimens; the student is of these
        statistics = residual_statistics(planes[0], config.training)
        config = config.updated(**statistics, per_stack=False)
    student = build_network(config, config.training.seed)
    if config.network == teacher.config.network:
        student.load_state_dict(teacher.network.state_dict())
    # A copy, since it is moved to the device.
    objective = DistillationObjective(config, teacher=copy.deepcopy(teacher.network).cpu())
    facts, origin = image_facts(volumes, stacks), {"teacher": teacher.fingerprint}
    return train_model(options, student, objective, planes, facts, origin)


def as_the_teacher_learned(stack: PlaneStack, teacher: ModelConfig) -> PlaneStack:
    """Normalise a stack as the teacher would; single images stay as bright as they are."""
    if teacher.noise is None or teacher.intensities is not None or len(stack.data) == 1:
        return stack
    changed = as_noisy_as(stack.normalization, some_of(stack.data), teacher.noise)
    return PlaneStack(stack.data, changed)


def student_config(teacher: ModelConfig, crop: int, seed: int | None) -> ModelConfig:
    """Return a student's settings: the teacher's, but the default network, and distilled."""
    training = that_fit(
        TrainingSettings(
            crop=crop,
            seed=teacher.training.seed if seed is None else seed,
            measured_share=teacher.training.measured_share,
            own_planes=teacher.training.own_planes,
            own_share=teacher.training.own_share,
            row_spacing=teacher.training.row_spacing,
        )
    )
    shape = NetworkSettings(channels=teacher.network.channels, measured=teacher.network.measured)
    changes = {"network": shape, "training": training, "distilled": DistilledSettings()}
    return teacher.model_copy(update=changes)
