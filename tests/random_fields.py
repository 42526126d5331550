"""Random fields, alike in all directions, and what is learned from them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from isoslice.data.planes import plane_stacks, split
from isoslice.data.volume import Volume
from isoslice.models.reliability.out_of_distribution import learn_reference, score


def field(*shape, sigma=2.0, noise=0.1, seed=0):
    """A random field, alike along all axes, of deviation 1, with noise; uint8 or so."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), sigma)
    made = smooth / smooth.std() + noise * rng.normal(size=shape)
    return (128 + 32 * made).clip(0, 255).astype(np.uint8)


def volume(data, axes="ZYX", size=None):
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    return Volume(data, axes, spacing, "nanometer" if size else None)


def learned(*stacks, aside=0.2):
    train, held = split(plane_stacks([volume(stack) for stack in stacks]), aside, 0)
    return learn_reference(train, held)


def seen(stack, familiar):
    (one,) = plane_stacks([volume(stack)])
    planes = one.normalization.apply(one.data[:, 0][None])
    (found,) = score(familiar, [planes])
    return found


def pieces_of(data):
    return [(data / 255).astype(np.float32)[None]]
