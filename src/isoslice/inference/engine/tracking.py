"""How far a run is, with what earlier runs did."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isoslice.inference.engine.job import Job
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.restoration import FrameStage
from isoslice.runtime.progress import Progress


class Tracker:
    """Counts work, of all runs and of this one.

    Parameters
    ----------
    job, ledger
        What there is to do, and what is done when this run begins.
    progress
        Where it is told.
    """

    def __init__(self, job: Job, ledger: Ledger, progress: Progress) -> None:
        self._job, self._progress = job, progress
        stages = list(job.stages())
        self._total = sum(stage.tasks * stage.cost for stage in stages)
        self._count = sum(stage.tasks for stage in stages)
        self._before = self._number = 0.0
        for stage in stages:
            done = stage.tasks
            if stage.key not in ledger.stages:
                done = sum(stage.task(index) in ledger.done for index in range(stage.tasks))
            self._before += done * stage.cost
            self._number += done
        self._done = self._before
        self._own = 0.0
        self._stage: FrameStage | None = None
        #: Done by this run.
        self.tasks = 0

    @property
    def voxels(self) -> int:
        """What this run did, as voxels of the output."""
        return round(self._own / self._total * self._job.voxels)

    def done_already(self) -> str:
        """Say what earlier runs did."""
        share = self._before / self._total
        return f"{share:.0%} is done already: {self._number:,.0f} of {self._count:,} pieces of work"

    def stage(self, stage: FrameStage, left: Sequence[int]) -> Callable[[int, bool], None]:
        """Begin a stage; return what each finished task is told, and whether this run did it."""
        self._stage = stage

        def finished(index: int, own: bool) -> None:
            self.tasks += own
            self._own += own * stage.cost
            self._number += 1
            self._done += stage.cost
            self.report(0.0)

        return finished

    def report(self, fraction: float) -> None:
        """Tell, with the share of the task at hand that is done."""
        if self._stage is None:
            return
        done = self._done + fraction * self._stage.cost
        detail = f"{self._number:,.0f} of {self._count:,} pieces"
        self._progress.update("restoring", done / self._total, detail)
