"""Loss, optimiser and schedules of each recipe; the training loop is in `loop`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from isoslice.data.crops import Indices
from isoslice.data.planes import PlaneStack, SplitPlanes
from isoslice.models.config import (
    AnyConfig,
    EndToEndConfig,
    MaskedTraining,
    ModelConfig,
    MsdsrConfig,
    TrainingSettings,
)
from isoslice.models.diffusion.ddim import cosine_alphas_cumprod
from isoslice.models.diffusion.edm import (
    column,
    draw_sigma,
    estimate_everywhere,
    precondition,
    weighted_loss,
)
from isoslice.models.diffusion.masked import (
    direct_loss,
    hidden_row_masks,
    noise_loss,
    stratified_timesteps,
)
from isoslice.models.diffusion.masked_example import MaskedExample, draw_example
from isoslice.models.diffusion.units import Units
from isoslice.models.diffusion.variance_stabilization import UNSTRETCHED, intensity_error
from isoslice.models.networks.denoiser import Denoiser, MPConv
from isoslice.models.networks.error_head import SpreadHead
from isoslice.models.reliability.calibration import Calibration
from isoslice.runtime.progress import Progress
from isoslice.runtime.randomness import normal
from isoslice.training.muon import Muon
from isoslice.training.reliability import TIME_SHARE, learn_errors
from isoslice.training.statistics import residual_statistics

#: Learning rates relative to that of the inner convolutions: of the network's first and last layers
#: and its embedding, and of the few weights that are not normalised.
EDGE_RATE, OTHER_RATE = 2.0, 1.0
#: Norm to which gradients are clipped; typical norms are 0.2.
CLIP_NORM = 1.0


class Objective(Protocol):
    """What training asks of a recipe."""

    @property
    def config(self) -> AnyConfig:
        """The model's settings."""

    @property
    def training(self) -> TrainingSettings | MaskedTraining:
        """Seed, crop and batch size."""

    @property
    def clip_norm(self) -> float:
        """Norm to which gradients are clipped."""

    @property
    def quarter_turns(self) -> bool:
        """Whether crops are augmented with turns by 90 degrees, not only with flips."""

    @property
    def micro_batch(self) -> int:
        """Crops computed at once; gradients are accumulated to a batch."""

    def loss(
        self,
        network: nn.Module,
        images: Tensor,
        generator: torch.Generator,
        stacks: Indices | None = None,
    ) -> Tensor:
        """Compute the loss of crops (N, C, H, W).

        `generator` is on the CPU; `stacks` says of which training stack each crop is, (N,).
        """

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make an optimiser whose groups have a ``scale``, relative to the learning rate."""

    def rate(self, step: int, done: float) -> float:
        """Return the learning rate at `step`, with the fraction `done` of the budget used."""

    def decay(self, step: int) -> float:
        """Return the decay of the averaged weights."""

    def pre_step(self, network: nn.Module) -> None:
        """Change gradients before a step, in place."""

    def post_step(self, network: nn.Module) -> None:
        """Constrain the weights before training and after a step, in place."""

    def move_to(self, device: torch.device) -> None:
        """Move tensors and modules besides the network to `device`."""

    @property
    def error_share(self) -> float:
        """Share of the time budget for `learn_errors`."""

    def learn_errors(
        self,
        network: nn.Module,
        planes: SplitPlanes,
        steps: int,
        seconds: float | None,
        device: torch.device,
        progress: Progress,
    ) -> tuple[SpreadHead | None, Calibration | None]:
        """Learn where the trained network errs, as in `reliability.learn_errors`, if it can be."""


def micro_batches_per_step(objective: Objective, processes: int) -> int:
    """Return how many micro-batches each process accumulates in a step.

    Processes share the micro-batches of a batch, but each computes at least one: with a single
    micro-batch, the effective batch grows with the number of processes.
    """
    micro_batches = objective.training.batch // objective.micro_batch
    return -(-micro_batches // processes)


def learning_rate(step: int, done: float, settings: TrainingSettings) -> float:
    """Return the learning rate at `step`: linear warm-up, then half a cosine.

    The cosine follows the fraction `done` of the budget, so that time budgets end annealed too.
    """
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))
    return settings.learning_rate * warmup * (0.02 + 0.98 * cosine)


def average_decay(step: int, gamma: float) -> float:
    """Return the decay of the power-function average of the weights (EDM2 equation 4)."""
    return float((1 - 1 / (step + 1)) ** (gamma + 1))


@dataclass(frozen=True)
class ResidualObjective:
    """isoslice's own recipe: diffusion of the residual, magnitude-preserving weights.

    Attributes
    ----------
    units
        Of each training stack, for a model of many specimens; the model's by default.
    """

    config: ModelConfig
    clip_norm: float = CLIP_NORM
    quarter_turns: bool = True
    error_share: float = TIME_SHARE
    units: tuple[Units, ...] | None = None

    @property
    def training(self) -> TrainingSettings:
        """Seed, crop and batch size."""
        return self.config.training

    @property
    def micro_batch(self) -> int:
        """Crops computed at once: the whole batch."""
        return self.config.training.batch

    def loss(
        self,
        network: nn.Module,
        images: Tensor,
        generator: torch.Generator,
        stacks: Indices | None = None,
    ) -> Tensor:
        """Compute the `weighted_loss` of denoised residuals, of stretched intensities."""
        settings, units = self.config.training, self.units_of(stacks, images.device)
        example = draw_example(images, self.config, generator, units)
        sigma = draw_sigma(
            len(images),
            settings.noise_log_mean,
            settings.noise_log_std,
            settings.no_signal_share,
            generator,
        )
        sigma = sigma.to(images.device) * units.sigma_data
        noise = normal(images.shape, generator, images.device)
        added = column(sigma.masked_fill(torch.isinf(sigma), 0.0)) * noise
        residual = example.residual
        noisy = (residual + added) * example.hidden
        return self.denoising_loss(network, noisy, residual, images, example, sigma, units)

    def units_of(self, stacks: Indices | None, device: torch.device) -> Units:
        """Return the units of crops: of all, or of each by its stack."""
        if self.units is None or stacks is None:
            return Units(self.config.softening, self.config.sigma_data)
        softening, scale = self._of_stacks[:, torch.from_numpy(stacks)].to(device)
        return Units(softening[:, None, None, None], scale)

    @cached_property
    def _of_stacks(self) -> Tensor:
        """Softening and residual deviation of each stack, (2, stacks)."""
        return torch.tensor([(s or UNSTRETCHED, d) for s, d in self.units or ()]).T

    def denoising_loss(
        self,
        network: nn.Module,
        noisy: Tensor,
        target: Tensor,
        images: Tensor,
        example: MaskedExample,
        sigma: Tensor,
        units: Units,
    ) -> Tensor:
        """Compute the `weighted_loss`, with the mean's errors in unstretched intensities.

        Shapes as in `edm.denoise`; `images` are before the stretch. See `intensity_error`.
        """
        softening, scale = units
        base, masks, scales = example.base, example.masks, precondition(sigma, scale)
        estimate = estimate_everywhere(network, noisy, base, masks, scales, example.measured)
        estimate = estimate * example.hidden
        error = estimate - target
        if softening is not None:
            mean = torch.isinf(sigma)[:, None, None, None]
            restored = base + torch.where(mean, estimate, 0.0)
            of_mean = intensity_error(restored, images, softening)
            error = torch.where(mean, of_mean, error)
        return weighted_loss(error, example.hidden, scales.c_out)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Use Muon for inner convolutions, Adam for all other weights."""
        layers = [m for m in network.modules() if isinstance(m, MPConv)]
        edges = {id(getattr(network, name, None)) for name in ("enter", "leave")}
        inside = [m for m in layers if m.weight.ndim == 4 and id(m) not in edges]
        matrices = [m.weight for m in inside]
        edge = [m.weight for m in layers if m not in inside]
        known = {id(weight) for weight in (*matrices, *edge)}
        others = [p for p in network.parameters() if id(p) not in known]
        groups = [
            {"params": matrices, "scale": 1.0, "orthogonal": True},
            {"params": edge, "scale": EDGE_RATE},
            {"params": others, "scale": OTHER_RATE},
        ]
        return Muon([g for g in groups if g["params"]], lr=self.config.training.learning_rate)

    def rate(self, step: int, done: float) -> float:
        """See `learning_rate`."""
        return learning_rate(step, done, self.config.training)

    def decay(self, step: int) -> float:
        """See `average_decay`."""
        return average_decay(step, self.config.training.average_gamma)

    def pre_step(self, network: nn.Module) -> None:
        """Take the gradients that normalised weights have (EDM2 section 2.3)."""
        if isinstance(network, Denoiser):
            network.project_gradients()

    def post_step(self, network: nn.Module) -> None:
        """Normalise all weights (EDM2 section 2.3)."""
        if isinstance(network, Denoiser):
            network.renormalize()

    def move_to(self, device: torch.device) -> None:
        """Nothing to move."""

    def learn_errors(
        self,
        network: nn.Module,
        planes: SplitPlanes,
        steps: int,
        seconds: float | None,
        device: torch.device,
        progress: Progress,
    ) -> tuple[SpreadHead | None, Calibration | None]:
        """See `reliability.learn_errors`."""
        return learn_errors(network, self.config, planes, steps, seconds, device, progress)


