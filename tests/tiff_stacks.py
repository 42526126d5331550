"""What tests of TIFF share: voxels, and an ImageJ stack as tifffile writes it."""

import numpy as np
import tifffile

STACK = np.arange(2 * 3 * 5 * 7, dtype=np.uint16).reshape(2, 3, 5, 7)


def imagej(path, data=STACK[0], axes="ZYX", **options):
    tifffile.imwrite(
        path, data, imagej=True, metadata={"axes": axes, **options.pop("meta", {})}, **options
    )
    return path
