"""What a run of the suite does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isoslice.evaluation.benchmark.settings import BenchmarkSettings

#: Scripts that other programs' interpreters run.
PEER_FOLDER = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """Another program.

    Attributes
    ----------
    name
        Of the program.
    python
        An interpreter that has it; None leaves its rows out.
    script
        Its tasks ``train`` and ``restore``.
    own_stack
        It learns from the stack to be restored, not from the training planes.
    blocks_only
        Being slow, it restores the blocks alone.
    """

    name: str
    python: Path | None
    script: Path
    own_stack: bool = False
    blocks_only: bool = False

    @property
    def row(self) -> str:
        """Its name in tables and file names."""
        return f"{self.name} (blocks)" if self.blocks_only else self.name


@dataclass(frozen=True)
class SuiteSettings:
    """All settings.

    Attributes
    ----------
    minutes
        Of training, for each model.
    distill
        Whether isoslice's model is distilled too, for as many minutes again.
    msdsr, msdsr_factors, msdsr_width, msdsr_steps
        Whether MSDSR runs, at which scales, its network's width, its DDIM steps.
    block, blocks
        Size (Z, Y, X) and number of the blocks that SliceFID sees and msdsr restores.
    images_per_axis, real_images, resamples
        Of SliceFID.
    threads
        Of every child process.
    """

    minutes: float = 20.0
    seed: int = 0
    threads: int = 2
    distill: bool = True
    msdsr: bool = True
    msdsr_factors: tuple[int, ...] = (4,)
    msdsr_width: int = 16
    msdsr_steps: int = 50
    block: tuple[int, int, int] = (41, 48, 48)
    blocks: int = 4
    images_per_axis: int = 96
    real_images: int = 384
    resamples: int = 100
    peers: tuple[Peer, ...] = field(default=())

    def benchmark(self) -> BenchmarkSettings:
        """Return what the library's benchmark needs of these."""
        return BenchmarkSettings(
            train=("",),
            test="",
            minutes=self.minutes,
            region=self.block,
            blocks=self.blocks,
            protocols=("default",),
            images_per_axis=self.images_per_axis,
            real_images=self.real_images,
            resamples=self.resamples,
            seed=self.seed,
        )

    def resolved(self) -> dict[str, Any]:
        """Return what every result depends on; runs that differ here need another folder."""
        left_out = ("peers", "distill", "msdsr", "msdsr_factors", "threads")
        return {key: value for key, value in asdict(self).items() if key not in left_out}


def peers(care: Path | None, eclare: Path | None, eclare_blocks: bool = False) -> tuple[Peer, ...]:
    """Return the other programs, in the order of the tables."""
    return (
        Peer("CARE", care, PEER_FOLDER / "care.py"),
        Peer("ECLARE", eclare, PEER_FOLDER / "eclare.py", True, eclare_blocks),
    )
