"""The training loop: steps within a budget, checkpoints, validation, progress, signals."""

from __future__ import annotations

import itertools
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from isoslice.errors import SettingsError
from isoslice.runtime import budget
from isoslice.runtime.progress import Progress
from isoslice.runtime.text import decibels_better
from isoslice.training.distributed.sync import Peers
from isoslice.training.steps import Training, finalize_network

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
class Budget:
    """When to stop: after a time or a number of steps, whichever is used up first.

    Attributes
    ----------
    seconds, steps
        At least one of them.
    began
        Start of the time, by `budget.now`; the start of the loop by default.
    afterwards
        Time to reserve for the work after the last step, in steps.
    """

    seconds: float | None
    steps: int | None
    began: float | None = None
    afterwards: float = 0.0

    def used(self, steps: int, spent: float, overhead: float, step_seconds: float) -> float:
        """Return the fraction that is used; 1 or more if nothing is left.

        Parameters
        ----------
        steps, spent
            Steps and seconds of the loop, those before a checkpoint included.
        overhead
            Seconds before the loop.
        step_seconds
            Duration of a step.
        """
        by_steps = steps / self.steps if self.steps else 0.0
        if self.seconds is None:
            return by_steps
        seconds = max(self.seconds - overhead, MIN_SECONDS) - self.afterwards * step_seconds
        return max(by_steps, spent / max(seconds, MIN_SECONDS))


@dataclass(frozen=True)
class TrainingOutcome:
    """Averaged network, steps, seconds, running mean of the loss, and validation history."""

    network: nn.Module
    steps: int
    seconds: float
    loss: float
    history: list[dict[str, Any]]


class _Watch:
    """Budget, checkpoints, validation and progress of a training."""

    def __init__(
        self,
        training: Training,
        limits: Budget,
        folder: Path,
        validate: Callable[[nn.Module], Scores],
        progress: Progress,
        task: str,
    ) -> None:
        self.training, self.limits = training, limits
        self.folder, self.validate = folder, validate
        self.progress, self.task = progress, task
        self.peers = Peers(training.topology)
        self.spent = self.done = 0.0
        self.history: list[dict[str, Any]] = []
        self.interrupted = False  # by a signal
        self._last = self._checkpointed = self._validated = self._shown = 0.0
        self._overhead = self._started = 0.0
        self._first_step = 0
        self._validation = 0.0  # duration of the last one, in seconds

    @property
    def finished(self) -> bool:
        """Whether the budget is used up; the same for all processes."""
        return self.done >= 1

    def start(self) -> None:
        """Start the clock."""
        now, _ = self.peers.agree(False)
        self._last = self._checkpointed = self._validated = self._started = now
        self._first_step = self.training.step
        if self.limits.began is not None:
            # The same for all processes, which began at different times.
            self._overhead = self.peers.mean(max(0.0, budget.now() - self.limits.began))
        self._measure()

    def look(self, *, between_steps: bool) -> bool:
        """Take the time after a micro-batch, do what is due, and tell whether to stop now.

        Parameters
        ----------
        between_steps
            Whether it was the last micro-batch of a step: weights and average are consistent.
        """
        # All processes decide alike, on the same clock.
        now, stop = self.peers.agree(self.interrupted)
        self.spent += now - self._last
        self._last = now
        self._measure()
        finished = self.finished
        if not between_steps and not finished:
            return False
        pause = max(VALIDATION_SECONDS, VALIDATION_PAUSE * self._validation)
        if not finished and now - self._validated > pause:
            self._validated = now
            self._record()
            self._validation = self.peers.agree(False)[0] - now
        if not finished and now - self._checkpointed > CHECKPOINT_SECONDS:
            self._checkpointed = now
            self.finite_loss()  # else there would be nothing to go on with
            self.write_checkpoint()
        if finished or now - self._shown > SHOW_SECONDS:
            self._shown = now
            self.finite_loss()  # else it would go on in vain
            self.progress.update(self.task, self.done, self._how_good())
        return stop and not finished

    def _measure(self) -> None:
        taken = self.training.step - self._first_step
        step_seconds = (self._last - self._started) / taken if taken else 0.0
        self.done = self.limits.used(self.training.step, self.spent, self._overhead, step_seconds)

    def _how_good(self) -> str:
        """Say how good the network was when it was last validated."""
        if not self.history or not self.history[-1]["validation"]:
            return ""
        score = self.history[-1]["validation"]["4"]
        gain = decibels_better(score["psnr"] - score["linear_psnr"])
        return f"so far {gain} than linear interpolation"

    def _record(self) -> None:
        network = finalize_network(self.training.averaged, self.training.objective)
        self.history.append(
            {
                "step": self.training.step,
                "minutes": self.spent / 60,
                "loss": self.finite_loss(),
                "validation": self.validate(network),
            }
        )

    def finite_loss(self) -> float:
        """Return the running mean of the loss, averaged over the processes."""
        found = self.training.running_loss
        value = self.peers.mean(math.inf if found is None else float(found))
        if not math.isfinite(value):
            raise SettingsError(
                f"got a loss of {value} after {self.training.step} steps, expected a finite one; "
                "train again with a lower learning rate"
            )
        return value

    def write_checkpoint(self) -> None:
        """Write a checkpoint, in the first process, while the others wait."""
        if self.training.topology.first:
            draft = self.folder / f".{CHECKPOINT}"
            state = {**self.training.state_dict(), "spent": self.spent, "history": self.history}
            torch.save(state, draft)
            draft.replace(self.folder / CHECKPOINT)
        self.peers.agree(False)  # a cluster may end all processes as soon as one has ended

    def read_checkpoint(self) -> None:
        """Continue from the checkpoint, or raise `SettingsError` if it is none of this training."""
        path, anew = self.folder / CHECKPOINT, "leave out --resume, and begin anew with --overwrite"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, ValueError, LookupError, EOFError, UnpicklingError) as error:
            raise SettingsError(
                f"{path}: got a checkpoint that cannot be read ({type(error).__name__}), "
                f"expected a whole one; {anew}"
            ) from error
        try:
            self.training.load_state_dict(state)
            self.spent, self.history = float(state["spent"]), list(state["history"])
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise SettingsError(
                f"{path.parent}: got a checkpoint of another network or version, expected one of "
                f"this training; {anew}"
            ) from error


