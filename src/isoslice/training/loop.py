"""The training loop, on PyTorch Lightning."""

from __future__ import annotations

import copy
import itertools
import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from isoslice.data.planes import PlaneStack, draw_crops
from isoslice.errors import SettingsError
from isoslice.runtime import budget
from isoslice.runtime.device import fast_dtype
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.lightning import disable_sigterm_broadcast, trainer_options
from isoslice.training.distributed.sync import Peers, join
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.objectives import Objective, micro_batches_per_step

CHECKPOINT = "last.ckpt"
#: Seconds between checkpoints and between validations.
CHECKPOINT_SECONDS = 30.0
VALIDATION_SECONDS = 120.0
#: Least time between validations, in durations of one, for slow machines.
VALIDATION_PAUSE = 20
#: Lower limit of a time budget; leaves one step if preparations have used it up.
MIN_SECONDS = 1e-6
#: Seconds between progress reports; reading the loss makes a GPU wait.
SHOW_SECONDS = 0.5

Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class TrainingOutcome:
    """Averaged network, steps, seconds, running mean of the loss, and validation history."""

    network: nn.Module
    steps: int
    seconds: float
    loss: float
    history: list[dict[str, Any]]


class _Training(pl.LightningModule):
    """Training step on a batch that depends on (seed, step, rank) alone; average of the weights."""

    def __init__(
        self,
        network: nn.Module,
        stacks: Sequence[PlaneStack],
        objective: Objective,
        topology: ProcessTopology,
    ) -> None:
        super().__init__()
        self.network = network.train()
        self.averaged = copy.deepcopy(network).requires_grad_(False)
        self.stacks = stacks
        self.objective = objective
        self.topology = topology
        self.micro_batches = micro_batches_per_step(objective, topology.count)
        self.done = 0.0
        self.running_loss: Tensor | None = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["running_loss"] = self.running_loss

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.running_loss = checkpoint["running_loss"]

    def training_step(self, _: Any, index: int) -> Tensor:
        objective, settings = self.objective, self.objective.training
        micro_batch = self.global_step * self.micro_batches + index % self.micro_batches
        generator = torch.Generator().manual_seed(
            (settings.seed * 1_000_003 + micro_batch) * 1_009 + self.topology.rank + 1
        )
        images = draw_crops(
            self.stacks,
            objective.micro_batch,
            settings.crop,
            generator,
            quarter_turns=objective.quarter_turns,
        )
        loss = objective.loss(self.network, images.to(self.device), generator)
        latest = loss.detach()
        before = self.running_loss  # from a checkpoint: on the CPU
        self.running_loss = latest if before is None else before.to(latest).lerp(latest, 0.02)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.objective.optimizer(self.network)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        rate = self.objective.rate(self.global_step, self.done)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.objective.post_step(self.network)
        decay = self.objective.decay(self.global_step)
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            for average, weight in pairs:
                average.lerp_(weight, 1 - decay)


