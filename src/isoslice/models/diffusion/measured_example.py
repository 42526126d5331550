"""Training examples whose planes are no rows: blurred, noisy, anywhere, as `data.measurement` says.

Rows of an image stand for the volume along Z. From these, planes are measured at drawn positions
through a drawn slice profile, noise is added, and what is interpolated between them is the base.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoslice.models.diffusion.drawn_planes import DrawnPlanes
from isoslice.models.diffusion.variance_stabilization import Softening, stretch
from isoslice.runtime.randomness import normal


def measure(
    images: Tensor, drawn: DrawnPlanes, softening: Softening, generator: torch.Generator
) -> Tensor:
    """Measure planes of images (N, C, H, W), and interpolate: the base, stretched, same shape.

    In single precision: rounding in half precision would be noise that networks are not told.
    """
    count, channels, height, width = images.shape
    weights = drawn.weights.to(images.device)
    columns = images.transpose(1, 2).reshape(count, height, channels * width)
    with torch.autocast(images.device.type, enabled=False):
        planes = torch.bmm(weights, columns)
        noise = normal(planes.shape, generator, images.device)
        planes = planes + drawn.noise.to(images.device)[:, None, None] * noise
        planes = planes.view(count, -1, channels, width).transpose(1, 2)
        planes = stretch(planes, softening)
    lower = drawn.lower.to(images.device)[:, None, :, None].expand_as(images)
    share = drawn.share.to(images.device)[:, None, :, None]
    return torch.lerp(planes.gather(2, lower), planes.gather(2, lower + 1), share)


def levels(drawn: DrawnPlanes, sigma_data: float | Tensor) -> Tensor:
    """Return what the network is told of planes, (N, 2); see `edm.denoise`.

    The noise that images have of their own counts as structure, of which planes see what the
    profile leaves.
    """
    return torch.stack([drawn.deviation, drawn.noise / sigma_data], dim=1)
