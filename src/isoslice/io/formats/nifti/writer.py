"""NIfTI, written through nibabel (an extra) in its own order, X first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.units import convert, unit_name
from isoslice.data.volume import Volume
from isoslice.errors import OutputError
from isoslice.io.formats.nifti.reader import COMMENT, nibabel_or
from isoslice.io.notes import make_note, note_text
from isoslice.io.orientation import RAS, placed, steps_of

_UNITS = {"meter": "meter", "mm": "millimeter", "micron": "micrometer"}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
#: NIfTI's name of each of OME's units of time that it has.
_TIMES = {"second": "sec", "millisecond": "msec", "microsecond": "usec"}
#: Seconds in units that it has not.
_OTHER_TIMES = {
    "nanosecond": 1e-9,
    "picosecond": 1e-12,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_NIFTI1_LONGEST = 2**15 - 1
_ALIGNED = 2


def write_nifti(path: Path, volume: Volume) -> None:
    """Write `volume` with axes in NIfTI's order (X, Y, Z, T, C).

    Orientation is kept with its codes, as is the time between volumes. Without an orientation the
    affine is diagonal, and its offset the origin where that is known. Units NIfTI has no code for
    (nanometre and others) are converted to micrometres. float16, which NIfTI has not, becomes
    float32.

    Raises
    ------
    OutputError
        If nibabel is not installed.
    """
    nibabel = nibabel_or(OutputError)
    last = 5 if "C" in volume.axes else 4 if "T" in volume.axes else 3 if "Z" in volume.axes else 2
    axes = "XYZTC"[:last]
    data = volume.tczyx().transpose(["TCZYX".index(axis) for axis in "XYZTC"])
    data = data.reshape(data.shape[:last])
    if data.dtype == np.float16:
        data = data.astype(np.float32)
    unit = unit_name(volume.unit)
    code = next((code for code, name in _UNITS.items() if name == unit), "micron")
    ratio = convert(1.0, unit, _UNITS[code]) if unit else 1.0
    # Spacing that is not known is what a matrix tells, if there is one, or 1.
    steps = {**steps_of(volume.metadata.orientation), **volume.spacing}
    lengths = {a: convert(float(s), unit, _UNITS[code]) if unit else s for a, s in steps.items()}
    large = max(data.shape) > _NIFTI1_LONGEST
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(data, None)
    header = image.header
    _orient(header, volume, ratio)
    zooms = {**dict.fromkeys(axes, 1.0), **lengths}
    zooms["T"], time_code = _time(volume.metadata) if "T" in axes else (1.0, 0)
    header.set_zooms([zooms[axis] for axis in axes])
    header.set_xyzt_units(code if unit and steps else 0, time_code)
    _describe(header, volume)
    noted = "".join(axis for axis in axes if axis in volume.axes)
    text = note_text(make_note(volume, noted)).encode("ascii")
    header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, text))
    # Saving sets the header by the image's affine, unless that is what the header says already.
    image._affine = header.get_best_affine()
    nibabel.save(image, path)


def _orient(header: Any, volume: Volume, ratio: float) -> None:
    """Put the matrices and their codes into a header, lengths times `ratio`."""
    orientation = volume.metadata.orientation
    if orientation is None or orientation.affine is None:
        if volume.spacing or volume.metadata.origin:
            header.set_sform(placed(volume, ratio, RAS), code=_ALIGNED)
        return
    scaled = orientation.in_unit(ratio)
    # A qform has no shear, and its spacing is that of the header: what is left is its rotation.
    if scaled.qform is not None and scaled.qform_code > 0:
        header.set_qform(np.array(scaled.qform), code=scaled.qform_code)
    if scaled.sform is not None and scaled.sform_code > 0:
        header.set_sform(np.array(scaled.sform), code=scaled.sform_code)


def _time(metadata: Metadata) -> tuple[float, str | int]:
    """Return the time between volumes in a unit that NIfTI has, and its name; 1 and 0 unknown."""
    step, unit = metadata.time_step, metadata.time_unit
    if step is None:
        return 1.0, 0
    if unit in _TIMES:
        return step, _TIMES[unit]
    if unit in _OTHER_TIMES:
        seconds = step * _OTHER_TIMES[unit]
        return next((seconds / s, n) for n, s in _SECONDS.items() if seconds >= s or n == "usec")
    return step, 0


def _describe(header: Any, volume: Volume) -> None:
    """Say how a volume is shown, and that its channels are no time."""
    displays = volume.metadata.displays
    if displays is not None and len(displays) == 1 and displays[0].window is not None:
        header["cal_min"], header["cal_max"] = displays[0].window
    if volume.size("C") > 1:
        header.set_intent("vector")
