"""Try every file of a folder as a user would: read, describe, restore, write, read back.

For each file: what `isoslice` sees in it, whether an independent library sees the same voxels, and
whether a quick restoration, written in the file's own format where that can be and as OME-TIFF
where not, holds the measured planes bit for bit when another library opens it.

    python benchmarks/field.py FOLDER [-o TABLE.md]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import field_readers
import isoslice
from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.volume import AXES, Volume
from isoslice.errors import IsosliceError, IsosliceWarning
from isoslice.inference.model import Model
from isoslice.io.reading import read_raw
from isoslice.io.writing import OUTPUT_SUFFIXES

#: Longest side of what is restored: the middle of larger images.
SIDE = 64
#: Most planes of it.
PLANES = 9
#: Parts of files that are opened by another file beside them.
PARTS = (".raw", ".img", ".brik", ".brik.gz", ".rec", ".companion.ome")
#: No images.
OTHERS = (".json", ".csv", ".md", ".txt")


@dataclass
class Row:
    """What became of one file."""

    file: str
    axes: str = ""
    shape: str = ""
    dtype: str = ""
    voxel: str = ""
    read: str = ""
    restored: str = ""
    note: str = ""

    def cells(self) -> list[str]:
        """Return the row as text."""
        voxels = " ".join(filter(None, (self.axes, self.shape, self.dtype)))
        return [self.file, voxels, self.voxel, self.read, self.restored, self.note]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="write the table there, too")
    parser.add_argument("--steps", type=int, default=20, help="steps of the model's training")
    options = parser.parse_args()
    model = quick_model(options.steps)
    rows = [tried(path, options.folder, model) for path in images(options.folder)]
    table = as_table(rows)
    print(table)
    if options.output is not None:
        options.output.write_text(table + "\n", encoding="utf-8")


def quick_model(steps: int) -> Model:
    """Train for a few steps: what is tried is files, not quality."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).normal(size=(8, 96, 96)), (0, 2, 2))
    stack = (128 + 300 * noise).clip(0, 255).astype(np.uint8)
    return isoslice.train(stack, axes="ZYX", steps=steps, device="cpu")


def images(folder: Path) -> Iterator[Path]:
    """Give what can be opened: files, and folders that are one image (Zarr, planes, DICOM)."""
    from isoslice.io.formats.omezarr.reader import is_zarr

    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if path.is_dir():
            inner = [p for p in path.iterdir() if not p.name.startswith(".")]
            suffixes = {p.suffix.lower() for p in inner}
            files = len(inner) > 3 and len(suffixes) == 1 and all(p.is_file() for p in inner)
            one = is_zarr(path) or (files and _planes(path))
            yield from (path,) if one else images(path)
        elif not name.endswith(PARTS + OTHERS) and not name.startswith("."):
            yield path


def _planes(folder: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_raw(folder).data.ndim > 2
    except IsosliceError:
        return False


def tried(path: Path, folder: Path, model: Model) -> Row:
    """Try one file."""
    row = Row(path.relative_to(folder).as_posix())
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", IsosliceWarning)
            volume = opened(path)
    except IsosliceError as error:
        row.read, row.note = "refused", _short(str(error), path)
        return row
    row.axes, row.dtype = volume.axes, volume.data.dtype.name
    row.shape = "×".join(map(str, volume.data.shape))
    row.voxel = told_spacing(volume)
    row.note = "; ".join(_short(str(w.message), path) for w in caught)
    row.read = field_readers.compare(path, volume)
    if volume.size("Z") < 2 and coarse_axis(volume) == "Z":
        row.restored = "2D"
        return row
    try:
        row.restored = restored(path, volume, model)
    except IsosliceError as error:
        row.restored = f"refused: {_short(str(error), path)}"
    return row


def opened(path: Path) -> Volume:
    """Read an image; where the file does not name its axes, as a stack."""
    try:
        return isoslice.read_volume(path)
    except IsosliceError as error:
        text = str(error)
        if "--axes " not in text:
            raise
        axes = text.rsplit("--axes ", 1)[1].split()[0].strip(".,;")
        return isoslice.read_volume(path, axes)


def restored(path: Path, volume: Volume, model: Model) -> str:
    """Restore the middle of a volume, write it, and compare measured planes elsewhere."""
    along = coarse_axis(volume)
    part = middle(turned(volume, along))
    if part.voxel_size is None:
        part = isoslice.Volume(part.data, part.axes, {"Z": 3.0, "Y": 1.0, "X": 1.0}, "micrometer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model.predict(turned(part, along), factor=3, mode="mean", device="cpu")
        suffix = own_suffix(path)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / f"restored{suffix}"
            try:
                isoslice.write_volume(output, result.to_volume())
            except IsosliceError:
                output = Path(folder) / "restored.ome.tif"
                isoslice.write_volume(output, result.to_volume())
            back = field_readers.voxels(output)
    expected = turned(part, along)
    wanted = expected.tczyx()
    found = result.to_volume().tczyx()
    step = [slice(None)] * 5
    step["TCZYX".index(along)] = slice(None, None, 3)
    if not np.array_equal(found[tuple(step)], wanted, equal_nan=wanted.dtype.kind == "f"):
        return f"measured planes changed ({output.suffix})"
    same = sorted(back.shape, reverse=True) == sorted(
        (n for n in found.shape if n > 1), reverse=True
    ) and np.array_equal(np.sort(back, axis=None), np.sort(found, axis=None))
    name = "".join(output.suffixes)
    return f"{name}" if same else f"{name}: read back otherwise"


def middle(volume: Volume) -> Volume:
    """Cut out the middle, of one time point."""
    index = []
    for axis, n in zip(AXES, volume.tczyx().shape, strict=True):
        most = {"T": 1, "C": n, "Z": PLANES}.get(axis, SIDE)
        start = (n - min(n, most)) // 2
        index.append(slice(start, start + min(n, most)))
    data = np.asarray(volume.tczyx()[tuple(index)])
    axes = "CZYX" if volume.size("C") > 1 else "ZYX"
    return isoslice.Volume(
        data[0] if axes[0] == "C" else data[0, 0], axes, dict(volume.spacing), volume.unit
    )


def own_suffix(path: Path) -> str:
    """Return the suffix to write by: the file's own where it can be written."""
    name = path.name.lower()
    found = [s for s in OUTPUT_SUFFIXES if name.endswith(s)]
    return max(found, key=len) if found else ".ome.tif"


def told_spacing(volume: Volume) -> str:
    """Say the voxel size, Z first, in a few words."""
    if not volume.spacing:
        return "–"
    steps = " × ".join(f"{volume.spacing[a]:.4g}" for a in "ZYX" if a in volume.spacing)
    return f"{steps} {volume.unit or ''}".strip()


def as_table(rows: list[Row]) -> str:
    """Return Markdown."""
    head = ["file", "voxels", "voxel size (Z, Y, X)", "read", "written and read back", "told"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(c.replace("|", "/") for c in row.cells()) + " |" for row in rows]
    return "\n".join(lines)


def _short(text: str, path: Path) -> str:
    said = text.replace(f"{path}: ", "").replace(str(path.parent) + "/", "")
    return said if len(said) < 200 else said[:197] + "…"


if __name__ == "__main__":
    main()
