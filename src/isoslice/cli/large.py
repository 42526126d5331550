"""Options of large volumes, checked together: who restores the blocks, in how much memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isoslice.cli.options import part_of

if TYPE_CHECKING:
    from isoslice.inference.engine.run import How
    from isoslice.models.config import AnyConfig


def execution_options(
    workers: int, scheduler: str | None, part: str | None, resume: bool, overwrite: bool
) -> How:
    """Check that at most one option says who restores the blocks, and collect them."""
    from isoslice.errors import SettingsError
    from isoslice.inference.engine.run import How

    given = {"--workers": workers > 1, "--scheduler": scheduler, "--part": part}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise SettingsError(
            f"got {' and '.join(names)}, expected one of them at most, which says who restores "
            f"the blocks; leave out {' and '.join(names[1:])}"
        )
    return How(workers, scheduler, part_of(part), resume, overwrite)


def is_in_blocks(output: Path, config: AnyConfig, whole: bool, how: How) -> bool:
    """Tell whether the output is written in blocks; if not, refuse options that need that."""
    from isoslice.errors import SettingsError
    from isoslice.inference.engine.begin import can_be_cut

    possible = output.name.endswith(".zarr") and can_be_cut(config) and not whole
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