class _Watch(pl.Callback):
    """Budget, checkpoints, validation and progress."""

    def __init__(
        self,
        seconds: float | None,
        steps: int | None,
        began: float | None,
        afterwards: float,
        folder: Path,
        validate: Callable[[nn.Module], Scores],
        progress: Progress,
        topology: ProcessTopology,
    ) -> None:
        self.seconds, self.steps = seconds, steps
        self.began, self.afterwards = began, afterwards
        self.folder, self.validate, self.progress = folder, validate, progress
        self.topology = topology
        self.peers = Peers(topology)
        self.spent = 0.0
        self.history: list[dict[str, Any]] = []
        self._last = self._checkpointed = self._validated = self._shown = 0.0
        self._first_step = 0
        self._validation = 0.0  # duration of the last one, in seconds
        self._step = -1
        self._between_steps = False
        # Interrupted by a signal; and stopping, with all other processes, at the end of a step.
        self.interrupted = self.stopped = False

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent, "history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.spent, self.history = float(state["spent"]), list(state["history"])

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self.peers.any:
            _handle_signals(self)  # again: Lightning replaced them by handlers that synchronise
        now, _ = self.peers.agree(False)
        self._last = self._checkpointed = self._validated = self._started = now
        self._first_step = trainer.global_step
        if self.seconds is not None and self.began is not None:
            # The same for all processes, which began at different times.
            overhead = self.peers.mean(max(0.0, budget.now() - self.began))
            self.seconds = max(self.seconds - overhead, MIN_SECONDS)
        self._stop_if_done(trainer, module)

    def on_train_batch_start(self, *_: Any) -> None:
        self._between_steps = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self._between_steps = trainer.global_step != self._step
        # From here on all processes decide alike, on the same clock.
        now, stop = self.peers.agree(self.interrupted)
        self.spent += now - self._last
        self._last = now
        finished = self._stop_if_done(trainer, module)
        if not self._between_steps and not finished:
            return  # still accumulating gradients
        self._step = trainer.global_step
        pause = max(VALIDATION_SECONDS, VALIDATION_PAUSE * self._validation)
        if not finished and now - self._validated > pause:
            self._validated = now
            self.record(trainer.global_step, module)
            self._validation = self.peers.agree(False)[0] - now
        if not finished and now - self._checkpointed > CHECKPOINT_SECONDS:
            self._checkpointed = now
            self.checkpoint(trainer)
        if finished or now - self._shown > SHOW_SECONDS:
            self._shown = now
            self.progress.update("training", module.done, self._detail(trainer, module, now))
        if stop and not finished:
            self.stopped = True
            raise KeyboardInterrupt

    def _stop_if_done(self, trainer: pl.Trainer, module: Any) -> bool:
        by_steps = trainer.global_step / self.steps if self.steps else 0.0
        by_time = 0.0
        if self.seconds:
            taken = trainer.global_step - self._first_step
            step_seconds = (self._last - self._started) / taken if taken else 0.0
            by_time = self.spent / max(self.seconds - self.afterwards * step_seconds, MIN_SECONDS)
        module.done = max(by_steps, by_time)
        if module.done >= 1:
            trainer.should_stop = True
        return bool(module.done >= 1)

    def _detail(self, trainer: pl.Trainer, module: Any, now: float) -> str:
        steps = trainer.global_step - self._first_step
        images = steps * images_per_step(module.objective, self.topology)
        rate, loss = images / max(now - self._started, 1e-9), _finite(module, self.peers)
        text = f"step {trainer.global_step}, loss {loss:.3f}, {rate:.0f} images/s"
        if self.history and self.history[-1]["validation"]:
            score = self.history[-1]["validation"]["4"]
            text += f", validation {score['psnr'] - score['linear_psnr']:+.2f} dB over linear at 4x"
        return text

    def record(self, step: int, module: Any) -> None:
        network = finalize_network(module.averaged, module.objective).to(module.device)
        self.history.append(
            {
                "step": step,
                "minutes": self.spent / 60,
                "loss": _finite(module, self.peers),
                "validation": self.validate(network),
            }
        )

    def checkpoint(self, trainer: pl.Trainer) -> None:
        draft = self.folder / f".{CHECKPOINT}"
        trainer.save_checkpoint(draft)  # collective; the first process writes
        if self.topology.first:
            draft.replace(self.folder / CHECKPOINT)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        # Within a step weights and averages are inconsistent; the last checkpoint is better.
        # Saving is collective: if this process alone failed, it would wait for the others.
        alone = not self.peers.any
        if self._between_steps and (alone or self.stopped):
            self.checkpoint(trainer)


@contextmanager
def _finish_step_first(watch: _Watch) -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of a step, for a consistent checkpoint."""
    before = _handle_signals(watch)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle_signals(watch: _Watch) -> dict[signal.Signals, Any]:
    """Let Ctrl-C and SIGTERM set `watch.interrupted`; return the previous handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}  # only the main thread may set handlers

    def interrupt(*_: Any) -> None:
        if watch.interrupted:  # the second time: immediately
            raise KeyboardInterrupt
        watch.interrupted = True

    return {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}


def _finite(module: _Training, peers: Peers) -> float:
    value = math.inf if module.running_loss is None else float(module.running_loss)
    value = peers.mean(value)
    if not math.isfinite(value):
        raise SettingsError(
            f"got a loss of {value} after {module.global_step} steps, expected a finite one; "
            "train again with a lower learning rate"
        )
    return value


