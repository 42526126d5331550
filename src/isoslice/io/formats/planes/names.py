"""Axes from file names of planes: ``img_c0_z01.tif`` is channel 0, plane 1."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isoslice.data.volume import AXES
from isoslice.errors import DataError

#: Names or numbers that a message lists.
_MAX_NAMED = 5
#: Axes by the word before a number.
_AXIS_WORDS = {
    "z": "Z",
    "slice": "Z",
    "plane": "Z",
    "c": "C",
    "ch": "C",
    "channel": "C",
    "w": "C",
    "t": "T",
    "time": "T",
}
_SUFFIX_ALIASES = {".tiff": ".tif", ".jpeg": ".jpg"}
#: A name without its numbers: the texts around them, suffix last.
Skeleton = tuple[str, ...]


@dataclass(frozen=True)
class PlaneFiles:
    """Files of planes in order.

    Attributes
    ----------
    axes
        Axes that the names count, of T, C and Z in this order.
    shape
        Length of each axis.
    files
        One per plane, in C order.
    numbers
        Numbers in the names, for each axis.
    """

    axes: str
    shape: tuple[int, ...]
    files: tuple[Path, ...]
    numbers: tuple[tuple[int, ...], ...]

    def missing(self) -> list[int]:
        """Return the numbers of planes along Z that are missing in an even numbering."""
        if "Z" not in self.axes:
            return []
        numbers = self.numbers[self.axes.index("Z")]
        step = self.step("Z")
        expected = 1 + (numbers[-1] - numbers[0]) // step
        if expected - len(numbers) > 10**6:  # not numbers of planes, but times of day and the like
            return []
        return sorted(set(range(numbers[0], numbers[-1] + 1, step)) - set(numbers))

    def step(self, axis: str) -> int:
        """Return the difference between the numbers of neighbouring planes."""
        numbers = self.numbers[self.axes.index(axis)]
        return math.gcd(*(b - a for a, b in itertools.pairwise(numbers))) or 1


def skeleton(path: Path) -> Skeleton:
    """Return a name's texts between its numbers, the suffix in lower case."""
    suffix = path.suffix.lower()
    return (*re.split(r"[0-9]+", path.stem), _SUFFIX_ALIASES.get(suffix, suffix))


def arrange(files: Sequence[Path], where: Path) -> PlaneFiles:
    """Sort planes by the varying numbers in their names, 2 before 10.

    Parameters
    ----------
    files
        Two files or more.
    where
        Folder or pattern, for messages.

    Returns
    -------
    PlaneFiles
        A single varying number counts planes along Z, unless the word before it means T or C
        (``t``, ``time``, ``c``, ``ch``, ``w``); of several, each must have such a word.

    Raises
    ------
    DataError
        If names differ in more than numbers, the meaning of a number is unclear, two planes have
        the same numbers, or a channel or time point lacks a plane.
    """
    texts = _one_skeleton(files, where)
    values = [tuple(map(int, re.findall(r"[0-9]+", file.stem))) for file in files]
    varying = [i for i, column in enumerate(zip(*values, strict=True)) if len(set(column)) > 1]
    by_numbers: dict[tuple[int, ...], Path] = {}
    for file, numbers in zip(files, values, strict=True):
        key = tuple(numbers[i] for i in varying)
        if key in by_numbers:
            raise DataError(
                f"{where}: got {by_numbers[key].name} and {file.name}, whose numbers are the same, "
                "expected one file a plane; give a pattern that leaves one out"
            )
        by_numbers[key] = file
    axes = _axes(texts, varying, where, files)
    order = [axes.index(axis) for axis in AXES if axis in axes]
    counted = [sorted({key[i] for key in by_numbers}) for i in order]
    by_key = {tuple(key[i] for i in order): file for key, file in by_numbers.items()}
    counted_axes = "".join(axes[i] for i in order)
    _check_complete(by_key, counted_axes, counted, where)
    return PlaneFiles(
        counted_axes,
        tuple(map(len, counted)),
        tuple(by_key[key] for key in sorted(by_key)),
        tuple(map(tuple, counted)),
    )


def _one_skeleton(files: Sequence[Path], where: Path) -> Skeleton:
    groups: dict[Skeleton, list[Path]] = defaultdict(list)
    for file in files:
        groups[skeleton(file)].append(file)
    if len(groups) > 1:
        largest = max(groups.values(), key=len)
        odd = next(group[0] for group in groups.values() if group is not largest)
        raise DataError(
            f"{where}: got {largest[0].name} and {odd.name}, whose names differ in more than "
            f"numbers, expected the planes of one stack; give a pattern, for example "
            f'"{largest[0].with_name(_pattern(largest))}", or one file that is a stack'
        )
    return next(iter(groups))


def _pattern(files: Sequence[Path]) -> str:
    """Return a pattern for names that differ in numbers."""
    return re.sub(r"[0-9]+", "*", files[0].stem) + files[0].suffix


def _axes(texts: Skeleton, varying: Sequence[int], where: Path, files: Sequence[Path]) -> list[str]:
    words = [_word(texts[i]) for i in varying]
    if len(varying) == 1:
        return [words[0] or "Z"]
    if None not in words and len(set(words)) == len(words):
        return [str(word) for word in words]
    first, last = min(files).name, max(files).name
    raise DataError(
        f"{where}: got names in which several numbers vary ({first} … {last}), expected one that "
        "counts planes, or a z, c or t before each, as in img_t1_c0_z01.tif; give a pattern in "
        f'which one varies, for example "{_keeping(files[0], texts, varying)}"'
    )


def _keeping(file: Path, texts: Skeleton, varying: Sequence[int]) -> Path:
    """Return a pattern in which only the last varying number is a wildcard."""
    numbers = re.findall(r"[0-9]+", file.stem)
    numbers[varying[-1]] = "*"
    stem = texts[0] + "".join(n + t for n, t in zip(numbers, texts[1:-1], strict=True))
    return file.with_name(stem + file.suffix)


def _word(text: str) -> str | None:
    """Return the axis that the word before a number means, or None."""
    letters = re.search(r"[A-Za-z]*$", re.sub(r"[ _=-]$", "", text))
    # imgZ has the words img and Z.
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", letters.group() if letters else "")
    return _AXIS_WORDS.get(words[-1].lower()) if words else None


def _check_complete(
    by_key: dict[tuple[int, ...], Path], axes: str, counted: Sequence[Sequence[int]], where: Path
) -> None:
    if len(by_key) == math.prod(map(len, counted)):
        return
    missing = []
    for number, key in enumerate(itertools.product(*counted)):
        if key not in by_key:
            pairs = zip(axes, key, strict=True)
            missing.append(", ".join(f"{axis} {n}" for axis, n in pairs))
        if len(missing) == _MAX_NAMED or number > 10**6:
            break
    raise DataError(
        f"{where}: got {len(by_key)} files, expected "
        f"{' x '.join(f'{len(n)} {a}' for a, n in zip(axes, counted, strict=True))}; missing are "
        f"{'; '.join(missing)}{' …' if len(missing) == _MAX_NAMED else ''}; add them, or give a "
        "pattern that leaves the rest out"
    )


def format_numbers(numbers: Sequence[int]) -> str:
    """Format the first few of many numbers."""
    more = f" and {len(numbers) - _MAX_NAMED} more" if len(numbers) > _MAX_NAMED else ""
    return ", ".join(map(str, numbers[:_MAX_NAMED])) + more
