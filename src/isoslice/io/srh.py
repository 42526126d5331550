"""Reading images of stimulated Raman histology (SRH) as the three channels of MSDSR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isoslice.data.srh import srh_channels
from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError
from isoslice.io.decoded import Raw, to_volume
from isoslice.io.image_collection import find_all_images
from isoslice.io.options import ReadOptions
from isoslice.io.reading import in_memory, read_raw
from isoslice.runtime.paths import at_home


def read_srh(
    path: str | Path,
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    *,
    unit: str | None = None,
    series: str | None = None,
    channel: str | None = None,
    time: str | None = None,
) -> Volume:
    """Read an SRH image or stack, and derive its three channels.

    Files that do not name their axes, such as those of OpenSRH, are read as (C, Y, X) or
    (Z, C, Y, X) if that gives two channels, or three of floats.

    Parameters
    ----------
    path, axes, voxel_size, unit, series, channel, time
        As in `isoslice.io.read_volume`; 2D images need no voxel size.

    Returns
    -------
    Volume
        See `srh_channels`.

    Raises
    ------
    DataError
        If the file cannot be read, its axes are unknown or ambiguous, or it is no SRH image.
    """
    path = at_home(Path(path))
    raw = read_raw(path, series)
    options = ReadOptions(
        axes=axes or _assumed_axes(raw, path),
        voxel_size=voxel_size,
        unit=unit,
        series=series,
        channel=channel,
        time=time,
    )
    return srh_channels(in_memory(to_volume(raw, path, options)))


def read_srh_images(
    inputs: Sequence[str | Path],
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    *,
    unit: str | None = None,
    series: str | None = None,
    channel: str | None = None,
    time: str | None = None,
) -> list[Volume]:
    """Read SRH images by files, folders or patterns, and derive their three channels.

    Parameters
    ----------
    inputs
        As in `isoslice.io.read_images`.
    axes, voxel_size, unit, series, channel, time
        As in `read_srh`, for every image.

    Returns
    -------
    list of Volume
        In the order of `inputs`, sorted by name within each; every file once.

    Raises
    ------
    DataError
        If an input names no image, or `read_srh` cannot read one.
    """
    return [
        read_srh(path, axes, voxel_size, unit=unit, series=series, channel=channel, time=time)
        for path in find_all_images(inputs)
    ]


def _assumed_axes(raw: Raw, path: Path) -> str | None:
    """Return the assumed axes of an SRH file that leaves C unnamed, or None for other files."""
    if not set(raw.axes) - set("TCZYXS") or raw.axes[-2:] not in ("YX", "QQ") or "C" in raw.axes:
        return None
    leading = [n for n in raw.data.shape[:-2] if n > 1]
    possible = (2, 3) if raw.data.dtype.kind == "f" else (2,)
    could_be_channels = [n in possible for n in leading]
    if could_be_channels == [True]:
        return "CYX"
    if could_be_channels == [False, True]:
        return "ZCYX"
    if could_be_channels in ([True, False], [True, True]):
        raise DataError(
            f"{path}: got axes the file does not name (shape "
            f"{' x '.join(map(str, raw.data.shape))}), expected (C, Y, X) or (Z, C, Y, X), where "
            "either of two could be C; name them with --axes CZYX or --axes ZCYX"
        )
    return None
