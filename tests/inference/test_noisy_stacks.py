"""Stacks with another amount of noise than the images that a model learned from."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.noise_range import some_of
from isoslice.data.normalization import measure_stack
from isoslice.data.planes import PlaneStack, plane_stacks
from isoslice.data.volume import Volume
from isoslice.inference.inspection import some_planes
from isoslice.runtime.progress import Progress
from isoslice.training.distillation import as_the_teacher_learned
from isoslice.training.statistics import residual_statistics
from tiny_training import SETTINGS

SIZE = (4.0, 1.0, 1.0)
pytestmark = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


class Notes(Progress):
    """Keeps notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        """Keep one."""
        self.notes.append(text)


def test_a_noisy_stack_is_restored_as_bright_as_one_without_noise(tiny_model):
    rng = np.random.default_rng(5)
    shape = gaussian_filter(rng.normal(size=(33, 64, 64)), 4)
    truth = np.where(shape > 0, 60.0 + 800 * shape, 0.0).clip(0, 200)
    planes = (truth[::4] + 8 * rng.normal(size=(9, 64, 64))).astype(np.float32)
    learned = replace(tiny_model, config=tiny_model.config.updated(noise=(0.001,)))
    earlier = replace(tiny_model, config=tiny_model.config.updated(noise=None))
    lows, told = [], []
    for model in (learned, earlier):
        progress = Notes()
        restored = model.predict(planes, "ZYX", SIZE, mode="mean", progress=progress)
        lows.append(restored.provenance["normalization"]["low"][0])
        told.append(any("more noise (" in note for note in progress.notes))
        np.testing.assert_array_equal(restored.volume[::4], planes)
    assert lows[0] > lows[1] + 10  # of 24
    assert lows[1] == pytest.approx(np.percentile(planes, 0.1))
    assert told == [True, False]


def test_training_measures_the_noise_of_its_images(tiny_model):
    rng = np.random.default_rng(6)
    smooth = 128 + 40 * gaussian_filter(rng.normal(size=(4, 64, 64)), (0, 4, 4)) * 14
    images = (smooth + 5 * rng.normal(size=smooth.shape)).astype(np.float32)
    learned = residual_statistics(plane_stacks([Volume(images, "ZYX")]), SETTINGS)
    teacher = tiny_model.config.updated(**learned)
    low, high = np.percentile(images, (0.1, 99.9))
    assert teacher.noise == pytest.approx([5 / (high - low)], rel=0.15)
    # Of noisier images a teacher is shown what it would make of them.
    noisier = (smooth + 15 * rng.normal(size=smooth.shape)).astype(np.float32)
    (stack,) = plane_stacks([Volume(noisier, "ZYX")])
    seen = as_the_teacher_learned(stack, teacher).normalization
    assert seen.low[0] > stack.normalization.low[0] + 5
    assert seen.high[0] < stack.normalization.high[0] - 5
    single = PlaneStack(stack.data[:1], stack.normalization)  # as bright as others are
    assert as_the_teacher_learned(single, teacher) is single
    told_nothing = teacher.updated(noise=None)
    assert as_the_teacher_learned(stack, told_nothing) is stack


def test_fixed_intensities_stay_as_they_are(tiny_model):
    planes = np.random.default_rng(7).normal(0.5, 0.1, (5, 48, 48)).astype(np.float32)
    config = tiny_model.config.updated(noise=(0.0,), intensities=(0.0, 1.0))
    restored = replace(tiny_model, config=config).predict(planes, "ZYX", SIZE, mode="mean")
    assert restored.provenance["normalization"]["low"] == (0.0,)
    assert restored.provenance["normalization"]["high"] == (1.0,)


def test_pieces_of_large_planes_are_read_as_those_of_training_planes_are_taken():
    planes = np.random.default_rng(8).integers(-900, 900, (9, 40, 1100), np.int16)
    seen = some_planes(Volume(planes, "ZYX"), measure_stack(planes[None, None], "it")[1])
    np.testing.assert_array_equal(seen, some_of(planes[:, None]))
    assert seen.shape == (1, 8, 40, 1024)
