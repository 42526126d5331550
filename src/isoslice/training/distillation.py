"""Distillation: a network learns to go in one evaluation where a trained one ends after several.

The teacher's deterministic sampler maps noise to an end point; the student regresses that map
(Luhman & Luhman 2021, arXiv 2101.02388; consistency distillation, Song et al. 2023, arXiv
2303.01469, with the teacher's end point in place of the student's own). Only 2D images are needed.
Two kinds of start are learned, for the two passes of `passes.distilled_passes`:

- noise alone, at the level sampling starts with: what the XZ pass sees;
- an image plus noise of a lower level: what the YZ pass sees.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from isoslice.data.planes import crop_size, split
from isoslice.errors import SettingsError
from isoslice.inference.detail.blend import blend_detail
from isoslice.inference.model import Model
from isoslice.models.config import DistilledSettings, ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.diffusion.edm import NO_SIGNAL, Network, denoise
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.models.networks.factory import build_network
from isoslice.runtime.device import autocast
from isoslice.runtime.progress import Progress
from isoslice.training.finetune import check_channels
from isoslice.training.objectives import ResidualObjective
from isoslice.training.run import (
    Images,
    RunOptions,
    as_volumes,
    image_facts,
    train_model,
    training_planes,
)

#: Shares of a batch that learn the mean and the first pass; the rest learns the second.
MEAN_SHARE, FIRST_SHARE = 0.15, 0.45
#: Noise levels of the second kind of start, in units of the residual's deviation.
SECOND_LEVELS = (0.2, 1.0)
#: What is taught of the first pass: half-way of the dial, all detail that is fine along the rows'
#: axis and none of the coarse, by a Gaussian of this deviation. The second pass brings the rest.
TAUGHT_DETAIL, TAUGHT_SIGMA = 0.5, 1.5
#: Steps of the teacher.
TEACHER_STEPS = 3


def end_points(
    network: Network,
    state: Tensor,
    base: Tensor,
    masks: Tensor,
    sigma: Tensor,
    sigma_min: float,
    sigma_data: float,
    steps: int = TEACHER_STEPS,
) -> Tensor:
    """Follow the probability flow from each image's own noise level to none (EDM equation 4).

    Parameters
    ----------
    network
        The teacher.
    state
        Noisy residuals, (N, C, H, W), zero on known rows.
    base, masks
        As in `edm.denoise`.
    sigma
        Noise level of each, (N,); levels fall geometrically to `sigma_min`, or stay where they
        are lower.
    sigma_min, sigma_data
        Last level, and the teacher's residual deviation.
    steps
        Evaluations.

    Returns
    -------
    Residuals without noise, (N, C, H, W).
    """
    last = torch.minimum(sigma, torch.full_like(sigma, sigma_min))
    shares = torch.linspace(0, 1, steps).tolist() if steps > 1 else [0.0]
    levels = [sigma * (last / sigma) ** share for share in shares]
    for level, following in zip(levels, [*levels[1:], torch.zeros_like(sigma)], strict=True):
        estimate = denoise(network, state, base, masks, level, sigma_data)
        kept = (following / level)[:, None, None, None]
        state = estimate + kept * (state - estimate)
    return state


def fine_detail_only(mean: Tensor, sample: Tensor) -> Tensor:
    """Keep what `blend.blend_detail` does half-way of the dial, of images (N, C, H, W) along H."""
    known, drawn = (x.flatten(0, 1).unsqueeze(2) for x in (mean, sample.clone()))
    return blend_detail(known, drawn, TAUGHT_DETAIL, TAUGHT_SIGMA).view_as(sample)


@dataclass(frozen=True)
class DistillationObjective(ResidualObjective):
    """What the student minimises: its distance from the teacher's end points."""

    teacher: nn.Module = field(default_factory=nn.Identity)

    def move_to(self, device: torch.device) -> None:
        """Move the teacher."""
        self.teacher.to(device)

    def loss(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """`weighted_loss` of the distance.

        Of the crops, which are drawn at random, the first ones learn the mean, the next ones the
        first pass, the rest the second.
        """
        sampler, scale, count = self.config.sampler, self.config.sigma_data, len(images)
        example = draw_example(images, self.training, self.config.softening, generator)
        base, masks, residual = example.base, example.masks, example.residual
        low, high = SECOND_LEVELS
        sigma = scale * low * (high / low) ** torch.rand(count, generator=generator)
        noise = torch.randn(images.shape, generator=generator)
        sigma, noise = sigma.to(images.device), noise.to(images.device)

        plain = round(MEAN_SHARE * count)
        taught = slice(plain, None)
        first = slice(plain, plain + round(FIRST_SHARE * count))
        sigma[first] = scale * sampler.sigma_max
        added = sigma[:, None, None, None] * noise * example.hidden
        seen, start = residual + added, residual + added
        seen[first] = added[first]
        target = residual.clone()
        with torch.no_grad(), autocast(images.device):
            level = torch.full((1,), NO_SIGNAL, device=images.device)
            mean = denoise(
                self.teacher, residual[first], base[first], masks[first], level, scale
            ).float()
            start[first] = mean + added[first]
            target[taught] = end_points(
                self.teacher,
                start[taught],
                base[taught],
                masks[taught],
                sigma[taught],
                sampler.sigma_min * scale,
                scale,
            ).float()
        target[first] = fine_detail_only(mean, target[first])
        sigma[:plain] = NO_SIGNAL
        return self.denoising_loss(network, seen, target, images, example, sigma)


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
) -> Model:
    """Train a network to do in two evaluations a voxel what `teacher` does in several.

    It has the default network's size, and begins with the teacher's weights if that has it too.

    Parameters
    ----------
    teacher
        A model of the preset ``isoslice``, not itself distilled.
    images, axes
        2D images or stacks like those it learned from, best the same; see `train.train`.
    minutes, steps, seed, device, devices, nodes, workdir, resume, progress
        As in `train.train`.

    Returns
    -------
    A model that predicts like any other; its samples take two evaluations.

    Raises
    ------
    SettingsError
        If the teacher is of another recipe or distilled itself, or an option is out of range.
    DataError
        If the images cannot be used, or have other channels than the teacher's.
    """
    if not isinstance(teacher.config, ModelConfig) or teacher.config.distilled is not None:
        kind = "distilled" if isinstance(teacher.config, ModelConfig) else teacher.config.recipe
        raise SettingsError(
            f"got a {kind} model to distill, expected one that 'isoslice train' made with its own "
            "preset; give that one"
        )
    options = RunOptions.checked(minutes, steps, device, devices, nodes, workdir, resume, progress)
    volumes, stacks = training_planes(
        as_volumes(images, axes), teacher.config.intensities, teacher.config.srh
    )
    check_channels(volumes, stacks, teacher.config)
    config = student_config(teacher.config, crop_size(stacks, TrainingSettings().crop, 16), seed)
    student = build_network(config, config.training.seed)
    if config.network == teacher.config.network:
        student.load_state_dict(teacher.network.state_dict())
    # A copy: it moves to the device, and the caller's stays where it is.
    objective = DistillationObjective(config, teacher=copy.deepcopy(teacher.network).cpu())
    planes = split(stacks, config.training.validation_share, config.training.seed)
    facts, origin = image_facts(volumes, stacks), {"teacher": teacher.fingerprint}
    return train_model(options, student, objective, config, planes, facts, origin)


def student_config(teacher: ModelConfig, crop: int, seed: int | None) -> ModelConfig:
    """Make a student's settings: the teacher's, but the default network and two evaluations."""
    training = TrainingSettings(crop=crop, seed=teacher.training.seed if seed is None else seed)
    shape = NetworkSettings(channels=teacher.network.channels)
    changes = {"network": shape, "training": training, "distilled": DistilledSettings()}
    return teacher.model_copy(update=changes)
