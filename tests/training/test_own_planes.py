"""Training for the planes that will be restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isoslice.data.profile import POINT, Profile
from isoslice.data.volume import Volume
from isoslice.models.config import (
    ModelConfig,
    NetworkSettings,
    OwnPlanes,
    StoredProfile,
    TrainingSettings,
)
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.training.own_planes import (
    MEASURED_SHARE,
    POINTS_SHARE,
    for_planes,
    that_fit,
    with_stored,
)

SIZE = {"Z": 2.0, "Y": 0.4, "X": 0.4}
STACK = Volume(np.zeros((3, 40, 40), np.uint8), "ZYX", SIZE, "micrometer")
STORED = StoredProfile(
    profile=Profile("slab", 2.4), spacings=(2.0,), unit="micrometer", told="slab of 2.4 µm"
)


def test_planes_are_those_of_the_stack_in_rows():
    settings = with_stored(TrainingSettings(), STORED, STACK)
    assert settings.own_planes is not None
    assert settings.own_planes.distance == pytest.approx(5)
    assert settings.own_planes.profile.width == pytest.approx(6)
    assert settings.measured_share == MEASURED_SHARE
    # The same planes are fewer rows apart where rows are wider.
    wide = with_stored(TrainingSettings(row_spacing=2.0), STORED, STACK)
    assert wide.own_planes is not None
    assert wide.own_planes.distance == pytest.approx(2.5)
    assert wide.own_planes.profile.width == pytest.approx(3)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        STORED.updated(profile=None),
        STORED.updated(spacings=(2.0, 3.0)),
        STORED.updated(unit="millimeter"),
        STORED.updated(spacings=(0.4,)),
        STORED.updated(spacings=(30.0,)),
    ],
    ids=["none", "cannot tell", "spacings", "unit", "isotropic", "too far apart"],
)
def test_what_is_no_stack_of_its_own_changes_nothing(stored):
    settings = TrainingSettings()
    assert with_stored(settings, stored, STACK) is settings


def test_images_without_the_size_of_pixels_change_nothing():
    settings = TrainingSettings()
    unsized = Volume(np.zeros((3, 40, 40), np.uint8), "ZYX", {"Z": 2.0}, "micrometer")
    assert with_stored(settings, STORED, unsized) is settings


def test_crops_without_room_for_two_planes_have_none():
    settings = TrainingSettings(crop=16)
    far = with_stored(settings, STORED.updated(spacings=(6.0,)), STACK)  # 15 rows apart
    assert far.own_planes is not None
    assert that_fit(far) == settings
    near = that_fit(with_stored(settings, STORED.updated(spacings=(5.6,)), STACK))
    assert near.own_planes is not None
    config = ModelConfig(network=NetworkSettings(measured=True), training=near, sigma_data=0.1)
    made = draw_example(torch.rand(40, 1, 16, 16), config, torch.Generator().manual_seed(0))
    assert torch.isfinite(made.base).all()


def test_points_on_output_planes_are_learned_from_as_rows_that_are_known():
    settings = for_planes(TrainingSettings(), (0.0, 4.0, 12.0), POINT)
    assert settings == TrainingSettings(measured_share=POINTS_SHARE)
    assert with_stored(TrainingSettings(), STORED.updated(profile=POINT), STACK) == settings


def test_points_between_output_planes_are_learned_from_as_they_lie():
    own = for_planes(TrainingSettings(), (0.0, 4.83, 9.66), POINT).own_planes
    assert own == OwnPlanes(distance=4.83, profile=POINT)
    uneven = for_planes(TrainingSettings(), (0.0, 3.5, 7.9, 12.3), POINT).own_planes
    assert uneven is not None
    assert not uneven.even
    assert uneven.distance == pytest.approx(4.4)


def test_what_is_settled_already_is_kept():
    settled = for_planes(TrainingSettings(), (0.0, 4.0, 8.0), POINT)
    points = STORED.updated(profile=POINT, spacings=(1.76,))  # 4.4 rows apart
    assert with_stored(settled, points, STACK) is settled


def test_own_planes_that_are_given_are_kept():
    given = TrainingSettings(own_planes=OwnPlanes(distance=3, profile=POINT))
    assert for_planes(given, (0.0, 4.83), POINT) is given


def test_half_of_the_measured_examples_have_own_planes():
    settings = with_stored(TrainingSettings(), STORED, STACK)
    config = ModelConfig(network=NetworkSettings(measured=True), training=settings, sigma_data=0.1)
    made = draw_example(torch.rand(40, 1, 64, 64), config, torch.Generator().manual_seed(0))
    assert made.measured is not None
    own = torch.isclose(made.measured[:, 0], torch.tensor(6 / 12**0.5))
    assert own.tolist() == [False] * 26 + [True] * 14
