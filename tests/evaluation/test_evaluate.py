import dataclasses
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from isoslice.data.coarse import turned
from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.psnr import psnr
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.evaluate import SLICES, evaluate, evaluation_rows
from isoslice.evaluation.metrics import data_range_of, ssim

K = 3


@pytest.fixture(scope="module")
def truth() -> Volume:
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:16, :20, :24]
    data = 100 + 50 * np.sin(z / 2) * np.cos(y / 3 + x / 4) + rng.normal(0, 2, z.shape)
    return Volume(data.astype(np.float32), "ZYX", {"Z": 1.0, "Y": 1.0, "X": 1.0}, source="truth")


@pytest.fixture(scope="module")
def restored(truth: Volume) -> Volume:
    """What linear interpolation makes of every third plane."""
    planes = thin(truth.data, K)
    data = interpolate(planes, even_grid(len(planes), K))
    return Volume(data, "ZYX", truth.spacing, provenance={"factor": K}, source="out")


def test_scores_are_those_of_the_metrics(truth: Volume, restored: Volume) -> None:
    found = evaluate(truth, restored)
    true, ours = crop_to_grid(truth.data, K), restored.data
    peak = data_range_of(true)
    missing = ~even_grid(6, K).mask
    assert found.factor == K
    assert found.shape == (1, 1, 16, 20, 24)
    assert found.channels[0].data_range == pytest.approx(peak)
    assert found.mean.psnr == pytest.approx(psnr(ours, true, peak))
    assert found.mean.psnr_missing == pytest.approx(psnr(ours[missing], true[missing], peak))
    mean_psnr = np.mean([psnr(ours[:, y], true[:, y], peak) for y in range(20)])
    assert found.mean.slices["XZ"].psnr == pytest.approx(mean_psnr)
    mean_ssim = np.mean([ssim(ours[..., x], true[..., x], peak) for x in range(24)])
    assert found.mean.slices["YZ"].ssim == pytest.approx(mean_ssim)
    z = np.abs(np.diff(ours, axis=0)).mean() / np.abs(np.diff(true, axis=0)).mean()
    assert found.mean.gradient_ratio["Z"] == pytest.approx(z, rel=1e-4)
    assert found.mean.gradient_ratio["Z"] < 1


def test_measured_planes_do_not_make_xy_infinite(truth: Volume, restored: Volume) -> None:
    found = evaluate(truth, restored)
    true, ours = truth.data, restored.data
    peak = data_range_of(true)
    missing = np.flatnonzero(~even_grid(6, K).mask)
    expected = np.mean([psnr(ours[z], true[z], peak) for z in missing])
    assert found.mean.slices["XY"].psnr == pytest.approx(expected)


def test_a_perfect_volume(truth: Volume) -> None:
    found = evaluate(truth, truth)
    assert found.factor is None
    assert found.mean.psnr_missing is None
    assert found.mean.psnr == float("inf")
    assert found.mean.ssim == pytest.approx(1)
    assert list(found.mean.gradient_ratio.values()) == pytest.approx([1, 1, 1])


def test_axes_may_come_in_any_order(truth: Volume, restored: Volume) -> None:
    turned = Volume(
        np.ascontiguousarray(restored.data.transpose(2, 0, 1))[None],
        "CXZY",
        provenance={"factor": K},
    )
    assert evaluate(truth, turned).mean == evaluate(truth, restored).mean


def test_truth_may_have_planes_behind_the_last_measured_one(
    truth: Volume, restored: Volume
) -> None:
    longer = Volume(np.concatenate([truth.data, truth.data[:2] + 90]), "ZYX", source="truth")
    found = evaluate(longer, restored)
    assert found.mean == evaluate(truth, restored).mean
    assert found.notes == (
        "left out the last 2 of the truth's 18 planes: they lie behind the last measured one",
    )


