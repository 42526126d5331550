"""From a decoded file to a `Volume`: axes, overrides, notes and byte order, for all formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Metadata
from isoslice.data.units import METRES, convert, unit_name
from isoslice.data.volume import AXES, DTYPES, Volume, check_axes, voxel_type_message
from isoslice.data.z_positions import EVEN, with_positions
from isoslice.errors import DataError, SettingsError
from isoslice.io.lazy_array import LazyArray
from isoslice.io.notes import Note, noted_axes, noted_metadata, noted_positions, noted_spacing
from isoslice.io.options import ReadOptions
from isoslice.io.orientation import spacing_of_affine
from isoslice.io.selection import select
from isoslice.io.series import Series

Voxels: TypeAlias = NDArray[Any] | LazyArray

#: Unit of a voxel size (``--voxel-size``) that is given without one, for files that have none.
DEFAULT_UNIT = "micrometer"


@dataclass(frozen=True)
class Raw:
    """An image as decoded from a file.

    Attributes
    ----------
    data
        Voxels as stored, in memory or on disk.
    axes
        A letter per dimension: those of TCZYX, ``S`` for colour samples, any other for a
        dimension without a name.
    spacing
        Spacing by axis, for Z, Y and X; only where the file has it.
    unit
        Unit of `spacing`, or None.
    channel_names
        One name per channel, or None.
    note
        isoslice's note, if there is one.
    metadata
        Position, time and display, as far as the file has them; lengths in `unit`.
    series
        All images in the file, if it may hold several.
    chosen
        Index of this image in `series`.
    labels
        Whether the file says that its voxels are labels.
    z_positions
        Of the planes along Z as of a `Volume`, None where even or unknown.
    """

    data: Voxels
    axes: str
    spacing: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
    note: Note | None = None
    metadata: Metadata = field(default_factory=Metadata)
    series: tuple[Series, ...] = ()
    chosen: int = 0
    labels: bool = False
    z_positions: tuple[float, ...] | None = None


def to_volume(raw: Raw, path: Path, options: ReadOptions) -> Volume:
    """Turn a decoded image into a volume.

    Parameters
    ----------
    raw
        The decoded image.
    path
        The file, for messages.
    options
        The user's options. Axes rename the file's (dimensions of length 1 may be left out); a voxel
        size replaces the file's, in the file's unit unless another one is given.

    Returns
    -------
    Volume
        The selected channels and time points. Voxels are unchanged except for byte order, and on
        disk where `raw`'s are; colour samples become the axis C.

    Raises
    ------
    DataError
        If an axis remains unknown, there is no such channel or time point, or the voxel type is not
        supported.
    """
    source = str(path)
    _check_voxels(raw.data, source)
    data, names, spacing, metadata, places = _with_axes(raw, source, options.axes)
    unit = raw.unit
    if raw.note is not None:
        spacing, noted = noted_spacing(spacing, unit if spacing else None, raw.note)
        # The note's lengths are in its unit; the file's are converted to it.
        if noted != unit and noted in METRES and unit in METRES:
            metadata = metadata.in_unit(convert(1.0, str(unit), str(noted)))
        metadata = noted_metadata(metadata, raw.note, spacing)
        unit = noted if spacing else noted or unit
        places = places or noted_positions(raw.note, spacing, _size(data, names, "Z"))
    if places is not None and len(places) != _size(data, names, "Z"):
        places = None
    if options.voxel_size is not None:
        before = spacing.get("Z")
        spacing, metadata, unit = _given_size(spacing, metadata, unit, options)
        if places is not None and before is not None:
            # In the new unit, or of a corrected spacing: as uneven as before.
            places = tuple(z * (spacing["Z"] / before) for z in places)
    spacing = {axis: float(step) for axis, step in spacing.items() if axis in names}
    volume = Volume(
        cast("NDArray[Any]", data if isinstance(data, LazyArray) else _native(data)),
        names,
        spacing,
        unit if spacing or metadata.origin or metadata.orientation else None,
        _channel_names(raw, data, names),
        (raw.note or {}).get("provenance"),
        source,
        metadata.with_channels(_size(data, names, "C")),
        places,
    )
    return select(placed(volume, options), options.channel, options.time)


def placed(volume: Volume, options: ReadOptions) -> Volume:
    """Put the planes of a volume where the user says.

    Raises
    ------
    DataError
        If positions do not rise, or are not as many as planes.
    SettingsError
        If they contradict the voxel size that was given with them.
    """
    if options.positions is None:
        return volume
    if options.positions == "even":
        return with_positions(volume, None)
    moved = with_positions(volume, options.positions)
    if options.voxel_size is not None and len(options.positions) > 1:
        gaps = np.diff(options.positions)
        if not gaps.min() * (1 - EVEN) <= options.voxel_size[0] <= gaps.max() * (1 + EVEN):
            raise SettingsError(
                f"got positions {gaps.min():g} to {gaps.max():g} apart, and a voxel size of "
                f"{options.voxel_size[0]:g} along Z, expected both in one unit; correct one of them"
            )
    return moved


def _size(data: Voxels, axes: str, axis: str) -> int:
    return data.shape[axes.index(axis)] if axis in axes else 1


def _given_size(
    spacing: Mapping[str, float], metadata: Metadata, unit: str | None, options: ReadOptions
) -> tuple[dict[str, float], Metadata, str]:
    """Replace the file's voxel size by the user's; matrices are scaled accordingly."""
    assert options.voxel_size is not None
    wanted = unit or DEFAULT_UNIT
    if options.unit is not None:
        named = unit_name(options.unit)
        if named is None:
            raise SettingsError(
                f"got unit {options.unit!r}, expected a unit of length such as um, nm or mm"
            )
        wanted = named
    if unit in METRES and wanted != unit:
        ratio = convert(1.0, str(unit), wanted)
        metadata = metadata.in_unit(ratio)
        spacing = {axis: step * ratio for axis, step in spacing.items()}
    given = dict(zip("ZYX", options.voxel_size, strict=True))
    if metadata.orientation is not None:
        steps = {**spacing_of_affine(metadata.orientation), **spacing}
        ratios = {axis: given[axis] / step for axis, step in steps.items()}
        metadata = replace(metadata, orientation=metadata.orientation.scaled(ratios))
    return given, metadata, wanted


def _with_axes(
    raw: Raw, source: str, given: str | None
) -> tuple[Voxels, str, dict[str, float], Metadata, tuple[float, ...] | None]:
    """Return voxels, axes, spacing, metadata and positions of planes by the axes' given names."""
    data, names = _axes_of_file(raw)
    given = given.upper() if given else None
    # The file's own axes change nothing, even where colour samples were moved first.
    if given is None or (given == names and not _unknown(names)):
        if _unknown(names):
            raise DataError(
                f"{source}: got axes the file does not name (shape "
                f"{' x '.join(map(str, raw.data.shape))}), expected one of T, C, Z, Y, X each; "
                f"name them with --axes, for example --axes {suggested_axes(raw.axes)}"
            )
        if raw.note is not None:
            shape, names = noted_axes(data.shape, names, raw.note["axes"])
            data = data.reshape(shape)
        return data, names, dict(raw.spacing), raw.metadata, raw.z_positions
    data, stored = raw.data, raw.axes
    if len(given) != data.ndim:
        dropped = tuple(i for i, n in enumerate(data.shape) if n == 1)
        if len(given) == data.ndim - len(dropped):
            data = data.squeeze(dropped)
            stored = "".join(a for i, a in enumerate(stored) if i not in dropped)
    check_axes(given, data.ndim, source)
    renamed = {old: new for old, new in zip(stored, given, strict=True) if old in "ZYX"}
    # The orientation remains known only if Z, Y and X are permuted among themselves.
    metadata = raw.metadata.renamed(renamed)
    if set(renamed) - set(renamed.values()) or not set(renamed.values()) <= set("ZYX"):
        metadata = replace(metadata, orientation=None)
    if "T" in stored and given[stored.index("T")] != "T":
        metadata = replace(metadata, time_step=None, time_unit=None, time_start=None)
    places = raw.z_positions if renamed.get("Z") == "Z" else None
    return data, given, _renamed(raw.spacing, stored, given), metadata, places


