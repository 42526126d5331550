"""One file with all planes to pretrain on: bytes by modality, and a table of stacks."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.errors import DataError
from isoslice.io.atomic import atomic_output

#: Changes when arrays get another meaning.
VERSION = 1
#: One entry a stack.
TABLE = ("modality", "group", "file", "channel", "source", "licence", "pixel_size", "held_out",
         "planes", "height", "width", "start", "low", "high", "exact")  # fmt: skip


@dataclass(frozen=True)
class Packed:
    """Planes of one channel of a file, as bytes.

    Attributes
    ----------
    modality, group, file, channel, source, licence, pixel_size
        See `corpus.Entry`; a group is the file's folder, whose files show much the same.
    held_out
        Whether it is kept aside for validation.
    planes
        Shape (N, H, W), uint8.
    low, high
        Bytes that stand for the normalised intensities 0 and 1.
    exact
        Whether a byte is an intensity of the file.
    """

    modality: str
    group: str
    file: str
    channel: int
    source: str
    licence: str
    pixel_size: str
    held_out: bool
    planes: NDArray[np.uint8]
    low: float
    high: float
    exact: bool

    def plane_stack(self) -> PlaneStack:
        """Return it as isoslice's training takes planes, (N, 1, H, W)."""
        return PlaneStack(self.planes[:, None], Normalization((self.low,), (self.high,)))


def write_packed(stacks: Sequence[Packed], path: Path, overwrite: bool = False) -> dict[str, int]:
    """Write stacks, and return the bytes that each modality takes.

    An .npz file as NumPy reads it, compressed by LZMA, which makes planes smaller than what
    ``numpy.savez_compressed`` does by 15%.
    """
    ordered = sorted(stacks, key=lambda stack: (stack.modality, stack.file, stack.channel))
    modalities = sorted({stack.modality for stack in ordered})
    arrays: dict[str, NDArray[np.generic]] = {"version": np.asarray(VERSION)}
    starts: list[int] = []
    for modality in modalities:
        parts = [stack.planes.ravel() for stack in ordered if stack.modality == modality]
        starts += np.cumsum([0, *(part.size for part in parts)])[:-1].tolist()
        arrays[_pixels(modality)] = np.concatenate(parts)
    shapes = np.asarray([stack.planes.shape for stack in ordered], np.int64).reshape(-1, 3)
    arrays |= dict(zip(("planes", "height", "width"), shapes.T, strict=True))
    arrays["start"] = np.asarray(starts, np.int64)
    for name in sorted(set(TABLE) - set(arrays)):
        arrays[name] = np.asarray([getattr(stack, name) for stack in ordered])
    with atomic_output(path, overwrite) as partial, zipfile.ZipFile(partial, "w") as file:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of a fixed date: the same planes, same file
            member.compress_type = zipfile.ZIP_LZMA
            with file.open(member, "w") as to:
                np.lib.format.write_array(to, array, allow_pickle=False)
    with zipfile.ZipFile(path) as file:
        return {m: file.getinfo(f"{_pixels(m)}.npy").compress_size for m in modalities}


def read_packed(path: Path) -> list[Packed]:
    """Read what `write_packed` wrote.

    Raises
    ------
    DataError
        If it is of another version.
    """
    with np.load(path, allow_pickle=False) as file:
        if int(file["version"]) != VERSION:
            raise DataError(
                f"{path}: got version {int(file['version'])}, expected {VERSION}; pack again"
            )
        table = [dict(zip(TABLE, row, strict=True))
                 for row in zip(*(file[name].tolist() for name in TABLE), strict=True)]  # fmt: skip
        pixels = {row["modality"]: file[_pixels(row["modality"])] for row in _firsts(table)}
    stacks = []
    for row in table:
        shape = tuple(row.pop(name) for name in ("planes", "height", "width"))
        start = row.pop("start")
        part = pixels[row["modality"]][start : start + int(np.prod(shape))]
        stacks.append(Packed(planes=part.reshape(shape), **row))
    return stacks


def _firsts(table: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({row["modality"]: row for row in table}.values())


def _pixels(modality: str) -> str:
    return f"pixels_{modality}"
