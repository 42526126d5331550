"""Measured planes come out as they went in, bit for bit: any recipe, mode, type, factor, format."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Cli, texture, write_stack
from isoslice.inference.model import Model
from isoslice.io import read_volume
from isoslice.models.config import (
    DistilledSettings,
    EndToEndConfig,
    MaskedTraining,
    ModelConfig,
    MsdsrConfig,
    NetworkSettings,
    UNetSettings,
)
from isoslice.models.networks.factory import build_network

#: Recipes, and what each may be asked for.
OPTIONS = {
    "isoslice": [{"mode": "mean"}, {"mode": "sample", "steps": 3}, {"detail": 0.5, "steps": 3}],
    "stretched": [{"mode": "mean"}, {"mode": "sample", "steps": 3}],
    "fixed": [{"mode": "mean"}],
    "distilled": [{"mode": "sample"}],
    "msdsr": [{"steps": 2}, {"steps": 2, "direction": "XZ"}],
    "end-to-end": [{}, {"direction": "YZ"}],
}


@functools.cache
def model(recipe: str, channels: int) -> Model:
    """A network with random weights: what it fills in is nonsense, and large."""
    torch.manual_seed(0)
    own = NetworkSettings(channels=channels, widths=(8, 8), blocks_down=(1, 1), blocks_up=(1, 1))
    shape = UNetSettings(
        channels=channels, width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4
    )
    training = MaskedTraining(crop=16, hidden_rows=(2, 12))
    config = {
        "isoslice": ModelConfig(network=own, sigma_data=0.3),
        "stretched": ModelConfig(network=own, sigma_data=0.3, softening=0.3),
        "fixed": ModelConfig(network=own, sigma_data=0.3, intensities=(3.0, 77.0)),
        "distilled": ModelConfig(network=own, sigma_data=0.3, distilled=DistilledSettings()),
        "msdsr": MsdsrConfig(network=shape, training=training),
        "end-to-end": EndToEndConfig(network=shape, training=training),
    }[recipe]
    network = build_network(config).eval().requires_grad_(False)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return Model(config, network)


@st.composite
def stacks(draw):
    """Voxels of any type and range, (T, C, Z, Y, X)."""
    sizes = ((1, 2), (1, 3), (2, 4), (8, 17), (8, 17))
    shape = tuple(draw(st.integers(*least_and_most)) for least_and_most in sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(["uint8", "uint16", "float32", "float64"])))
    if dtype.kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    scale = 10.0 ** draw(st.integers(-6, 6))
    return (scale * (rng.normal(size=shape) + draw(st.integers(-100, 100)))).astype(dtype)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(stack=stacks(), factor=st.integers(2, 5), blur=st.booleans(), data=st.data())
def test_whatever_is_asked(stack, factor, blur, data):
    recipe = data.draw(st.sampled_from(sorted(OPTIONS)))
    options = data.draw(st.sampled_from(OPTIONS[recipe]))
    made = model(recipe, stack.shape[1]).predict(
        stack, "TCZYX", (factor, 1, 1), factor, blur=blur, device="cpu", **options
    )
    assert made.volume.dtype == stack.dtype
    assert made.volume[:, :, ::factor].tobytes() == stack.tobytes()
    between = np.delete(made.volume, np.s_[::factor], axis=2)
    assert np.isfinite(between).all()
    assert len(np.unique(between)) > 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif", ".tif", ".nii.gz", ".npy"])
def test_in_the_file_that_is_written(
    cli: Cli, model_folder: Path, tmp_path: Path, suffix: str, dtype: str
):
    if suffix == ".nii.gz":
        pytest.importorskip("nibabel")
    data = (texture(4, 40, 44, dtype="float64") * 1.37).astype(dtype)
    stack = write_stack(tmp_path / "stack.ome.tif", data, voxel_size=(3, 1, 1))
    out = tmp_path / f"out{suffix}"
    ran = cli("predict", stack, "-q", "-m", model_folder, "-o", out, "--mode", "mean")
    assert (ran.code, ran.err) == (0, [])
    found = read_volume(out)
    assert found.data.dtype == np.dtype(dtype)
    planes = np.ascontiguousarray(found.tczyx()[0, 0, ::3])
    assert planes.tobytes() == data.tobytes()