@dataclass(frozen=True)
class EndToEndObjective:
    """The paper's baseline: L1 loss of one pass, AdamW, warm-up and cosine."""

    config: EndToEndConfig | MsdsrConfig
    error_share: float = 0.0

    @property
    def training(self) -> MaskedTraining:
        """Seed, crop and batch size."""
        return self.config.training

    @property
    def clip_norm(self) -> float:
        """Norm to which gradients are clipped."""
        return self.config.training.clip_norm

    @property
    def quarter_turns(self) -> bool:
        """Whether crops are augmented with turns by 90 degrees, not only with flips."""
        return self.config.training.quarter_turns

    @property
    def micro_batch(self) -> int:
        """Crops computed at once."""
        return min(self.config.training.micro_batch, self.config.training.batch)

    def loss(
        self,
        network: nn.Module,
        images: Tensor,
        generator: torch.Generator,
        stacks: Indices | None = None,
    ) -> Tensor:
        """Compute the L1 loss of the image; see `direct_loss`."""
        return direct_loss(network, images, self.draw_masks(images, generator))

    def draw_masks(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw known rows of crops (N, C, H, W), (N, H)."""
        rows, each = self.training.hidden_rows, self.training.stratified
        count, height = len(images), images.shape[2]
        return hidden_row_masks(count, height, rows, generator, each=each).to(images.device)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Use AdamW with PyTorch's betas, as in the released code."""
        settings = self.config.training
        groups = [{"params": list(network.parameters()), "scale": 1.0}]
        return torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        )

    def rate(self, step: int, done: float) -> float:
        """Return the rate after linear warm-up and half a cosine to zero over the budget."""
        settings = self.config.training
        if done < settings.warmup_share:
            return settings.learning_rate * done / settings.warmup_share
        remaining = (1 - min(done, 1.0)) / max(1 - settings.warmup_share, 1e-9)
        return settings.learning_rate * (0.5 - 0.5 * math.cos(math.pi * remaining))

    def decay(self, step: int) -> float:
        """Return the released decay: short memory at first, then `average_decay`."""
        updates = step + 1
        return min(self.config.training.average_decay, (1 + updates) / (10 + updates))

    def pre_step(self, network: nn.Module) -> None:
        """Leave the gradients as they are."""

    def post_step(self, network: nn.Module) -> None:
        """Leave the weights as they are."""

    def move_to(self, device: torch.device) -> None:
        """Nothing to move."""

    def learn_errors(self, *_: Any) -> tuple[None, None]:
        """Learn nothing of errors."""
        return None, None


