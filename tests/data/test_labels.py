"""Label images are told from images of intensities."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from conftest import texture
from isoslice.data.labels import label_messages, looks_like_labels


def labels(size=6.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(5, 96, 96))
    return label(gaussian_filter(noise, (1, size, size)) > 0.02)[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_labels_and_masks(dtype):
    assert looks_like_labels(labels().astype(dtype))
    assert looks_like_labels((labels() > 0).astype(dtype))


def test_images():
    grey = texture(5, 96, 96)
    assert not looks_like_labels(grey)
    assert not looks_like_labels(np.where(labels() > 0, grey, 0))
    assert not looks_like_labels(np.random.default_rng(0).poisson(0.3, (5, 96, 96)).astype("uint8"))
    assert not looks_like_labels(np.full((5, 9, 9), 7))
    assert not looks_like_labels(labels() / 3)


def test_the_channel_is_named():
    both = np.stack([texture(5, 96, 96), labels().astype(np.uint8)])
    (message,) = label_messages(both)
    assert message.startswith("channel 1: this looks like an image of labels")


def test_of_large_planes_pieces_are_enough():
    areas = np.kron(np.arange(1, 82).reshape(9, 9), np.ones((150, 150), np.int32)).astype("uint16")
    assert len(label_messages(np.stack([areas, areas])[None])) == 1
    noisy = texture(1, 1350, 1350).astype("uint16")
    assert label_messages(noisy[None]) == []
