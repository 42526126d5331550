"""Reading microscope vendors' formats (CZI, ND2, LIF) through bioio (an extra)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display, Metadata
from isoslice.data.volume import AXES
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.extras import require
from isoslice.io.formats.ome_optics import optics_of_types
from isoslice.io.formats.ome_positions import PlanePosition, plane_positions
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import check_shape
from isoslice.io.series import Series, choose_series

#: bioio's plugin for each suffix. No other plugin is used: one of them downloads programs.
PLUGINS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif"}


def read_vendor(path: Path, series: str | None = None) -> Raw:
    """Read a scene (position, experiment) of a vendor's file; planes are read when indexed.

    bioio always returns five dimensions; T, C and Z of length 1 are dropped. Its pixel sizes are in
    micrometres.

    Raises
    ------
    DataError
        If bioio or the plugin for this format is not installed, the file is damaged, or there is
        no such scene.
    """
    suffix = path.suffix.lower()
    plugin = PLUGINS[suffix]
    needed, what = f"bioio {plugin}", f"a {suffix} file"
    bioio = require("bioio", needed, what, path=path)
    reader = require(plugin.replace("-", "_"), needed, what, path=path).Reader
    with reading(path, f"a {suffix} file by {plugin}", "export it again, or as OME-TIFF"):
        # ND2 is always read plane by plane, and its plugin has no such option.
        options = {} if suffix == ".nd2" else {"chunk_dims": ["Y", "X"]}
        image = _guarded(lambda: bioio.BioImage(path.absolute(), reader=reader, **options))
        raw: Raw = _guarded(lambda: _read(path, image, series))
    return raw


def _read(path: Path, image: Any, series: str | None) -> Raw:
    listed = []
    for number, name in enumerate(image.scenes):
        image.set_scene(number)
        kept = _kept(image)
        order, shape = str(image.dims.order), image.dims.shape
        listed.append(
            Series(
                str(name),
                "".join(order[i] for i in kept),
                tuple(int(shape[i]) for i in kept),
                np.dtype(image.dtype).name,
            )
        )
    if not listed:
        raise ValueError("it holds no image")
    chosen = choose_series(path, listed, series)
    image.set_scene(chosen)
    voxels = _ScenePlanes(image)
    check_shape(path, voxels.shape)
    data = LazyArray(voxels, _kept(image))
    sizes = image.physical_pixel_sizes
    steps = {"Z": sizes.Z, "Y": sizes.Y, "X": sizes.X}
    spacing = {a: float(s) for a, s in steps.items() if s is not None and 0 < s < math.inf}
    names = tuple(str(name) for name in image.channel_names or [])
    unit = "micrometer" if spacing else None
    ome = _quietly(lambda: image.ome_metadata)
    sizes_of = dict(zip(str(image.dims.order), voxels.shape, strict=True))
    lengths = {axis: sizes_of.get(axis, 1) for axis in "TCZ"}
    planes = _quietly(lambda: list(_planes(ome, chosen))) or []
    step, places = plane_positions(planes, lengths, spacing, unit)
    if step is not None and places is not None:
        spacing["Z"] = step
    return Raw(
        data,
        listed[chosen].axes,
        spacing,
        unit,
        names or None,
        metadata=_metadata(image, ome, chosen),
        series=tuple(listed),
        chosen=chosen,
        z_positions=places,
    )


class _ScenePlanes:
    """Voxels of a scene, read when indexed; see `LazyArray`."""

    def __init__(self, image: Any) -> None:
        self._image = image  # its file stays open
        self._array = image.dask_data
        self.shape: tuple[int, ...] = tuple(int(n) for n in self._array.shape)
        self.dtype = np.dtype(self._array.dtype)
        self.chunks = tuple(max(lengths) for lengths in self._array.chunks)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part."""
        # Not all of the underlying libraries are thread-safe.
        return np.asarray(_guarded(lambda: self._array[index].compute(scheduler="synchronous")))


def _kept(image: Any) -> list[int]:
    """Return the indices of all dimensions except T, C and Z of length 1."""
    order, shape = str(image.dims.order), image.dims.shape
    return [i for i, n in enumerate(shape) if n > 1 or order[i] not in AXES[:3]]


def _metadata(image: Any, ome: Any, scene: int) -> Metadata:
    step = _quietly(lambda: image.time_interval)
    seconds = step.total_seconds() if isinstance(step, timedelta) else 0.0
    return Metadata(
        time_step=seconds if seconds > 0 else None,
        time_unit="second" if seconds > 0 else None,
        displays=_quietly(lambda: _displays(ome, scene)),
        optics=_quietly(lambda: optics_of_types(ome, scene)),
    )


def _planes(ome: Any, scene: int) -> Iterator[PlanePosition]:
    for plane in ome.images[scene].pixels.planes:
        if plane.position_z is not None:
            unit = getattr(plane.position_z_unit, "value", plane.position_z_unit)
            yield PlanePosition(plane.the_t, plane.the_c, plane.the_z, plane.position_z, unit)


def _displays(ome: Any, scene: int) -> tuple[Display, ...] | None:
    channels = ome.images[scene].pixels.channels
    colors = [
        None if channel.color is None else channel.color.as_rgb_tuple(alpha=False)
        for channel in channels
    ]
    shades = [None if c is None else "{:02X}{:02X}{:02X}".format(*c) for c in colors]
    if not any(shades) or not all(s is None or re.fullmatch("[0-9A-F]{6}", s) for s in shades):
        return None
    return tuple(Display(shade) for shade in shades)


def _guarded(read: Any) -> Any:
    """Call a library, turning its errors about damaged files into ValueError."""
    from isoslice.errors import IsosliceError

    try:
        return read()
    except (IsosliceError, MemoryError, OSError):
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _quietly(read: Any) -> Any:
    """Return metadata that a plugin may not have for a file, or None."""
    try:
        return read()
    except Exception:
        return None
