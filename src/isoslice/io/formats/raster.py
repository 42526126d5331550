"""Reading 2D images (PNG, JPEG, BMP) through imageio, for training."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.limits import DEFLATE_RATIO, check_memory, check_packed

#: Pillow's limit, repeated here since other code may lift Pillow's.
MAX_PIXELS = 178_956_970


def read_picture(path: Path, series: str | None = None) -> Raw:
    """Read a 2D image, grey or colour, without spacing; transparency is dropped.

    Raises
    ------
    DataError
        If the file is damaged or cut off.
    """
    import imageio.v3 as iio

    with reading(path, "a PNG, JPEG or BMP image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check(path)
        data = np.asarray(iio.imread(path, index=0, plugin="pillow"))
    if data.dtype == np.int32 and data.size and data.min() >= 0 and data.max() < 2**16:
        # Pillow widens 16-bit grey to 32 bits.
        data = data.astype(np.uint16)
    if data.ndim == 2:
        return Raw(data, "YX")
    if data.ndim == 3 and data.shape[2] in (2, 4):
        data = data[..., :-1]
    if data.ndim == 3 and data.shape[2] == 1:
        return Raw(data[..., 0], "YX")
    return Raw(data, "YXS" if data.ndim == 3 else "Q" * data.ndim)


def _check(path: Path) -> None:
    """Refuse other formats, whatever the suffix, and more pixels than the file can hold.

    Pillow detects formats by content, and some of them start other programs (EPS).
    """
    from PIL import Image

    with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
        width, height = image.size
        bands, deflated = len(image.getbands()), image.format == "PNG"
    if width * height > MAX_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels, expected up to {MAX_PIXELS}")
    check_memory(path, (height, width, bands), np.int32)
    if deflated:
        # Uncompressed, a pixel has at least one bit.
        check_packed(path, height * (width // 8), path.stat().st_size, DEFLATE_RATIO)
