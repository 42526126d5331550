"""Options of large volumes, checked together: who restores the blocks, in how much memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import LARGE
from isoslice.cli.options import Memory, Part, Scheduler, Slab, Workers, part_of

if TYPE_CHECKING:
    from isoslice.inference.engine.run import How
    from isoslice.models.config import AnyConfig


@dataclass(frozen=True)
class LargeOptions:
    """Options of how the blocks of a large volume are restored."""

    memory: Memory = None
    workers: Workers = 1
    scheduler: Scheduler = None
    part: Part = None
    slab: Slab = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with what an interrupted run left.", rich_help_panel=LARGE
        ),
    ] = False

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
        return How(self.workers, self.scheduler, part_of(self.part), self.resume, overwrite)


def is_in_blocks(output: Path, config: AnyConfig, whole: bool, how: How) -> bool:
    """Tell whether the output is written in blocks; if not, refuse options that need that."""
    from isoslice.errors import SettingsError
    from isoslice.inference.recipes import recipe_of

    possible = output.name.endswith(".zarr") and recipe_of(config).restores_blocks and not whole
    given = {
        "--workers": how.workers > 1,
        "--scheduler": how.scheduler,
        "--part": how.part,
        "--resume": how.resume,
    }
    names = [name for name, value in given.items() if value]
    if not possible and names:
        raise SettingsError(
            f"got {' and '.join(names)} for a volume that is not restored in blocks, expected an "
            ".ome.zarr output, a model of the preset isoslice without SRH channels, and no --blur, "
            f"--uncertainty or --samples; leave out {' and '.join(names)}"
        )
    return possible


def memory_budget(memory: str | None, how: How) -> int:
    """Return the bytes that a process may use: as given, or a share of what is free."""
    from isoslice.inference.engine.slabs import parse_memory
    from isoslice.io.limits import available_memory

    if memory is not None:
        return parse_memory(memory)
    return available_memory() // 2 // how.workers


def threads_of(how: How) -> int:
    """Return the threads of each process."""
    import torch

    return max(1, torch.get_num_threads() // how.workers)
