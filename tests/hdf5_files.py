"""Small HDF5 files as other programs write them: ilastik, Imaris, BigDataViewer."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np


def write_ilastik(path: Path, data: np.ndarray, axes: str, name: str = "exported_data") -> Path:
    """Write a data set with vigra's axistags."""
    tags = [{"key": a, "typeFlags": 2, "resolution": 0, "description": ""} for a in axes]
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(name, data=data, chunks=True, compression="gzip")
        dataset.attrs["axistags"] = json.dumps({"axes": tags})
    return path


def characters(text: str) -> np.ndarray:
    """Return text as Imaris stores it."""
    return np.frombuffer(text.encode(), "S1")


def write_imaris(
    path: Path,
    data: np.ndarray,
    voxel_size: tuple[float, float, float] = (2.0, 0.5, 0.25),
    first: tuple[float, float, float] = (0.0, 0.0, 0.0),
    chunks: tuple[int, int, int] = (4, 8, 8),
) -> Path:
    """Write (T, C, Z, Y, X) as Imaris does: padded to whole chunks, numbers as text."""
    times, channels, *size = data.shape
    whole = [-(-n // c) * c for n, c in zip(size, chunks, strict=True)]
    with h5py.File(path, "w") as file:
        for t, c in np.ndindex(times, channels):
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}")
            padded = np.zeros(whole, data.dtype)
            padded[tuple(slice(n) for n in size)] = data[t, c]
            group.create_dataset("Data", data=padded, chunks=chunks, compression="gzip")
            for axis, n in zip("ZYX", size, strict=True):
                group.attrs[f"ImageSize{axis}"] = characters(str(n))
        image = file.create_group("DataSetInfo/Image")
        image.attrs["Unit"] = characters("um")
        for number, (axis, n, step, edge) in enumerate(
            zip("XYZ", size[::-1], voxel_size[::-1], first[::-1], strict=True)
        ):
            image.attrs[axis] = characters(str(n))
            image.attrs[f"ExtMin{number}"] = characters(f"{edge:.3f}")
            image.attrs[f"ExtMax{number}"] = characters(f"{edge + n * step:.3f}")
        for c in range(channels):
            group = file.create_group(f"DataSetInfo/Channel {c}")
            group.attrs["Name"] = characters(f"dye {c}")
            group.attrs["Color"] = characters("1.000 0.502 0.000")
            group.attrs["ColorRange"] = characters("10.000 200.000")
        group = file.create_group("DataSetInfo/TimeInfo")
        for t in range(times):
            group.attrs[f"TimePoint{t + 1}"] = characters(f"2024-05-01 23:59:{t * 15:02}.500")
    return path


def write_bdv(path: Path, data: np.ndarray, tiles: int = 1, signed: bool = True) -> Path:
    """Write (T, tile x C, Z, Y, X) of uint16 as BigDataViewer does, and NAME.xml beside."""
    times, setups = data.shape[:2]
    channels = setups // tiles
    with h5py.File(path, "w") as file:
        for s in range(setups):
            file[f"s{s:02}/resolutions"] = np.ones((1, 3))
            file[f"s{s:02}/subdivisions"] = np.full((1, 3), 8)
        for t, s in np.ndindex(times, setups):
            voxels = data[t, s].view(np.int16) if signed else data[t, s]
            file.create_dataset(f"t{t:05}/s{s:02}/0/cells", data=voxels, chunks=(2, 8, 8))
    views = "".join(
        f"<ViewSetup><id>{s}</id><name>set-up {s}</name><size>1 1 1</size><voxelSize>"
        f"<unit>µm</unit><size>0.25 0.5 2.0</size></voxelSize><attributes><illumination>0"
        f"</illumination><channel>{s % channels}</channel><tile>{s // channels}</tile>"
        "<angle>0</angle></attributes></ViewSetup>"
        for s in range(setups)
    )
    named = "".join(f"<Channel><id>{c}</id><name>dye {c}</name></Channel>" for c in range(channels))
    path.with_suffix(".xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><SpimData version="0.2"><BasePath type="relative">'
        '.</BasePath><SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">'
        f'{path.name}</hdf5></ImageLoader><ViewSetups>{views}<Attributes name="channel">{named}'
        "</Attributes></ViewSetups></SequenceDescription></SpimData>",
        encoding="utf-8",
    )
    return path
