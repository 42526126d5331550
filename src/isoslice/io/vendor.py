"""Reading microscope vendors' formats (CZI, ND2, LIF) through bioio (an extra)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isoslice.io.extras import require
from isoslice.io.failure import reading
from isoslice.io.raw import Raw
from isoslice.volume import AXES


def read_vendor(path: Path, series: str | None = None) -> Raw:
    """Read the first scene of a vendor's file.

    bioio always gives five dimensions; those of length 1 are dropped (Y and X are not). Its
    pixel sizes are in micrometres.

    Raises
    ------
    DataError
        If bioio or the reader of this format is not installed, or the file is damaged.
    """
    kind = path.suffix.lower()
    packages = f"bioio bioio-{kind[1:]}"
    bioio = require("bioio", packages, f"a {kind} file", path=path)
    # bioio itself would tell of every reader that is not installed.
    require(f"bioio_{kind[1:]}", packages, f"a {kind} file", path=path)
    with reading(path, f"a {kind} file by bioio", "copy it again, or export it as OME-TIFF"):
        image = bioio.BioImage(path)
        data, axes = np.asarray(image.data), str(image.dims.order)
        sizes = image.physical_pixel_sizes
        names = tuple(str(name) for name in image.channel_names or [])
    for index in reversed(range(data.ndim)):
        if axes[index] in AXES[:3] and data.shape[index] == 1:
            data, axes = np.squeeze(data, index), axes[:index] + axes[index + 1 :]
    steps = {"Z": sizes.Z, "Y": sizes.Y, "X": sizes.X}
    spacing = {axis: float(step) for axis, step in steps.items() if step and step > 0}
    return Raw(data, axes, spacing, "micrometer" if spacing else None, names or None)
