"""Samples of HDF5: bare datasets, Imaris and BigDataViewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from samples.reader import STACK, check_volume


def datasets(folder: Path) -> Iterator[Path]:
    import json

    import h5py

    tags = {"axes": [{"key": axis, "resolution": 0} for axis in "zyx"]}
    for number, options in enumerate(
        (
            {},
            {"chunks": (2, 6, 8), "compression": "gzip"},
            {"chunks": (2, 6, 8), "compression": "lzf", "shuffle": True, "fletcher32": True},
        )
    ):
        with h5py.File(folder / f"{number}.h5", "w", libver="latest" if number == 1 else None) as f:
            f.create_dataset("volumes/raw", data=STACK, **options)
            if number == 0:
                f["volumes/raw"].attrs["element_size_um"] = [2.0, 0.5, 0.5]
            else:
                f["volumes/raw"].attrs["axistags"] = json.dumps(tags)
        yield folder / f"{number}.h5"


def imaris(folder: Path) -> Iterator[Path]:
    import h5py

    def characters(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), "S1")

    with h5py.File(folder / "a.ims", "w") as file:
        for channel in range(2):
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint 0/Channel {channel}")
            padded = np.pad(STACK, ((0, 0), (0, 4), (0, 0)))
            group.create_dataset("Data", data=padded, chunks=(2, 8, 8), compression="gzip")
            for axis, n in zip("ZYX", STACK.shape, strict=True):
                group.attrs[f"ImageSize{axis}"] = characters(str(n))
            info = file.create_group(f"DataSetInfo/Channel {channel}")
            info.attrs["Color"] = characters("1.000 0.502 0.000")
            info.attrs["ColorRange"] = characters("10.000 200.000")
        image = file.create_group("DataSetInfo/Image")
        for number, length in enumerate((8, 6, 8)):
            image.attrs[f"ExtMin{number}"] = characters("0")
            image.attrs[f"ExtMax{number}"] = characters(str(length))
    yield folder / "a.ims"


def bdv(folder: Path) -> Iterator[Path]:
    import h5py

    path = folder / "a.bdv"
    path.mkdir()
    with h5py.File(path / "a.h5", "w") as file:
        for setup in range(2):
            file[f"s{setup:02}/resolutions"] = np.ones((1, 3))
            voxels = STACK.view(np.int16)
            file.create_dataset(f"t00000/s{setup:02}/0/cells", data=voxels, chunks=(2, 8, 8))
    setups = "".join(
        f"<ViewSetup><id>{setup}</id><voxelSize><unit>um</unit><size>0.5 0.5 2.0</size></voxelSize>"
        f"<attributes><channel>{setup}</channel><angle>0</angle></attributes></ViewSetup>"
        for setup in range(2)
    )
    (path / "a.xml").write_text(
        '<SpimData version="0.2"><SequenceDescription><ImageLoader format="bdv.hdf5">'
        f'<hdf5 type="relative">a.h5</hdf5></ImageLoader><ViewSetups>{setups}</ViewSetups>'
        "</SequenceDescription></SpimData>",
        encoding="utf-8",
    )
    yield path


def check_project(path: Path) -> None:
    check_volume(path / "a.xml")
