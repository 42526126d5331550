"""Agreement with the released MSDSR code: recorded numbers of commit b2697d2, random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from isoslice.models.diffusion.ddim import cosine_alphas_cumprod, ddim_coefficients
from isoslice.models.diffusion.masked import ddim
from isoslice.models.networks.unet import UNet

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
SCHEDULE = np.load(Path(__file__).parents[1] / "data" / "msdsr_schedule.npz")

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="no shared folder beside the checkout"
)


def largest(difference: torch.Tensor, reference: torch.Tensor) -> float:
    return float(difference.abs().max() / reference.abs().max())


@pytest.fixture(scope="module")
def numbers():
    return np.load(REFERENCE / "msdsr_reference.npz")


@pytest.fixture(scope="module")
def network():
    stored = load_file(REFERENCE / "msdsr_reference_unet_w32.safetensors")
    weights = {k.removeprefix("model.diffusion_model."): v.float() for k, v in stored.items()}
    unet = UNet(3, 32, (1, 2, 3, 4), 2, (2, 4, 8), 32).eval()
    unet.load_state_dict(weights)
    return unet


def test_schedule():
    ours = cosine_alphas_cumprod(1000)
    np.testing.assert_allclose(ours, SCHEDULE["alphas_cumprod"], rtol=1e-6, atol=0)


def test_ddim_coefficients():
    ours = ddim_coefficients(200, eta=1.0)
    np.testing.assert_array_equal(ours.timesteps, SCHEDULE["ddim200_timesteps"])
    for name in ("alphas", "alphas_prev", "sigmas"):
        np.testing.assert_allclose(getattr(ours, name), SCHEDULE[f"ddim200_{name}"], atol=1e-6)


@pytest.mark.shared
@needs_reference
@torch.inference_mode()
def test_network_output(network, numbers):
    ours = network(torch.from_numpy(numbers["unet_x"]), torch.from_numpy(numbers["unet_t"]))
    reference = torch.from_numpy(numbers["unet_y"])
    assert largest(ours - reference, reference) < 1e-4


@pytest.mark.shared
@needs_reference
@torch.inference_mode()
def test_sampling_trajectory(network, numbers):
    rows, noise = numbers["row_index"], torch.from_numpy(numbers["sampler_noise"])
    known = torch.zeros_like(noise[0])
    known[:, :, rows] = torch.from_numpy(numbers["rows"])
    masks = torch.zeros(1, known.shape[2], dtype=torch.bool)
    masks[:, rows] = True
    ours = ddim(network, known, masks, ddim_coefficients(10, 1.0), lambda step: noise[step])
    reference = torch.from_numpy(numbers["sampler_out"])
    assert largest(ours - reference, reference) < 1e-3
    # The released sampler leaves its last noise on the measured rows too.
    assert not torch.allclose(ours[:, :, rows], known[:, :, rows], atol=1e-3)
