"""Writing TIFF: ImageJ hyperstacks where they can hold the volume, else OME-TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoslice.io.notes import make_note, note_text
from isoslice.io.units import SYMBOLS, unit_name
from isoslice.volume import AXES, Volume

#: Classic TIFF counts bytes in 32 bits; some are kept for its directories.
CLASSIC_LIMIT = 2**32 - 2**25
#: ImageJ's own spellings of units.
_IMAGEJ_UNITS = {"micrometer": "micron", "angstrom": "A", "inch": "inch"}


def write_tiff(path: Path, volume: Volume) -> None:
    """Write a ``.tif``: ImageJ where the axes are in its order (TZCYX) and it has the type.

    Everything else (float64, above 4 GB, other orders) is written with OME-XML.
    """
    if _fits_imagej(volume):
        _write_imagej(path, volume)
    else:
        write_ome_tiff(path, volume)


def write_ome_tiff(path: Path, volume: Volume) -> None:
    """Write an OME-TIFF.

    The array keeps its order of axes where its planes are YX; others are transposed to TCZYX.
    """
    import tifffile

    data, axes = volume.data, volume.axes
    if not axes.endswith("YX"):
        order = [axis for axis in AXES if axis in axes]
        data, axes = data.transpose([axes.index(axis) for axis in order]), "".join(order)
    metadata: dict[str, Any] = {"axes": axes, "Description": note_text(make_note(volume, axes))}
    unit = unit_name(volume.unit)
    for axis, step in volume.spacing.items():
        metadata[f"PhysicalSize{axis}"] = float(step)
        if unit is not None:
            metadata[f"PhysicalSize{axis}Unit"] = SYMBOLS[unit]
    if volume.channel_names and len(volume.channel_names) == volume.size("C"):
        metadata["Channel"] = {"Name": list(volume.channel_names)}
    tifffile.imwrite(
        path,
        data,
        ome=True,
        bigtiff=data.nbytes > CLASSIC_LIMIT,
        photometric="minisblack",
        metadata=metadata,
    )


def _fits_imagej(volume: Volume) -> bool:
    ordered = "".join(axis for axis in "TZCYX" if axis in volume.axes) == volume.axes
    typed = volume.data.dtype.name in ("uint8", "uint16", "float32")
    # tifffile takes a last axis of length 1 for colour samples, and then errs on the rest.
    wide = volume.size("X") > 1
    return ordered and typed and wide and volume.data.nbytes <= CLASSIC_LIMIT


def _write_imagej(path: Path, volume: Volume) -> None:
    import tifffile

    unit = unit_name(volume.unit)
    # ImageJ reads one unit for all axes, and a resolution of 1 without unit as unknown.
    metadata: dict[str, Any] = {"axes": volume.axes, "Info": note_text(make_note(volume))}
    if volume.spacing:
        metadata["unit"] = _IMAGEJ_UNITS.get(unit, SYMBOLS[unit]) if unit else "pixel"
    if "Z" in volume.spacing:
        metadata["spacing"] = float(volume.spacing["Z"])
    if volume.size("C") > 1:
        metadata["mode"] = "composite"
    steps = [float(volume.spacing.get(axis, 1.0)) for axis in "XY"]
    tifffile.imwrite(
        path,
        volume.data,
        imagej=True,
        photometric="minisblack",
        resolution=(1 / steps[0], 1 / steps[1]),
        metadata=metadata,
    )