def fit(
    training: Training,
    limits: Budget,
    *,
    folder: Path,
    resume: bool,
    validate: Callable[[nn.Module], Scores],
    progress: Progress,
    task: str = "training",
) -> TrainingOutcome:
    """Take steps until a budget is used up.

    Parameters
    ----------
    training
        What to train; all of its processes have to call.
    limits
        The budget.
    folder
        For checkpoints.
    resume
        Continue from the checkpoint in `folder`, if there is one.
    validate
        Called with the averaged network, at most every `VALIDATION_SECONDS`.
    progress, task
        Receives progress, under this name.
    """
    checkpoint = folder / CHECKPOINT
    watch = _Watch(training, limits, folder, validate, progress, task)
    present = watch.peers.mean(float(resume and checkpoint.exists()))
    if 0 < present < 1:
        raise SettingsError(
            f"{checkpoint}: got a checkpoint that some processes do not see, expected all to; "
            "put the output on a file system that the nodes share"
        )
    with _finish_step_first(watch):
        if present:
            progress.note(f"resuming the training kept in {folder}")
            watch.read_checkpoint()
        watch.start()
        _take_steps(training, watch)
    averaged = finalize_network(training.averaged, training.objective)
    return TrainingOutcome(averaged, training.step, watch.spent, watch.finite_loss(), watch.history)


def _take_steps(training: Training, watch: _Watch) -> None:
    """Take steps until the budget is used up, or all processes have agreed to stop."""
    between_steps = stopping = False
    try:
        for index in itertools.cycle(range(training.micro_batches)):
            if watch.finished and (index == 0 or training.step > 0):  # one step at least
                return
            between_steps = False
            training.accumulate(index)
            if index == training.micro_batches - 1:
                training.update(watch.done)
                between_steps = True
            stopping = watch.look(between_steps=between_steps)
            if stopping:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        # Within a step weights and average are inconsistent, and those of a loss that is not finite
        # are of no use: the last checkpoint is better. If this process alone was interrupted, it
        # would wait for the others.
        if between_steps and (stopping or not watch.peers.any):
            watch.write_checkpoint()
        raise


@contextmanager
def _finish_step_first(watch: _Watch) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set `watch.interrupted`: for a consistent checkpoint, after a step."""

    def interrupt(*_: Any) -> None:
        if watch.interrupted:  # the second time: immediately
            raise KeyboardInterrupt
        watch.interrupted = True

    # Only the main thread may set handlers.
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
