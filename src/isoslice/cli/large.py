"""Options of large volumes, checked together: who restores the blocks, in how much memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import LARGE
from isoslice.cli.options import Memory, Part, Scheduler, Slab, Workers, part_of

if TYPE_CHECKING:
    from isoslice.inference.engine.run import How


@dataclass(frozen=True)
class LargeOptions:
    """Options of how the blocks of a large volume are restored."""

    memory: Memory = None
    workers: Workers = 1
    scheduler: Scheduler = None
    part: Part = None
    slab: Slab = None
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Measure the stack, say what is needed, and stop: --resume or --part goes on.",
            rich_help_panel=LARGE,
        ),
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with what an interrupted run left.", rich_help_panel=LARGE
        ),
    ] = False

    def budget(self) -> int | None:
        """Return the bytes that a process may use, if they are given."""
        from isoslice.inference.engine.slabs import parse_memory

        return None if self.memory is None else parse_memory(self.memory)

    def execution(self, overwrite: bool) -> How:
        """Check that at most one option says who restores the blocks."""
        from isoslice.errors import SettingsError
        from isoslice.inference.engine.run import How

        given = {
            "--workers": self.workers > 1,
            "--scheduler": self.scheduler,
            "--part": self.part,
        }
        names = [name for name, value in given.items() if value]
        if len(names) > 1:
            raise SettingsError(
                f"got {' and '.join(names)}, expected one of them at most, which says who restores "
                f"the blocks; leave out {' and '.join(names[1:])}"
            )
        goes_on = {"--part": self.part, "--resume": self.resume}
        after = [name for name, value in goes_on.items() if value]
        if self.plan and after:
            raise SettingsError(
                f"got --plan with {' and '.join(after)}, which would go on with a plan, expected "
                "--plan first, by itself; leave out --plan"
            )
        part = part_of(self.part)
        return How(self.workers, self.scheduler, part, self.resume, overwrite, self.plan)
