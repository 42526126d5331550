"""What each recipe minimises, and how its optimiser is driven; the loop itself is in `loop`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from isoslice.models.config import (
    AnyConfig,
    EndToEndConfig,
    MaskedTraining,
    ModelConfig,
    MsdsrConfig,
    TrainingSettings,
)
from isoslice.models.diffusion.ddim import cosine_alphas_cumprod
from isoslice.models.diffusion.edm import denoise, draw_sigma, weighted_loss
from isoslice.models.diffusion.masked import (
    direct_loss,
    hidden_row_masks,
    noise_loss,
    stratified_timesteps,
)
from isoslice.models.diffusion.masked_example import MaskedExample, draw_example
from isoslice.models.diffusion.variance_stabilization import intensity_error
from isoslice.models.networks.denoiser import Denoiser, MPConv
from isoslice.training.muon import Muon

#: Learning rates against that of the matrices inside: of the network's first and last layers and
#: its embedding, and of the few weights that are not normalised.
EDGE_RATE, OTHER_RATE = 2.0, 1.0
#: Gradients longer than this are shortened; typical ones are 0.2.
CLIP_NORM = 1.0


class Objective(Protocol):
    """What the training loop asks of a recipe."""

    @property
    def training(self) -> TrainingSettings | MaskedTraining:
        """Seed, crop and batch size."""

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""

    @property
    def quarter_turns(self) -> bool:
        """Whether crops are turned by 90 degrees too."""

    @property
    def micro_batch(self) -> int:
        """Crops at a time; gradients of several are summed to a batch."""

    def loss(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of a batch of crops (N, C, H, W), random choices from `generator` on the CPU."""

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Optimiser whose groups carry a ``scale`` of the learning rate."""

    def rate(self, step: int, done: float) -> float:
        """Learning rate at `step` with the fraction `done` of the budget used."""

    def decay(self, step: int) -> float:
        """Decay of the averaged weights."""

    def post_step(self, network: nn.Module) -> None:
        """Mend the weights after a step."""

    def move_to(self, device: torch.device) -> None:
        """Move what it needs beside the network to `device`."""


def micro_batches_per_step(objective: Objective, processes: int) -> int:
    """Micro-batches whose gradients a process sums to a step.

    Processes share those of a batch, so that it stays as large as it is. Each takes one at least:
    where all crops of a batch are computed at once, every process takes a batch of its own.
    """
    parts = objective.training.batch // objective.micro_batch
    return -(-parts // processes)


def learning_rate(step: int, done: float, settings: TrainingSettings) -> float:
    """Rate at `step` with the fraction `done` of the budget used: warm-up, then half a cosine.

    It follows the budget, not the step count, so that a time budget ends annealed too.
    """
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))
    return settings.learning_rate * warmup * (0.02 + 0.98 * cosine)


def average_decay(step: int, gamma: float) -> float:
    """Decay of the power-function average (EDM2 equation 4): old weights fade as it goes on."""
    return float((1 - 1 / (step + 1)) ** (gamma + 1))


@dataclass(frozen=True)
class ResidualObjective:
    """isoslice's own recipe: diffusion of the residual, magnitude-preserving weights."""

    config: ModelConfig
    clip_norm: float = CLIP_NORM
    quarter_turns: bool = True

    @property
    def training(self) -> TrainingSettings:
        """Seed, crop and batch size."""
        return self.config.training

    @property
    def micro_batch(self) -> int:
        """All crops at once."""
        return self.config.training.batch

    def loss(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """`weighted_loss` of residuals with noise, of stretched intensities."""
        settings, sigma_data = self.config.training, self.config.sigma_data
        example = draw_example(images, settings, self.config.softening, generator)
        sigma = draw_sigma(
            len(images),
            sigma_data,
            settings.noise_log_mean,
            settings.noise_log_std,
            settings.no_signal_share,
            generator,
        )
        noise = torch.randn(images.shape, generator=generator)
        sigma, noise = sigma.to(images.device), noise.to(images.device)
        added = torch.where(torch.isinf(sigma), 0.0, sigma)[:, None, None, None] * noise
        residual = example.residual
        noisy = (residual + added) * example.hidden
        return self.denoising_loss(network, noisy, residual, images, example, sigma)

    def denoising_loss(
        self,
        network: nn.Module,
        noisy: Tensor,
        target: Tensor,
        images: Tensor,
        example: MaskedExample,
        sigma: Tensor,
    ) -> Tensor:
        """`weighted_loss` of estimates; errors of the mean are of intensities, not stretched ones.

        Shapes as in `edm.denoise`; `images` are as they were before the stretch.
        """
        scale, softening = self.config.sigma_data, self.config.softening
        base, masks = example.base, example.masks
        estimate = denoise(network, noisy, base, masks, sigma, scale)
        error = estimate - target
        if softening is not None:
            mean = torch.isinf(sigma)
            error[mean] = intensity_error((base + estimate)[mean], images[mean], softening)
        return weighted_loss(error, masks, sigma, scale)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Muon for the convolutions inside; Adam for the first, the last, and what is no matrix."""
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

    def post_step(self, network: nn.Module) -> None:
        """Normalise all weights."""
        if isinstance(network, Denoiser):
            network.renormalize()

    def move_to(self, device: torch.device) -> None:
        """Nothing to move."""


@dataclass(frozen=True)
class MaskedObjective:
    """The paper's recipes, with and without diffusion: L1, AdamW, rising then cosine rate."""

    config: MsdsrConfig | EndToEndConfig
    signal: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the schedule once."""
        steps = self.config.sampler.timesteps if isinstance(self.config, MsdsrConfig) else 1
        signal = torch.from_numpy(cosine_alphas_cumprod(steps)).float()
        object.__setattr__(self, "signal", signal)

    @property
    def training(self) -> MaskedTraining:
        """Seed, crop and batch size."""
        return self.config.training

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        return self.config.training.clip_norm

    @property
    def quarter_turns(self) -> bool:
        """Whether crops are turned by 90 degrees too."""
        return self.config.training.quarter_turns

    @property
    def micro_batch(self) -> int:
        """Crops at a time."""
        return min(self.config.training.micro_batch, self.config.training.batch)

    def loss(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """L1 of the noise (`masked.noise_loss`), or of the image (`masked.direct_loss`)."""
        count, height = len(images), images.shape[2]
        spread = self.training.stratified
        masks = hidden_row_masks(count, height, self.training.hidden_rows, generator, each=spread)
        masks = masks.to(images.device)
        if isinstance(self.config, EndToEndConfig):
            return direct_loss(network, images, masks)
        if spread:
            t = stratified_timesteps(count, len(self.signal), generator)
        else:
            t = torch.randint(len(self.signal), (count,), generator=generator)
        noise = torch.randn(images.shape, generator=generator)
        t, noise, signal = (x.to(images.device) for x in (t, noise, self.signal))
        return noise_loss(network, images, masks, t, noise, signal)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW with PyTorch's betas, as released."""
        # Not fused: Lightning clips no gradients of a fused optimiser in mixed precision.
        settings = self.config.training
        groups = [{"params": list(network.parameters()), "scale": 1.0}]
        return torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        )

    def rate(self, step: int, done: float) -> float:
        """Linear warm-up, then half a cosine down to zero; follows the budget."""
        settings = self.config.training
        if done < settings.warmup_share:
            return settings.learning_rate * done / settings.warmup_share
        left = (1 - min(done, 1.0)) / max(1 - settings.warmup_share, 1e-9)
        return settings.learning_rate * (0.5 - 0.5 * math.cos(math.pi * left))

    def decay(self, step: int) -> float:
        """As released: short memory at first, `average_decay` in the long run."""
        updates = step + 1
        return min(self.config.training.average_decay, (1 + updates) / (10 + updates))

    def post_step(self, network: nn.Module) -> None:
        """Leave the weights as they are."""

    def move_to(self, device: torch.device) -> None:
        """Nothing to move."""


def objective_of(config: AnyConfig) -> Objective:
    """Return the objective of a model's recipe."""
    return ResidualObjective(config) if isinstance(config, ModelConfig) else MaskedObjective(config)