def _axes_of_file(raw: Raw) -> tuple[Voxels, str]:
    """Return voxels and axes as in the file: unnamed axes of length 1 dropped, S as C."""
    data, axes = raw.data, raw.axes
    for index in reversed(range(data.ndim)):
        unnamed = axes[index] not in AXES and data.shape[index] == 1
        if unnamed and data.ndim > 2:
            data = data.squeeze(index)
            axes = axes[:index] + axes[index + 1 :]
    if "S" in axes and "C" in axes and data.shape[axes.index("C")] == 1:
        data = data.squeeze(axes.index("C"))
        axes = axes.replace("C", "")
    if "S" in axes and "C" not in axes and axes.count("S") == 1:
        # Channels go before the planes, as in all other formats.
        others = axes.replace("S", "")
        position = next((i for i, axis in enumerate(others) if axis in "ZYX"), len(others))
        order = [i for i in range(data.ndim) if axes[i] != "S"]
        order.insert(position, axes.index("S"))
        data = data.transpose(order)
        axes = others[:position] + "C" + others[position:]
    return data, axes


def _unknown(axes: str) -> bool:
    return not set(axes) <= set(AXES) or len(set(axes)) != len(axes)


def suggested_axes(axes: str) -> str:
    """Name all dimensions: unnamed ones get the last unused letters of TCZYX."""
    named = ["C" if axis == "S" and "C" not in axes else axis for axis in axes]
    unnamed = [i for i, axis in enumerate(named) if axis not in AXES or named.count(axis) > 1]
    taken = [axis for i, axis in enumerate(named) if i not in unnamed]
    left = [axis for axis in AXES if axis not in taken]
    for i, axis in zip(unnamed[::-1], left[::-1], strict=False):
        named[i] = axis
    return "".join(named)


def _renamed(spacing: Mapping[str, float], stored: str, given: str) -> dict[str, float]:
    """Return the spacing by the given axes; spacing without a dimension keeps its axis."""
    renamed = {new: spacing[old] for old, new in zip(stored, given, strict=True) if old in spacing}
    for axis, step in spacing.items():
        if axis not in stored:
            renamed.setdefault(axis, step)
    return {axis: step for axis, step in renamed.items() if axis in "ZYX"}


def _channel_names(raw: Raw, data: Voxels, axes: str) -> tuple[str, ...] | None:
    channels = _size(data, axes, "C")
    noted = (raw.note or {}).get("channel_names")
    for names in (noted, raw.channel_names):
        if names and len(names) == channels:
            return tuple(names)
    return None


def _check_voxels(data: Voxels, source: str) -> None:
    if data.dtype.name not in DTYPES:
        raise DataError(voxel_type_message(source, data.dtype.name))
    if data.size == 0 or data.ndim < 2:
        raise DataError(
            f"{source}: got an array of shape {data.shape}, expected at least a 2D image; "
            "check that this is the right file"
        )


def _native(data: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
