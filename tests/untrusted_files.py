"""What tests of files made to harm share: an OME-Zarr image to damage, and a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from isoslice.errors import DataError
from isoslice.io import read_volume

STACK = np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16)


def ome_zarr(path: Path, data: np.ndarray = STACK, version: int = 2, **options) -> Path:
    group = zarr.create_group(path, zarr_format=version)
    options = {"chunks": data.shape, **options}
    group.create_array("0", shape=data.shape, dtype=data.dtype, **options)[...] = data
    listed = [{"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": "0"}]}]
    attributes = {"multiscales": listed}
    group.attrs.update(attributes if version == 2 else {"ome": attributes})
    return path


def edit(path: Path, **changes) -> None:
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8"
    )


def refused(path: Path, message: str, axes: str | None = None) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_volume(path, axes)
    assert "\n" not in str(caught.value)