def images_per_step(objective: Objective, topology: ProcessTopology) -> int:
    """Return the number of crops in a step, over all processes."""
    return (
        micro_batches_per_step(objective, topology.count) * objective.micro_batch * topology.count
    )


def finalize_network(averaged: nn.Module, objective: Objective) -> nn.Module:
    """Copy an averaged network, constrain its weights, and set it to evaluation mode."""
    network = copy.deepcopy(averaged).eval()
    objective.post_step(network)
    return network


def fit(
    network: nn.Module,
    stacks: Sequence[PlaneStack],
    objective: Objective,
    *,
    seconds: float | None,
    steps: int | None,
    began: float | None = None,
    afterwards: float = 0.0,
    device: torch.device,
    folder: Path,
    resume: bool,
    validate: Callable[[nn.Module], Scores],
    progress: Progress,
    topology: ProcessTopology,
) -> TrainingOutcome:
    """Train `network` on crops of `stacks` until a budget is used up.

    Parameters
    ----------
    network, stacks, objective
        Network to train, its data and its recipe.
    seconds, steps
        Budgets; at least one.
    began
        Start of the time budget, by `budget.now`; the start of training by default.
    afterwards
        Time to reserve for the work after the last step, in steps.
    device
        Where to compute.
    folder
        For checkpoints.
    resume
        Continue from the checkpoint in `folder`, if there is one.
    validate
        Called with the averaged network, at most every `VALIDATION_SECONDS`.
    progress
        Receives progress.
    topology
        This process among several, all of which have to call.
    """
    checkpoint = folder / CHECKPOINT
    join(topology, device)
    module = _Training(network, stacks, objective, topology)
    watch = _Watch(seconds, steps, began, afterwards, folder, validate, progress, topology)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice, meant for developers
        trainer = _trainer(module, watch, device, steps)
        present = watch.peers.mean(float(resume and checkpoint.exists()))
        if 0 < present < 1:
            raise SettingsError(
                f"{checkpoint}: got a checkpoint that some processes do not see, expected all to; "
                "put the output on a file system that the nodes share"
            )
        start = str(checkpoint) if present else None
        if start:
            progress.note(f"resuming from {checkpoint}")
        try:
            with _finish_step_first(watch):
                trainer.fit(module, itertools.repeat(0), ckpt_path=start, weights_only=True)
        except (RuntimeError, ValueError, EOFError, UnpicklingError) as error:
            if start:
                _refuse_checkpoint(checkpoint, error)
            raise
        except SystemExit as stop:  # how Lightning answers Ctrl-C
            raise KeyboardInterrupt from stop
    return TrainingOutcome(
        finalize_network(module.averaged, objective),
        trainer.global_step,
        watch.spent,
        _finite(module, watch.peers),
        watch.history,
    )


def _trainer(
    module: _Training, watch: _Watch, device: torch.device, steps: int | None
) -> pl.Trainer:
    """Make a trainer for the loop alone: no logger, checkpoints or output of its own."""
    precision: Any = "bf16-mixed" if fast_dtype(device) is torch.bfloat16 else "32-true"
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        **trainer_options(module.topology),
        precision=precision,
        gradient_clip_val=module.objective.clip_norm,
        accumulate_grad_batches=module.micro_batches,
        max_epochs=-1,
        max_steps=-1 if steps is None else steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
    )
    if watch.peers.any:
        disable_sigterm_broadcast(trainer)
    return trainer


def _refuse_checkpoint(path: Path, error: Exception) -> None:
    """Raise `SettingsError` if `error` says that a checkpoint is damaged or does not fit."""
    anew = "leave out --resume, and begin anew with --overwrite"
    if "state_dict" in str(error) or "parameter group" in str(error):
        raise SettingsError(
            f"{path.parent}: got a checkpoint of another network or version, expected one of "
            f"this training; {anew}"
        ) from error
    damaged = isinstance(error, EOFError | UnpicklingError)
    if damaged or "PytorchStreamReader" in str(error):
        raise SettingsError(
            f"{path}: got a checkpoint that cannot be read ({type(error).__name__}), "
            f"expected a whole one; {anew}"
        ) from error