def test_other_shapes_are_refused_with_both_named(truth: Volume, restored: Volume) -> None:
    longer = Volume(np.concatenate([truth.data] * 2), "ZYX", source="truth")
    with pytest.raises(DataError, match=r"\(1, 1, 32, 20, 24\).*\(1, 1, 16, 20, 24\)") as caught:
        evaluate(longer, restored)
    assert "\n" not in str(caught.value)
    unknown = Volume(restored.data, "ZYX")
    longer = Volume(np.concatenate([truth.data, truth.data[:2]]), "ZYX")
    with pytest.raises(DataError, match="give --factor"):
        evaluate(longer, unknown)
    assert evaluate(longer, unknown, factor=K).factor == K


def test_planes_behind_the_last_measured_one_count_as_missing(truth: Volume) -> None:
    # Another method may return as many planes as the truth has.
    ours = Volume(truth.data + np.arange(16, dtype=np.float32)[:, None, None], "ZYX")
    found = evaluate(truth, ours, factor=4)
    missing = np.ones(16, dtype=bool)
    missing[[0, 4, 8, 12]] = False
    expected = psnr(ours.data[missing], truth.data[missing], found.channels[0].data_range)
    assert found.mean.psnr_missing == pytest.approx(expected)


def test_the_factor_asked_for_wins_and_is_noted(truth: Volume, restored: Volume) -> None:
    found = evaluate(truth, restored, factor=5)
    assert found.factor == 5
    assert "made with 3" in found.notes[0]


def test_channels_have_their_own_range_and_are_averaged(truth: Volume, restored: Volume) -> None:
    true = Volume(np.stack([truth.data, truth.data * 10]), "CZYX", channel_names=("a", "b"))
    worse = restored.data.copy()
    worse[~even_grid(6, K).mask] += 5
    ours = Volume(np.stack([restored.data, worse * 10]), "CZYX", provenance={"factor": K})
    found = evaluate(true, ours)
    first, second = found.channels
    assert (first.name, second.name) == ("a", "b")
    assert first.scores == evaluate(truth, restored).mean
    assert second.data_range == pytest.approx(10 * first.data_range)
    assert second.scores.psnr < first.scores.psnr
    errors = [10 ** (-channel.scores.psnr / 10) for channel in found.channels]
    assert found.mean.psnr == pytest.approx(-10 * np.log10(np.mean(errors)))


def test_a_channel_without_an_error_does_not_make_the_mean_infinite(truth, restored) -> None:
    true = Volume(np.stack([truth.data, truth.data]), "CZYX")
    ours = Volume(np.stack([truth.data, restored.data]), "CZYX", provenance={"factor": K})
    found = evaluate(true, ours)
    exact, other = (channel.scores for channel in found.channels)
    assert exact.psnr == exact.psnr_missing == float("inf")
    half = 10 * np.log10(2)  # half of the squared error
    assert found.mean.psnr == pytest.approx(other.psnr + half)
    assert found.mean.psnr_missing == pytest.approx(other.psnr_missing + half)
    assert found.mean.slices == {
        name: dataclasses.replace(scores, ssim=pytest.approx((scores.ssim + 1) / 2))
        for name, scores in other.slices.items()
    }


def test_given_range_is_used(truth: Volume, restored: Volume) -> None:
    first, second = (evaluate(truth, restored, data_range=r).mean.psnr for r in (10.0, 100.0))
    assert second - first == pytest.approx(20)
    with pytest.raises(SettingsError, match="data range"):
        evaluate(truth, restored, data_range=0)


def test_no_ssim_where_slices_are_smaller_than_its_window(truth: Volume) -> None:
    few = Volume(truth.data[:7], "ZYX", source="few")
    found = evaluate(few, Volume(few.data + 1, "ZYX"))
    assert found.mean.slices["XZ"].ssim is None
    assert found.mean.slices["YZ"].ssim is None
    assert found.mean.slices["XY"].ssim == found.mean.ssim
    assert [note.split(":")[0] for note in found.notes] == [
        "no SSIM of XZ slices",
        "no SSIM of YZ slices",
    ]


def test_voxel_sizes_that_disagree_are_noted(truth: Volume, restored: Volume) -> None:
    near = Volume(restored.data, "ZYX", {"Z": 1.01}, source="near")
    far = Volume(restored.data, "ZYX", {"Z": 3.0}, source="far")
    assert evaluate(truth, near).notes == ()
    assert evaluate(truth, far).notes == ("voxel sizes disagree along Z: 1 in the truth, 3 in far",)


