"""Writing a volume atomically, in the format of the path's suffix."""

from __future__ import annotations

from pathlib import Path

from isoslice.data.volume import Volume
from isoslice.errors import OutputError
from isoslice.io.atomic import atomic_output
from isoslice.io.formats.dicom.header import DICOM_SUFFIXES
from isoslice.runtime.paths import at_home
from isoslice.runtime.text import as_typed

#: Suffixes that `write_volume` knows.
OUTPUT_SUFFIXES = (
    ".ome.zarr",
    ".zarr",
    ".ome.tif",
    ".ome.tiff",
    ".tif",
    ".tiff",
    ".nii",
    ".nii.gz",
    ".npy",
    ".nrrd",
    ".mha",
    ".mrc",
    ".map",
    ".rec",
)


def write_volume(path: str | Path, volume: Volume, *, overwrite: bool = False) -> None:
    """Write `volume` with its axes, spacing, channel names and provenance.

    ``.ome.zarr`` and ``.zarr`` give OME-Zarr 0.5 (axes reordered to TCZYX); ``.ome.tif`` gives
    OME-TIFF; ``.tif`` an ImageJ hyperstack where it can hold the volume, else OME-TIFF; ``.nii``
    and ``.nii.gz`` NIfTI (axes reordered to XYZTC); ``.nrrd`` and ``.mha`` NRRD and MetaImage
    (lengths in millimetres); ``.mrc``, ``.map`` and ``.rec`` MRC (one volume, axes reordered to
    ZYX); ``.npy`` an array and ``NAME.npy.json``. Orientation is kept by NIfTI, NRRD and MetaImage,
    and in isoslice's note by all.

    Parameters
    ----------
    path
        File, or folder for OME-Zarr.
    volume
        Volume to write; voxels are stored bit for bit. Those of an opened volume
        (`isoslice.io.reading.open_volume`) are read part by part, and need little memory.
    overwrite
        Replace an existing output.

    Raises
    ------
    OutputError
        If the suffix is unknown, the path cannot be written or exists already, or the disk is
        full; then nothing is left behind, and an existing output stays.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import isoslice
    >>> stack = isoslice.Volume(np.ones((3, 8, 8), np.uint8), "ZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0})
    >>> with TemporaryDirectory() as folder:
    ...     isoslice.write_volume(Path(folder, "stack.ome.zarr"), stack)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['stack.ome.zarr']
    """
    path = at_home(Path(path))
    check_suffix(path)
    if volume.data.size == 0:
        raise OutputError(
            f"{path}: got a volume of shape {volume.data.shape} without voxels; nothing to write"
        )
    if path.name.lower().endswith(".npy"):
        _write_npy(path, volume, overwrite)
        return
    check_volume(path, volume)
    with atomic_output(path, overwrite) as draft:
        _write(draft, volume)


def check_suffix(path: str | Path) -> None:
    """Raise `OutputError` unless `write_volume` knows the suffix of `path`."""
    if Path(path).suffix.lower() in DICOM_SUFFIXES:
        raise OutputError(
            f"{path}: got the name of a DICOM file, which isoslice reads and does not write, "
            "expected .nii.gz, .nrrd or .mha, which keep the orientation; rename the output"
        )
    if Path(path).name.lower().endswith(OUTPUT_SUFFIXES):
        return
    if Path(path).is_dir():
        raise OutputError(
            f"{path}: got a folder, expected the name of a file to write; give one in it, for "
            f"example {as_typed(Path(path) / 'RESTORED.tif')}"
        )
    raise OutputError(
        f"{path}: got an unknown suffix, expected one of {', '.join(OUTPUT_SUFFIXES)}; rename the "
        f"output, for example to {as_typed(Path(path).with_suffix('.tif'))}"
    )


def check_volume(path: str | Path, volume: Volume) -> None:
    """Raise `OutputError` if the format cannot hold voxels like those of `volume`."""
    if Path(path).name.lower().endswith((".mrc", ".map", ".rec")):
        from isoslice.io.formats.mrc.writer import check_mrc

        check_mrc(Path(path), volume)


def beside(path: Path, name: str) -> Path:
    """Return the path of a volume beside another: ``cells.std.ome.tif`` for ``cells.ome.tif``."""
    lower = path.name.lower()
    suffix = max((s for s in OUTPUT_SUFFIXES if lower.endswith(s)), key=len, default="")
    stem = len(path.name) - len(suffix)
    return path.with_name(f"{path.name[:stem]}.{name}{path.name[stem:]}")


def _write(draft: Path, volume: Volume) -> None:
    name = draft.name.lower()
    if name.endswith(".zarr"):
        from isoslice.io.formats.omezarr.writer import write_omezarr

        write_omezarr(draft, volume)
    elif name.endswith((".nii", ".nii.gz")):
        from isoslice.io.formats.nifti.writer import write_nifti

        write_nifti(draft, volume)
    elif name.endswith(".nrrd"):
        from isoslice.io.formats.itk.nrrd_writer import write_nrrd

        write_nrrd(draft, volume)
    elif name.endswith(".mha"):
        from isoslice.io.formats.itk.metaimage import write_metaimage

        write_metaimage(draft, volume)
    elif name.endswith((".mrc", ".map", ".rec")):
        from isoslice.io.formats.mrc.writer import write_mrc

        write_mrc(draft, volume)
    elif name.endswith((".ome.tif", ".ome.tiff")):
        from isoslice.io.formats.tiff.writer import write_ome_tiff

        write_ome_tiff(draft, volume)
    else:
        from isoslice.io.formats.tiff.writer import write_tiff

        write_tiff(draft, volume)


def _write_npy(path: Path, volume: Volume, overwrite: bool) -> None:
    from isoslice.io.formats.npy import sidecar, write_npy

    with (
        atomic_output(sidecar(path), overwrite) as beside,
        atomic_output(path, overwrite) as draft,
    ):
        write_npy(draft, beside, volume)
