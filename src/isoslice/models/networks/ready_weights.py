"""Weights that are scaled and cast once for many batches, not for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from isoslice.models.networks.denoiser import Denoiser, MPConv


@contextmanager
def ready_weights(network: object, dtype: torch.dtype) -> Iterator[None]:
    """Have the weights of denoisers at hand in the precision in which they compute.

    With the same bits as without; but for those that the noise level scales, too. Within the block
    they are not to be trained; threads may share them.

    Parameters
    ----------
    network
        A denoiser, or what holds one; of anything else nothing is changed.
    dtype
        What convolutions compute in there.
    """
    modules = network.modules() if isinstance(network, nn.Module) else ()
    denoisers = [module for module in modules if isinstance(module, Denoiser)]
    for denoiser in denoisers:
        weights: dict[nn.Module, Tensor] = {}
        with torch.inference_mode():
            for layer in denoiser.modules():
                if isinstance(layer, MPConv):
                    weights[layer] = (layer.weight * layer.scale).to(dtype)
        denoiser.ready = {dtype: weights}
    try:
        yield
    finally:
        for denoiser in denoisers:
            denoiser.ready = {}