def test_voxel_sizes_in_other_units_are_the_same_sizes(truth: Volume, restored: Volume) -> None:
    in_um = Volume(truth.data, "ZYX", {"Z": 0.008}, "micrometer", source="true")
    in_nm = Volume(restored.data, "ZYX", {"Z": 8.0}, "nanometer", source="ours")
    assert evaluate(in_um, in_nm).notes == ()
    wrong = Volume(restored.data, "ZYX", {"Z": 16.0}, "nanometer", source="ours")
    (note,) = evaluate(in_um, wrong).notes
    assert note == "voxel sizes disagree along Z: 0.008 in the truth, 0.016 in ours"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(truth: Volume, restored: Volume, bad: float) -> None:
    data = restored.data.copy()
    data[3, 4, 5] = bad
    with pytest.raises(DataError, match="broken: got 1 voxels that are NaN or infinite"):
        evaluate(truth, Volume(data, "ZYX", source="broken"))
    with pytest.raises(DataError, match="NaN or infinite"):
        evaluate(Volume(data, "ZYX"), restored)


def test_constant_truth_is_refused(truth: Volume) -> None:
    with pytest.raises(DataError, match="--data-range"):
        evaluate(Volume(np.zeros_like(truth.data), "ZYX"), truth)


def test_factor_larger_than_the_volume_is_refused(truth: Volume) -> None:
    with pytest.raises(DataError, match="got 16 planes and factor 16"):
        evaluate(truth, truth, factor=16)
    with pytest.raises(SettingsError, match="factor 1"):
        evaluate(truth, truth, factor=1)


def test_it_becomes_plain_data(truth: Volume, restored: Volume) -> None:
    plain = json.loads(json.dumps(asdict(evaluate(truth, restored))))
    assert plain["mean"]["slices"]["XY"]["psnr"] > 0
    assert plain["factor"] == K


def test_rows_have_one_value_per_evaluation(truth: Volume, restored: Volume) -> None:
    rows = evaluation_rows([evaluate(truth, restored), evaluate(truth, truth)])
    assert all(len(row) == 3 for row in rows)
    values = {row[0]: row[1:] for row in rows}
    assert values["PSNR, all voxels (dB)"][1] == "inf"
    assert values["PSNR, missing planes (dB)"][1] == "-"
    assert values["SSIM, all slices"][1] == "1.0000"
    assert {f"SSIM, {name} slices" for name in SLICES} <= set(values)
    assert len(evaluation_rows([evaluate(truth, truth)])) == len(rows) - 1


@pytest.mark.parametrize("axis", ["X", "Y"])
def test_planes_are_missing_across_the_axis_that_was_restored(truth, restored, axis) -> None:
    made = replace(restored, provenance={"factor": K, "along": axis})
    found = evaluate(turned(truth, axis), turned(made, axis))
    expected = evaluate(truth, restored).mean
    assert found.mean.psnr_missing == pytest.approx(expected.psnr_missing)
    assert found.mean.gradient_ratio[axis] == pytest.approx(expected.gradient_ratio["Z"])
    assert any(axis in note for note in found.notes)


def test_the_truth_may_reach_further_along_the_axis_that_was_restored(truth, restored) -> None:
    longer = replace(truth, data=np.concatenate([truth.data, truth.data[:1]]))
    made = replace(restored, provenance={"factor": K, "along": "X"})
    assert evaluate(turned(longer, "X"), turned(made, "X")).mean.psnr == pytest.approx(
        evaluate(truth, restored).mean.psnr
    )


def test_lost_planes_count_as_missing(truth, restored) -> None:
    data = restored.data.copy()
    data[2 * K] += 30
    made = {"factor": K, "lost_planes": {"0/0": [2]}}
    found = evaluate(truth, replace(restored, data=data, provenance=made)).mean.psnr_missing
    missing = ~even_grid(6, K).mask
    missing[2 * K] = True
    expected = psnr(data[missing], truth.data[missing], data_range_of(truth.data))
    assert found == pytest.approx(expected)