@dataclass(frozen=True)
class MaskedObjective(EndToEndObjective):
    """The paper's recipe, masked slice diffusion: the same on noise in place of images."""

    config: MsdsrConfig

    def loss(
        self,
        network: nn.Module,
        images: Tensor,
        generator: torch.Generator,
        stacks: Indices | None = None,
    ) -> Tensor:
        """Compute the L1 loss of the noise; see `noise_loss`."""
        masks, count = self.draw_masks(images, generator), len(images)
        signal = torch.from_numpy(cosine_alphas_cumprod(self.config.sampler.timesteps)).float()
        if self.training.stratified:
            t = stratified_timesteps(count, len(signal), generator)
        else:
            t = torch.randint(len(signal), (count,), generator=generator)
        noise = torch.randn(images.shape, generator=generator)
        t, noise, signal = (x.to(images.device) for x in (t, noise, signal))
        return noise_loss(network, images, masks, t, noise, signal)


def objective_of(config: AnyConfig, stacks: Sequence[PlaneStack]) -> Objective:
    """Return the objective of a recipe, with settings that it measures on training planes."""
    match config.recipe:
        case "isoslice":
            statistics = residual_statistics(stacks, config.training)
            return ResidualObjective(config.updated(**statistics))
        case "msdsr":
            return MaskedObjective(config)
        case "end-to-end":
            return EndToEndObjective(config)
