"""Pack the corpus into one file: ``PYTHONPATH=benchmarks python -m pretrain.pack -o corpus.npz``.

Of every file each channel becomes one stack of planes, cut to their most structured tiles (`tiles`)
and turned into bytes (`codes`). A twentieth of the files of a modality that has at least four is
held out. `packed.read_packed` reads the file.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from isoslice.io.atomic import check_output
from pretrain.codes import clipped_share, encode
from pretrain.corpus import Entry, Stack, read_manifest, read_stacks
from pretrain.excluded import reason_of
from pretrain.packed import Packed, write_packed
from pretrain.tiles import structured_tiles, tile_shape

#: Longest side of a tile, and most tiles of a plane, in modalities of at most so many files.
SIDE, TILES, FEW_FILES = 384, 4, 64
#: Share of a modality's files that is held out, where there are at least so many.
HELD_SHARE, HELD_FROM = 0.05, 4


def held_out(entries: Sequence[Entry]) -> set[str]:
    """Choose the files to hold out, by a hash of their names: the same ones on any machine."""
    by_modality: dict[str, list[str]] = {}
    for entry in entries:
        by_modality.setdefault(entry.modality, []).append(entry.file)
    chosen: set[str] = set()
    for files in by_modality.values():
        if len(files) >= HELD_FROM:
            ranked = sorted(files, key=lambda file: hashlib.sha256(file.encode()).digest())
            chosen |= set(ranked[: max(1, round(HELD_SHARE * len(files)))])
    return chosen


def pack_stack(stack: Stack, tiles: int, aside: bool) -> tuple[Packed, float]:
    """Cut a stack into tiles of bytes; return the share of their voxels that is clipped, too."""
    entry, shape = stack.entry, tile_shape(stack.planes.shape[1:], SIDE)
    planes = [
        plane[tile]
        for plane, normal in zip(stack.planes, stack.normalised(), strict=True)
        for tile in structured_tiles(normal, shape, tiles)
    ]
    cut = Stack(entry, stack.channel, np.stack(planes), stack.normalization)
    codes = encode(cut)
    packed = Packed(
        entry.modality,
        entry.file.rpartition("/")[0],
        entry.file,
        stack.channel,
        entry.source,
        entry.licence,
        entry.pixel_size,
        aside,
        *codes,
    )
    return packed, clipped_share(cut, codes)


def pack(entries: Sequence[Entry]) -> Iterator[tuple[Packed, float]]:
    """Pack the stacks of all files; see `pack_stack`."""
    used = [entry for entry in entries if not reason_of(entry.file)]
    aside = held_out(used)
    modalities = [entry.modality for entry in used]
    for entry in used:
        tiles = TILES if modalities.count(entry.modality) <= FEW_FILES else 1
        for stack in read_stacks(entry):
            yield pack_stack(stack, tiles, entry.file in aside)


def table(stacks: Sequence[Packed], sizes: dict[str, int]) -> str:
    """Format what each modality has as a Markdown table; `sizes` are its bytes in the file."""
    lines = [
        "| modality | files | held out | stacks | planes | Mpixel | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in (*sizes, "all"):
        chosen = [stack for stack in stacks if name in ("all", stack.modality)]
        files = {stack.file for stack in chosen}
        aside = {stack.file for stack in chosen if stack.held_out}
        planes = sum(len(stack.planes) for stack in chosen)
        pixels = sum(stack.planes.size for stack in chosen) / 1e6
        size = sizes.get(name, sum(sizes.values())) / 1e6
        lines.append(
            f"| {name} | {len(files)} | {len(aside)} | {len(chosen)} | {planes} | {pixels:.1f} "
            f"| {size:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m pretrain.pack", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"), metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")
    options = parser.parse_args(arguments)
    check_output(options.output, options.overwrite)
    packed = list(pack(read_manifest(options.corpus)))
    stacks = [stack for stack, _ in packed]
    print(table(stacks, write_packed(stacks, options.output, options.overwrite)))
    exact = sum(stack.exact for stack in stacks)
    clipped = max(share for _, share in packed)
    print(
        f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB; {exact} of {len(stacks)} "
        f"stacks without rounding; at most {100 * clipped:.2g}% of a stack's pixels are clipped"
    )


if __name__ == "__main__":
    main()
