"""Distillation: end points of a known flow, what the student is taught, and two-pass prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.data.crops import draw_crops
from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.planes import plane_stacks
from isoslice.data.profile import POINT
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.inference.detail.blend import Gains, blend_detail
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.inference.recipes import recipe_of
from isoslice.models.config import (
    DistilledSettings,
    ModelConfig,
    MsdsrConfig,
    NetworkSettings,
    OwnPlanes,
    SamplerSettings,
    TrainingSettings,
)
from isoslice.models.diffusion.edm import NO_SIGNAL, precondition
from isoslice.models.diffusion.masked_example import draw_masked
from isoslice.models.networks.factory import build_network
from isoslice.training.distillation import (
    SECOND_PASS_LEVELS,
    DistillationObjective,
    distill,
    end_points,
    fine_detail_only,
    kinds_of,
    student_config,
)
from restoring import restore
from tiny_head import let_hear

SIGMA_DATA = 0.1


def silent(x, c_noise):
    """Answer zero: what is ideal for a residual that is normal with deviation sigma_data."""
    return torch.zeros_like(x[:, : (x.shape[1] - 1) // 2])


def test_end_points_of_a_gaussian_are_its_flow():
    """For r ~ N(0, s^2) the flow from level t ends at x s / sqrt(s^2 + t^2)."""
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(2, 1, 12, 5, generator=generator)
    masks = torch.zeros(2, 12, dtype=torch.bool)
    masks[:, ::4] = True
    state = state * ~masks[:, None, :, None]
    sigma = torch.tensor([0.15, 0.04])
    found = end_points(silent, state, state, masks, sigma, 1e-3, SIGMA_DATA, steps=2000)
    shrunk = SIGMA_DATA / (SIGMA_DATA**2 + sigma**2).sqrt()
    torch.testing.assert_close(found, state * shrunk[:, None, None, None], rtol=1e-2, atol=1e-4)
    assert torch.equal(found[:, :, ::4], torch.zeros(2, 1, 3, 5))


def test_levels_below_the_lowest_are_left_alone():
    state = torch.ones(1, 1, 4, 4)
    masks = torch.zeros(1, 4, dtype=torch.bool)
    found = end_points(silent, state, state, masks, torch.tensor([0.01]), 0.5, SIGMA_DATA, steps=3)
    skip = precondition(torch.tensor([0.01]), SIGMA_DATA).c_skip
    torch.testing.assert_close(found, state * skip)


def test_fine_detail_of_images_is_that_of_volumes():
    generator = torch.Generator().manual_seed(0)
    mean, sample = torch.randn(2, 3, 2, 20, 7, generator=generator)
    found = fine_detail_only(mean, sample)
    for n in range(3):
        as_volume = blend_detail(mean[n][:, :, None], sample[n][:, :, None].clone(), 0.5, 1.5)
        torch.testing.assert_close(found[n], as_volume[:, :, 0])


@pytest.fixture
def objective(tiny_model: Model) -> DistillationObjective:
    config = student_config(tiny_model.config, crop=32, seed=3)
    return DistillationObjective(config, teacher=tiny_model.network)


def test_a_students_settings(tiny_model: Model):
    config = student_config(tiny_model.config, crop=32, seed=None)
    assert config.network == NetworkSettings()
    assert config.sigma_data == tiny_model.config.sigma_data
    assert config.distilled is not None
    assert config.training.seed == tiny_model.config.training.seed


def test_a_student_that_learns_comes_closer(objective: DistillationObjective):
    """Thirty steps on one batch take the loss down; the teacher stays as it is."""
    images = draw_crops(
        plane_stacks([Volume(texture(6, 64, 64), "ZYX")]),
        4,
        32,
        torch.Generator().manual_seed(0),
    )
    objective.teacher.to("cpu")  # other tests may have left it on a GPU
    before = {n: t.clone() for n, t in objective.teacher.state_dict().items()}
    torch.manual_seed(0)
    network = build_network(objective.config).train()
    objective.post_step(network)
    optimizer = objective.optimizer(network)
    losses = []
    for _ in range(30):
        value = objective.loss(network, images, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        value.backward()
        objective.pre_step(network)
        optimizer.step()
        objective.post_step(network)
        losses.append(float(value.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(t, before[n]) for n, t in objective.teacher.state_dict().items())


TOLD = NetworkSettings(widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0), measured=True)


def told_network(config):
    """A network that hears how planes were measured, made at random."""
    network = build_network(config)
    let_hear(network)
    with torch.no_grad():
        network.renormalize()
    return network


@pytest.fixture
def told_teacher():
    training = TrainingSettings(crop=32, batch=8, measured_share=0.5)
    config = ModelConfig(network=TOLD, training=training, sigma_data=SIGMA_DATA)
    return Model(config, told_network(config).eval())


class Hearing(torch.nn.Module):
    """Passes on to a network, and keeps what it was told."""

    def __init__(self, network):
        super().__init__()
        self.network, self.heard = network, []

    def forward(self, x, levels):
        self.heard.append(levels.clone())
        return self.network(x, levels)


def test_kinds_are_spread_over_points_and_measured_planes():
    means, first = kinds_of(32, 0)
    assert means.tolist() == [i < 5 for i in range(32)]
    assert first.tolist() == [5 <= i < 19 for i in range(32)]
    means, first = kinds_of(32, 12)
    assert (means[:20].sum(), means[20:].sum()) == (3, 2)
    assert (first[:20].sum(), first[20:].sum()) == (9, 5)
    assert not (means & first).any()


def test_students_of_told_teachers_are_told(told_teacher: Model):
    config = student_config(told_teacher.config, 32, None)
    assert config.network == NetworkSettings(measured=True)
    assert config.training.measured_share == 0.5
    teacher, student = Hearing(told_teacher.network), Hearing(told_network(config).train())
    objective = DistillationObjective(config, teacher=teacher)
    images = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    objective.loss(student, images, torch.Generator().manual_seed(1)).backward()
    (heard,) = student.heard
    assert heard.shape == (20, 3)
    assert not heard[:10, 1:].any()  # points
    assert heard[10:, 1:].any(dim=1).sum() >= 8  # some of the others are sharp and free of noise
    # The teacher hears the same of the same images: for the first pass, then for both.
    means, first = kinds_of(20, 10)
    torch.testing.assert_close(teacher.heard[0][:, 1:], heard[first, 1:])
    for levels in teacher.heard[1:]:
        torch.testing.assert_close(levels[:, 1:], heard[~means, 1:])
    assert student.network.measured_gain.grad.abs() > 0


def test_what_is_asked_of_a_student_depends_on_what_is_told(told_teacher: Model):
    """A teacher that hears no more of planes gives other end points of blurred and noisy ones."""
    config = student_config(told_teacher.config, 32, None)
    images = torch.rand(12, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    student = told_network(config)
    losses = []
    for gain in (0.5, 0.0):
        torch.nn.init.constant_(told_teacher.network.measured_gain, gain)
        objective = DistillationObjective(config, teacher=told_teacher.network)
        with torch.no_grad():
            value = objective.loss(student, images, torch.Generator().manual_seed(1))
        losses.append(float(value))
    assert losses[0] != losses[1]


def test_students_of_teachers_that_are_not_told_learn_of_points_alone(tiny_model: Model):
    """The draws, kinds and loss of before there were any others, to the bit."""
    config = student_config(tiny_model.config, crop=32, seed=None)
    assert not config.network.measured
    student = Hearing(build_network(config).train())
    objective = DistillationObjective(config, teacher=tiny_model.network)
    images = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    objective.loss(student, images, torch.Generator().manual_seed(1))
    assert student.heard[0].shape == (20,)
    generator = torch.Generator().manual_seed(1)
    draw_masked(images, config.training, config.softening, generator)
    low, high = SECOND_PASS_LEVELS
    sigma = config.sigma_data * low * (high / low) ** torch.rand(20, generator=generator)
    sigma[:3], sigma[3:12] = NO_SIGNAL, config.sigma_data * config.sampler.sigma_max
    expected = precondition(sigma, config.sigma_data).c_noise
    assert torch.equal(student.heard[0], expected)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_distilled_of_a_told_model_it_is_told_when_it_restores(told_teacher: Model, tmp_path):
    student = distill(told_teacher, texture(6, 48, 48), axes="ZYX", steps=2, device="cpu")
    student.save(tmp_path / "student")
    student = Model.load(tmp_path / "student")
    assert student.config.network.measured
    assert student.config.distilled is not None
    let_hear(student.network)
    stack = texture(5, 40, 44)
    made = []
    for gain in (0.0, 0.5):  # deaf, and hearing
        torch.nn.init.constant_(student.network.measured_gain, gain)
        asked = {"slice_profile": "gaussian:5", "device": "cpu"}
        made.append(student.predict(stack, "ZYX", (4, 1, 1), **asked).volume.astype(float))
        points = student.predict(stack, "ZYX", (4, 1, 1), device="cpu").volume
        np.testing.assert_array_equal(points[::4], stack)
        freed = student.predict(stack, "ZYX", (4, 1, 1), denoise=True, device="cpu")
        assert freed.provenance["steps"] == 2
    assert np.abs(made[0] - made[1]).mean() > 0.1


def test_two_passes_of_a_silent_network():
    """The second pass begins with what the first left of its noise."""
    planes = np.random.default_rng(0).random((1, 9, 24, 24), dtype=np.float32)
    grid = even_grid(9, 4)
    seen: list[float] = []
    config = ModelConfig(
        sigma_data=SIGMA_DATA,
        sampler=SamplerSettings(sigma_max=2.0),
        distilled=DistilledSettings(sigma_second=0.5),
    )
    found = restore(
        silent, config, planes, grid, gains=Gains(*torch.ones(2, 1, 33)), report=seen.append
    )
    np.testing.assert_array_equal(found[:, ::4], planes)
    residual = (found[0] - interpolate(planes[0], grid))[~grid.mask]
    # A silent network keeps c_skip of what it sees: 1/5 at level 2, 4/5 at level 1/2.
    first = 0.2 * 2.0
    state = first + 0.25 * (2.0 - first)
    assert residual.std() == pytest.approx(0.8 * state * SIGMA_DATA, rel=0.02)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)


def test_options_of_a_distilled_model(tiny_model: Model):
    config = student_config(tiny_model.config, crop=32, seed=None)
    resolve = recipe_of(config).resolve
    for given, mode in (({}, "sample"), ({"steps": 2}, "sample"), ({"mode": "mean"}, "mean")):
        resolved = resolve(PredictOptions(**given))
        assert (resolved.mode, resolved.steps, resolved.detail) == (mode, 2, None)
    assert resolve(PredictOptions(detail=0.0)).mode == "mean"
    with pytest.raises(SettingsError, match="leave the steps out"):
        resolve(PredictOptions(steps=6))
    with pytest.raises(SettingsError, match="leave the detail out"):
        resolve(PredictOptions(detail=0.7))


def test_what_cannot_be_distilled(tiny_model: Model):
    images = texture(4, 40, 40)
    student = Model(student_config(tiny_model.config, 32, None), tiny_model.network)
    with pytest.raises(SettingsError, match="got a distilled model"):
        isoslice.distill(student, images, axes="ZYX", steps=1)
    with pytest.raises(SettingsError, match="got a msdsr model"):
        isoslice.distill(Model(MsdsrConfig(), tiny_model.network), images, axes="ZYX", steps=1)
    with pytest.raises(DataError, match=r"got 2 channel\(s\), expected 1"):
        isoslice.distill(tiny_model, np.stack([images, images]), axes="CZYX", steps=1)


def test_a_student_of_the_teachers_size_begins_with_its_weights():
    torch.manual_seed(0)
    config = ModelConfig(sigma_data=0.1, training=TrainingSettings(crop=32, batch=4))
    network = build_network(config).eval()
    network.renormalize()
    torch.nn.init.constant_(network.leave_gain, 0.7)
    teacher = Model(config, network)
    student = isoslice.distill(teacher, texture(4, 40, 40), axes="ZYX", steps=1, device="cpu")
    gain = float(student.network.leave_gain.detach())
    assert gain == pytest.approx(0.7, abs=0.02)
    assert student.info["teacher"] == teacher.fingerprint
    assert float(network.leave_gain.detach()) == pytest.approx(0.7)


def test_a_student_of_a_model_of_many_specimens_is_of_these_images(tiny_model: Model):
    many = replace(tiny_model, config=tiny_model.config.updated(per_stack=True, sigma_data=0.9))
    images = texture(4, 40, 40)
    config = isoslice.distill(many, images, axes="ZYX", steps=1, device="cpu").config
    assert not config.per_stack
    assert 0.01 < config.sigma_data < 0.5


def test_own_planes_of_a_teacher_that_do_not_fit_are_left_out(tiny_model: Model):
    far = TrainingSettings(crop=64, own_planes=OwnPlanes(distance=20, profile=POINT))
    config = tiny_model.config.updated(training=far)
    assert student_config(config, crop=16, seed=None).training.own_planes is None
    assert student_config(config, crop=32, seed=None).training.own_planes == far.own_planes


@pytest.mark.slow
def test_distill_and_predict_by_command(cli: Cli, tmp_path, model_folder, stack_file):
    student, out = tmp_path / "student", tmp_path / "out.ome.tif"
    images = write_stack(tmp_path / "images.ome.tif", texture(6, 64, 64), voxel_size=(1, 1, 1))
    assert cli("distill", model_folder, images, "-o", student, "--steps", 2, "-q").code == 0
    assert cli("predict", stack_file, "-m", student, "-o", out, "-q").code == 0
    assert isoslice.read_volume(out).provenance["steps"] == 2
    assert "two evaluations a voxel" in (student / "README.md").read_text(encoding="utf-8")
    assert any("distilled" in line for line in cli("info", student).out.splitlines())
    assert Model.load(student).config.network == NetworkSettings()
    assert isinstance(Model.load(student).config.training, TrainingSettings)
    assert not (tmp_path / "student.training").exists()


@pytest.mark.slow
def test_the_sharp_planes_of_a_stack_that_is_coarse_along_x_are_learned_from(tiny_model: Model):
    stack = texture(6, 40, 40)
    options = {"steps": 1, "device": "cpu"}
    along_z = Volume(stack, "ZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0})
    along_x = Volume(stack, "XYZ", {"X": 4.0, "Y": 1.0, "Z": 1.0})
    blurred = Volume(stack, "XYZ", {"X": 1.0, "Y": 1.0, "Z": 4.0})
    expected = distill(tiny_model, along_z, **options).fingerprint
    assert distill(tiny_model, along_x, **options).fingerprint == expected
    assert distill(tiny_model, along_z, along="z", **options).fingerprint == expected
    with pytest.raises(DataError, match="pixels"):  # planes of 6 x 40
        distill(tiny_model, blurred, **options)


def test_resuming_without_a_folder_is_refused(tiny_model: Model):
    with pytest.raises(SettingsError, match="resume without a workdir"):
        distill(tiny_model, texture(4, 40, 40), axes="ZYX", steps=1, resume=True)
