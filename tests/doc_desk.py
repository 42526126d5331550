"""A folder with the files that the documentation's commands name, and these made short."""

from __future__ import annotations

import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile

import isoslice
from conftest import texture, write_stack
from isoslice.data.volume import Volume
from tiny_training import quickly

#: Commands that take --minutes, and where the time is left out how long they take.
TIMED = ("train", "distill")
#: Options whose value is written to.
OUTPUTS = ("-o", "--output", "--report", "--json")
#: Where --minutes stands for the adaptation: half a second of it.
SHORT = "0.01"


def lay_out(desk: Path) -> None:
    """Write all files; those of three-dimensional images belong together."""
    desk.mkdir()
    micro, milli = {"Z": 2.8, "Y": 0.7, "X": 0.7}, {"Z": 4.0, "Y": 1.0, "X": 1.0}
    fine = texture(173, 40, 40)
    size = (0.7, 0.7, 0.7)
    write_stack(desk / "STACK.tif", fine[::4], voxel_size=(2.8, 0.7, 0.7))
    for name in ("TRUTH.tif", "MEAN.tif", "OUT.tif"):
        write_stack(desk / name, fine, voxel_size=size)
    even = dict(zip("ZYX", size, strict=True))
    isoslice.write_volume(desk / "RESTORED.ome.zarr", Volume(fine, "ZYX", even, "micrometer"))
    big = Volume(fine[:49:4], "ZYX", micro, "micrometer")
    isoslice.write_volume(desk / "BIG.ome.zarr", big)
    head = Volume(fine[:49:4], "ZYX", milli, "millimeter")
    for name in ("CT.nii.gz", "STACK.nii.gz"):
        isoslice.write_volume(desk / name, head)
    for folder, suffix in (("IMAGES", "png"), ("MORE", "tif")):
        (desk / folder).mkdir()
        for number in range(4):
            image = texture(1, 64, 64, seed=number)[0]
            path = desk / folder / f"{number}.{suffix}"
            if suffix == "png":
                iio.imwrite(path, image)
            else:
                tifffile.imwrite(path, image)
    for name in ("Z.txt", "z.txt"):
        (desk / name).write_text("\n".join(str(2.8 * plane) for plane in range(44)))
    model = isoslice.train(np.asarray(fine[::4]), axes="ZYX", voxel_size=(2.8, 0.7, 0.7), steps=2)
    model.save(desk / "MODEL")
    quickly("msdsr", steps=1).save(desk / "SMALL")


def shortened(command: str) -> list[str]:
    """Split a command into words, its time made short.

    >>> shortened("isoslice train A/ -o M --minutes 20")
    ['train', 'A/', '-o', 'M', '--steps', '1']
    """
    words = shlex.split(command)[1:]
    adapts = words[0] == "predict" and not {"-m", "--model"} & set(words)
    if "--minutes" in words:
        at = words.index("--minutes")
        if words[at + 1] != "0":
            words[at + 1] = SHORT
            if words[0] in TIMED:
                words[at : at + 2] = ["--steps", "1"]
    elif words[0] in TIMED:
        words += ["--steps", "1"]
    elif adapts:
        words += ["--minutes", SHORT]
    if words[0] == "slicefid":
        words.append("--light")  # without the weights of a network
    if "SMALL" in words and words[0] == "predict":  # the paper's recipe takes 200
        words = [*words, *([] if "--steps" in words else ["--steps", ""])]
        words[words.index("--steps") + 1] = "2"
    return words


def clear(desk: Path, words: list[str]) -> None:
    """Remove what a command will write."""
    for option, value in pairwise(words):
        if option in OUTPUTS:
            stem, dot, _ = value.partition(".")
            names = [
                value,
                f"{value}.*",
                *([f"{stem}.{made}*" for made in ("std", "sample", "model")] if dot else []),
            ]
            for path in [found for name in names for found in desk.glob(name)]:
                if path.suffix != ".zip" or path.name == value:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
