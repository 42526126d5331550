"""Previews are what the restoration gives: bit for bit where they see all of the stack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import texture  # noqa: E402
from isoslice.data.volume import Volume  # noqa: E402
from isoslice.inference.model import Model  # noqa: E402
from isoslice.models.config import DistilledSettings  # noqa: E402
from isoslice.runtime.progress import Progress  # noqa: E402
from isoslice.viewer.compute.prepare import prepare_stack  # noqa: E402
from isoslice.viewer.compute.preview import DIAL, Extent, preview_slabs  # noqa: E402
from isoslice.viewer.messages import Settings  # noqa: E402

CPU = torch.device("cpu")
ALL = Extent(1000, 1000, 1000)
pytestmark = pytest.mark.filterwarnings("ignore::isoslice.errors.IsosliceWarning")


@pytest.fixture(scope="module")
def pretrained():
    return Model.pretrained()


def stack(*shape, axes="ZYX", spacing=(3.0, 1.0, 1.0), seed=0):
    size = dict(zip("ZYX", spacing, strict=True))
    return Volume(texture(*shape, seed=seed), axes, size, "micrometer")


def slabs(volume, model, at, extent=ALL, settings=None):
    settings = settings or Settings()
    prepared = prepare_stack(volume, model, settings, Progress())
    return preview_slabs(prepared, at, extent, CPU, Progress())


def test_a_preview_of_all_is_the_restoration_at_every_place_of_the_dial(pretrained):
    volume = stack(5, 20, 24)
    xz, yz = slabs(volume, pretrained, {"Z": 2, "Y": 7, "X": 11})
    for place in (0, 9, 20):
        made = pretrained.predict(volume, detail=DIAL[place]).volume
        np.testing.assert_array_equal(xz.restored[place], made[:, 7])
        np.testing.assert_array_equal(yz.restored[place], made[:, :, 11])
    assert (xz.axes, xz.first, yz.axes, yz.first) == ("XZ", (0, 7), "YZ", (0, 11))


def test_measured_rows_are_the_stacks_and_said_to_be(pretrained):
    volume = stack(5, 20, 24)
    xz, yz = slabs(volume, pretrained, {"Y": 7, "X": 11})
    assert np.flatnonzero(xz.measured).tolist() == [0, 3, 6, 9, 12]
    for slab, measured in ((xz, volume.data[:, 7]), (yz, volume.data[:, :, 11])):
        np.testing.assert_array_equal(slab.linear[slab.measured], measured)
        for restored in slab.restored:
            np.testing.assert_array_equal(restored[slab.measured], measured)


def test_a_part_shows_the_same_detail_as_the_whole(pretrained):
    """Noise lies at its true place: without that, detail would not correlate at all."""
    volume = stack(9, 64, 96)
    (xz, yz) = slabs(volume, pretrained, {"Z": 5, "Y": 40, "X": 60}, Extent(24, 64, 16))
    assert xz.first == (28, 40)
    assert yz.first == (0, 60)
    mean, sample = (pretrained.predict(volume, detail=d).volume.astype(float) for d in (0, 1))
    # The planes 2 to 7 are those around plane 5 that 16 output planes hold.
    place = (slice(6, 22), 40, slice(28, 92))
    np.testing.assert_array_equal(xz.restored[-1][xz.measured], sample[place][xz.measured])
    theirs = (sample - mean)[place][~xz.measured]
    ours = (xz.restored[-1].astype(float) - xz.restored[0])[~xz.measured]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.5


def test_each_channel_and_time_point_is_shown_by_itself(pretrained):
    volume = stack(2, 2, 4, 18, 20, axes="TCZYX", seed=3)
    (xz, _) = slabs(volume, pretrained, {"T": 1, "C": 1, "Y": 5, "X": 5})
    made = pretrained.predict(volume).volume
    np.testing.assert_array_equal(xz.restored[-1], made[1, 1, :, 5])


def test_lost_planes_are_none_of_the_measured_rows(pretrained):
    volume = stack(6, 20, 24)
    (xz, _) = slabs(volume, pretrained, {"Y": 7, "X": 11}, settings=Settings(missing="none,2"))
    assert np.flatnonzero(xz.measured).tolist() == [0, 3, 9, 12, 15]
    made = pretrained.predict(volume, missing="none,2").volume
    np.testing.assert_array_equal(xz.restored[-1], made[:, 7])


def test_a_stack_that_is_coarse_along_x_is_shown_by_its_own_names(pretrained):
    volume = stack(20, 24, 5, spacing=(1.0, 1.0, 3.0))
    (first, second) = slabs(volume, pretrained, {"Z": 4, "Y": 7, "X": 2})
    made = pretrained.predict(volume).volume
    assert (first.axes, second.axes) == ("ZX", "YX")
    np.testing.assert_array_equal(first.restored[-1], made[:, 7].T)
    np.testing.assert_array_equal(second.restored[-1], made[4].T)


def test_a_model_without_a_dial_shows_one_volume(pretrained):
    config = pretrained.config.model_copy(update={"distilled": DistilledSettings()})
    volume = stack(4, 18, 20)
    (xz, _) = slabs(volume, replace(pretrained, config=config), {"Y": 5, "X": 5})
    assert len(xz.restored) == 1
