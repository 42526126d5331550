"""Writing TIFF: ImageJ hyperstacks where they can hold the volume, else OME-TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.metadata import Display
from isoslice.data.time_units import TIME_SYMBOLS, seconds, time_name
from isoslice.data.units import SYMBOLS, unit_name
from isoslice.data.volume import AXES, Volume
from isoslice.io.formats.tiff.display import as_ome_color, to_table
from isoslice.io.notes import make_note, note_text
from isoslice.io.parts import parts, planes

#: Bytes of voxels in a classic TIFF, which has 32-bit offsets; some are left for directories.
MAX_CLASSIC_BYTES = 2**32 - 2**25
#: Order of ImageJ's axes, and its voxel types (int16 is its signed 16-bit).
_IMAGEJ_AXES, _IMAGEJ_TYPES = "TZCYX", ("uint8", "uint16", "int16", "float32")
#: ImageJ's own spellings of units.
_IMAGEJ_UNITS = {"micrometer": "micron", "angstrom": "A", "inch": "inch"}


def write_tiff(path: Path, volume: Volume) -> None:
    """Write a ``.tif``: an ImageJ hyperstack (axes in its order, TZCYX) if ImageJ can hold it.

    Other voxel types, and volumes above 4 GB, are written with OME-XML.
    """
    if _fits_imagej(volume):
        _write_imagej(path, volume)
    else:
        write_ome_tiff(path, volume)


def write_ome_tiff(path: Path, volume: Volume) -> None:
    """Write an OME-TIFF.

    Axes keep their order if they end in YX, else they are transposed to TCZYX. OME-XML has no
    float16: it is stored in the pages, and the XML says float.
    """
    import tifffile

    axes = _kept_axes(volume)
    data: Any = volume.data.transpose([volume.axes.index(axis) for axis in axes])
    metadata = _ome_metadata(volume, axes)
    big = data.nbytes > MAX_CLASSIC_BYTES
    # Some versions of tifffile take planes of one column for colour samples.
    if data.dtype.name == "float16" or data.shape[-1] == 1:
        _write_planes(path, data, _ome_xml(data, axes, metadata), big)
        return
    # Pages lie one after the other, so that tifffile takes several at once.
    options: dict[str, Any] = {"shape": data.shape, "dtype": data.dtype}
    tifffile.imwrite(
        path,
        parts(data, path.parent),
        ome=True,
        bigtiff=big,
        byteorder=data.dtype.byteorder,
        photometric="minisblack",
        metadata=metadata,
        **options,
    )


def _write_planes(path: Path, data: Any, xml: bytes, big: bool) -> None:
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=big) as tif:
        for number, plane in enumerate(planes(data, path.parent, _native(data))):
            tif.write(
                plane,
                description=None if number else xml,
                photometric="minisblack",
                metadata=None,
                contiguous=False,
            )


def _kept_axes(volume: Volume) -> str:
    """Return the axes in the order in which they are read again."""
    if volume.axes.endswith("YX"):
        return volume.axes
    return "".join(axis for axis in AXES if axis in volume.axes)


def _ome_metadata(volume: Volume, axes: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes, "Description": note_text(make_note(volume, axes))}
    unit = unit_name(volume.unit)
    for axis, step in volume.spacing.items():
        metadata[f"PhysicalSize{axis}"] = float(step)
        if unit is not None:
            metadata[f"PhysicalSize{axis}Unit"] = SYMBOLS[unit]
    channels: dict[str, Any] = {}
    if volume.channel_names and len(volume.channel_names) == volume.size("C"):
        channels["Name"] = list(volume.channel_names)
    displays = _displays(volume)
    if any(display.color for display in displays):
        channels["Color"] = [as_ome_color(display.color or "FFFFFF") for display in displays]
    if channels:
        metadata["Channel"] = channels
    time = time_name(volume.metadata.time_unit)
    if volume.metadata.time_step is not None and time is not None:
        metadata["TimeIncrement"] = float(volume.metadata.time_step)
        metadata["TimeIncrementUnit"] = TIME_SYMBOLS[time]
    if unit is not None and (volume.metadata.origin or volume.z_positions is not None):
        metadata["Plane"] = _positions(volume, axes, SYMBOLS[unit])
    return metadata


def _positions(volume: Volume, axes: str, unit: str) -> dict[str, list[Any]]:
    """Return the position of each plane, in the stored order; of uneven ones from 0 at least."""
    origin = dict(volume.metadata.origin)
    depths = np.zeros([volume.size(axis) for axis in axes[:-2]])
    if "Z" in axes:
        z_index, step = axes.index("Z"), float(volume.spacing.get("Z", 0.0))
        places = volume.z_positions or tuple(z * step for z in range(volume.size("Z")))
        depths += np.reshape(places, [-1] + [1] * (len(axes) - 3 - z_index))
        if volume.z_positions is not None:
            origin.setdefault("Z", 0.0)
    positions: dict[str, list[Any]] = {}
    for axis, position in origin.items():
        shifts = depths if axis == "Z" else np.zeros_like(depths)
        positions[f"Position{axis}"] = [position + shift for shift in shifts.ravel().tolist()]
        positions[f"Position{axis}Unit"] = [unit] * depths.size
    return positions


def _ome_xml(data: Any, axes: str, metadata: dict[str, Any]) -> bytes:
    """Return OME-XML, where float16 is float with 16 significant bits."""
    import tifffile

    options = {key: value for key, value in metadata.items() if key != "axes"}
    dtype = data.dtype
    if dtype.name == "float16":
        dtype, options["SignificantBits"] = np.dtype(np.float32), 16
    planes = int(np.prod(data.shape[:-2], dtype=np.int64))
    xml = tifffile.OmeXml()
    xml.addimage(dtype, data.shape, (planes, 1, 1, *data.shape[-2:], 1), axes=axes, **options)
    text: str = xml.tostring(declaration=True)
    return text.encode()


def _displays(volume: Volume) -> tuple[Display, ...]:
    displays = volume.metadata.displays or ()
    return displays if len(displays) == volume.size("C") else ()


def _fits_imagej(volume: Volume) -> bool:
    typed = volume.data.dtype.name in _IMAGEJ_TYPES
    # tifffile takes a last axis of length 1 for colour samples.
    wide = volume.size("X") > 1
    return typed and wide and volume.data.nbytes <= MAX_CLASSIC_BYTES


def _write_imagej(path: Path, volume: Volume) -> None:
    import tifffile

    axes = "".join(axis for axis in _IMAGEJ_AXES if axis in volume.axes)
    data: Any = volume.data.transpose([volume.axes.index(axis) for axis in axes])
    steps = [float(volume.spacing.get(axis, 1.0)) for axis in "XY"]
    options: dict[str, Any] = {"shape": data.shape, "dtype": _native(data)}
    tifffile.imwrite(
        path,
        parts(data, path.parent, _native(data)),
        imagej=True,
        photometric="minisblack",
        resolution=(1 / steps[0], 1 / steps[1]),
        metadata=_imagej_metadata(volume, axes),
        **options,
    )


def _native(data: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = data.dtype.newbyteorder("=")
    return dtype


def _imagej_metadata(volume: Volume, axes: str) -> dict[str, Any]:
    unit = unit_name(volume.unit)
    note = make_note(volume, axes)
    if (order := _kept_axes(volume)) != axes:
        note["order"] = order
    # ImageJ has one unit for all axes, and reads a resolution of 1 without unit as unknown.
    metadata: dict[str, Any] = {"axes": axes, "Info": note_text(note)}
    if volume.spacing:
        metadata["unit"] = _IMAGEJ_UNITS.get(unit, SYMBOLS[unit]) if unit else "pixel"
    if "Z" in volume.spacing:
        metadata["spacing"] = float(volume.spacing["Z"])
    for axis, position in volume.metadata.origin.items():
        if axis in volume.spacing:  # ImageJ stores the index of the voxel at 0
            metadata[f"{axis.lower()}origin"] = -position / float(volume.spacing[axis])
    interval = seconds(volume.metadata.time_step, volume.metadata.time_unit)
    if interval is not None:
        metadata["finterval"], metadata["tunit"] = float(interval), "sec"
    if volume.channel_names and len(volume.channel_names) == volume.size("C"):
        planes = volume.size("T") * volume.size("Z")
        metadata["Labels"] = list(volume.channel_names) * planes
    return metadata | _imagej_display(volume)


def _imagej_display(volume: Volume) -> dict[str, Any]:
    displays, options = _displays(volume), dict[str, Any]()
    if volume.size("C") > 1:
        grey = displays and all(d.lut is None and d.color in (None, "FFFFFF") for d in displays)
        options["mode"] = "grayscale" if grey else "composite"
    if any(display.color or display.lut for display in displays):
        options["LUTs"] = [to_table(display) for display in displays]
    windows = [display.window for display in displays if display.window is not None]
    if windows and len(windows) == len(displays):
        options["Ranges"] = tuple(float(limit) for window in windows for limit in window)
        if len(windows) == 1:
            options["min"], options["max"] = options["Ranges"]
    return options
