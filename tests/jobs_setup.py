"""What tests of `isoslice.inference.engine` share: a small model, a run, what it wrote."""

import numpy as np
import torch

from isoslice import write_volume
from isoslice.data.volume import Volume
from isoslice.inference.engine.begin import Request
from isoslice.inference.engine.run import How, restore_on_disk
from isoslice.inference.model import Model
from isoslice.inference.passes import BATCH_PIXELS
from isoslice.io import read_volume
from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.networks.denoiser import Denoiser
from isoslice.runtime.progress import Progress

SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


def small_model(path, channels=1):
    torch.manual_seed(0)
    shape = NetworkSettings(channels=channels, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    network = Denoiser(channels, shape.widths, shape.blocks_down, shape.blocks_up).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    Model(ModelConfig(sigma_data=0.1, network=shape), network).save(path)


def small_request(folder, monkeypatch):
    """28 tasks: five passes of 5 and 4 slabs in turn, gains, 4 blocks."""
    small_model(folder / "m.model")
    data = np.random.default_rng(0).integers(0, 255, (8, 58, 47)).astype(np.uint8)
    write_volume(folder / "stack.ome.zarr", Volume(data, "ZYX", SPACING, "micrometer"))
    monkeypatch.setattr("isoslice.inference.engine.begin.BLOCK", 32)
    for kind in BATCH_PIXELS:  # the same tasks on a machine with a GPU
        monkeypatch.setitem(BATCH_PIXELS, kind, 29 * 58 * 4)
    return Request(
        folder / "stack.ome.zarr",
        folder / "m.model",
        folder / "out.ome.zarr",
        threads=2,
        slab=12,
    )


def run(request, **how):
    return restore_on_disk(request, How(**how), Progress())


def voxels(path):
    return read_volume(path).data


def files(path):
    """All of an image's files and what is in them, but for when it was made."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
