"""Stacks with holes, lost planes and other coarse axes: out of core as in memory."""

from dataclasses import replace

import numpy as np
import pytest

from isoslice import read_volume, write_volume
from isoslice.data.coarse import turned
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from jobs_setup import SPACING, run, small_model, voxels


def noisy(*shape, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(1, 120, shape).astype(dtype)


def holed():
    data = noisy(8, 58, 47, dtype="float32")
    data[:, :20] = np.nan
    data[3, 30:45] = np.inf
    data[2:4, 50:] = np.nan
    return Volume(data, "ZYX", SPACING)


def lost():
    data = noisy(2, 8, 58, 47)
    data[0, 3] = data[0, 5] = data[0, 6] = 0
    return Volume(data, "TZYX", SPACING)


def saturated():
    """A plane lost as white, and a voxel far beyond all others at one time point."""
    data = noisy(2, 8, 58, 47, dtype="float32")
    data[0, 3] = 1e9
    data[1, 2, 40, 40] = 1e9
    return Volume(data, "TZYX", SPACING)


def padded():
    data = noisy(8, 58, 47, dtype="int16") + 1000
    data[:, :30] = -32768
    data[5:, 45:] = -32768
    return Volume(data, "ZYX", SPACING)


def masked():
    data = noisy(8, 58, 47, dtype="int16") - 60
    data[:, :30] = -1000
    data[5:, 45:] = -1000
    return Volume(data, "ZYX", SPACING)


def sagittal():
    stack = Volume(noisy(8, 58, 47, dtype="uint16"), "ZYX", SPACING, "micrometer")
    return turned(stack, "X")


def channels():
    return Volume(noisy(2, 8, 50, 47), "CZYX", SPACING)


@pytest.mark.parametrize("make", [holed, lost, saturated, padded, masked, sagittal, channels])
@pytest.mark.parametrize("mode", ["sample", "mean"])
def test_the_same_voxels_as_in_memory(request_, make, mode):
    stack = make()
    write_volume(request_.stack, stack, overwrite=True)
    stored = read_volume(request_.stack)
    run(replace(request_, options=PredictOptions(mode=mode)))
    expected = Model.load(request_.model).predict(stored, mode=mode)
    found = read_volume(request_.output)
    assert found.axes == expected.axes
    np.testing.assert_array_equal(found.data, expected.volume)
    assert found.voxel_size == pytest.approx((0.5, 0.5, 0.5))
    assert found.provenance.get("lost_planes") == expected.provenance.get("lost_planes")
    assert found.provenance.get("along") == expected.provenance.get("along")


@pytest.mark.slow
def test_workers_restore_channels_one_by_one(request_, tmp_path):
    write_volume(request_.stack, channels(), overwrite=True)
    run(request_)
    two = replace(request_, output=tmp_path / "two.ome.zarr")
    for part in ((1, 2), (2, 2)):
        run(two, part=part)
    np.testing.assert_array_equal(voxels(two.output), voxels(request_.output))


def test_a_model_of_other_channels_is_refused(request_, tmp_path):
    small_model(tmp_path / "two.model", channels=2)
    with pytest.raises(DataError, match="1 channel"):
        run(replace(request_, model=tmp_path / "two.model"))
