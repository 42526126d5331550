"""NIfTI, written through nibabel (an extra) in its own order, X first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.time_units import SECONDS
from isoslice.data.units import convert, unit_name
from isoslice.data.volume import Volume
from isoslice.errors import OutputError
from isoslice.io.formats.nifti.reader import COMMENT_CODE, nibabel_or
from isoslice.io.notes import make_note, note_text
from isoslice.io.orientation import RAS, spacing_of_affine, stored_affine
from isoslice.io.parts import write_parts

#: nibabel's names of NIfTI's units of length, and of time, longest first.
_LENGTH_UNITS = {"meter": "meter", "mm": "millimeter", "micron": "micrometer"}
_TIME_UNITS = {"second": "sec", "millisecond": "msec", "microsecond": "usec"}
_NIFTI1_MAX_SIDE = 2**15 - 1
_ALIGNED = 2  # code of a space that something was aligned to


def write_nifti(path: Path, volume: Volume) -> None:
    """Write `volume` with axes in NIfTI's order (X, Y, Z, T, C).

    Orientation is kept with its codes, as is the time between volumes. Without an orientation the
    affine is diagonal, with the origin as offset where that is known. Units that NIfTI has no code
    for (nanometre and others) are converted to micrometres. float16, which NIfTI lacks, becomes
    float32.

    Raises
    ------
    OutputError
        If nibabel is not installed.
    """
    nibabel = nibabel_or(OutputError)
    ndim = 5 if "C" in volume.axes else 4 if "T" in volume.axes else 3 if "Z" in volume.axes else 2
    axes = "XYZTC"[:ndim]
    shape = [volume.size(axis) for axis in axes]
    dtype = np.dtype(np.float32) if volume.data.dtype == np.float16 else volume.data.dtype
    unit = unit_name(volume.unit)
    code = next((code for code, name in _LENGTH_UNITS.items() if name == unit), "micron")
    ratio = convert(1.0, unit, _LENGTH_UNITS[code]) if unit else 1.0
    # Unknown spacing is taken from the affine, if there is one, or is 1.
    steps = {**spacing_of_affine(volume.metadata.orientation), **volume.spacing}
    lengths = {
        a: convert(float(s), unit, _LENGTH_UNITS[code]) if unit else s for a, s in steps.items()
    }
    stand_in = np.broadcast_to(np.zeros((), dtype), shape)  # the header needs shape and type only
    large = max(shape) > _NIFTI1_MAX_SIDE
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(stand_in, None)
    header = image.header
    _orient(header, volume, ratio)
    zooms = {**dict.fromkeys(axes, 1.0), **lengths}
    zooms["T"], time_code = _time(volume.metadata) if "T" in axes else (1.0, 0)
    header.set_zooms([zooms[axis] for axis in axes])
    header.set_xyzt_units(code if unit and steps else 0, time_code)
    _describe(header, volume)
    noted_axes = "".join(axis for axis in axes if axis in volume.axes)
    text = note_text(make_note(volume, noted_axes)).encode("ascii")
    header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT_CODE, text))
    # Saving overwrites the header's matrices, unless the image's affine equals the header's.
    image._affine = header.get_best_affine()
    _save(path, image, volume)


def _save(path: Path, image: Any, volume: Volume) -> None:
    """Save what `nibabel.save` does for an image in memory: the header, then voxels, X fastest."""
    from nibabel.openers import ImageOpener

    image.update_header()
    header = image.header
    header.set_slope_inter(1, 0)
    data: Any = volume.tczyx().transpose(["TCZYX".index(axis) for axis in "CTZYX"])
    with ImageOpener(str(path), "wb") as stream:
        header.write_to(stream)
        stream.write(bytes(header.get_data_offset() - stream.tell()))
        write_parts(stream, data, path.parent, header.get_data_dtype())


def _orient(header: Any, volume: Volume, ratio: float) -> None:
    """Set a header's matrices and their codes, lengths times `ratio`."""
    orientation = volume.metadata.orientation
    if orientation is None or orientation.affine is None:
        if volume.spacing or volume.metadata.origin:
            header.set_sform(stored_affine(volume, ratio, RAS), code=_ALIGNED)
        return
    scaled = orientation.in_unit(ratio)
    # Of a qform, the header keeps rotation and offset: it has no shear, and the header's spacing.
    if scaled.qform is not None and scaled.qform_code > 0:
        header.set_qform(np.array(scaled.qform), code=scaled.qform_code)
    if scaled.sform is not None and scaled.sform_code > 0:
        header.set_sform(np.array(scaled.sform), code=scaled.sform_code)


def _time(metadata: Metadata) -> tuple[float, str | int]:
    """Return the time between volumes in a unit of NIfTI, and that; 1 and 0 where unknown."""
    step, unit = metadata.time_step, metadata.time_unit
    if step is None:
        return 1.0, 0
    if unit is None or unit not in SECONDS:
        return step, 0
    if unit in _TIME_UNITS:
        return step, _TIME_UNITS[unit]
    seconds = step * SECONDS[unit]
    name = next(n for n in _TIME_UNITS if seconds >= SECONDS[n] or n == "microsecond")
    return seconds / SECONDS[name], _TIME_UNITS[name]


def _describe(header: Any, volume: Volume) -> None:
    """Set the intensity window, and mark a fifth dimension as channels."""
    displays = volume.metadata.displays
    if displays is not None and len(displays) == 1 and displays[0].window is not None:
        header["cal_min"], header["cal_max"] = displays[0].window
    if volume.size("C") > 1:
        header.set_intent("vector")
