"""The output spacing that is asked for, through `Model.predict` and the commands."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.data.measurement import Measurement
from isoslice.data.output_spacing import Wanted
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.inference.engine.begin import Request, unfinished
from isoslice.inference.engine.job import Job
from isoslice.inference.options import PredictOptions
from isoslice.inference.stack import stack_to_restore
from isoslice.io import read_volume
from isoslice.io.options import ReadOptions
from isoslice.runtime.progress import Progress
from jobs_setup import run
from tiny_training import quickly

STACK = texture(5, 40, 44)
#: Asked for in Python and in the shell: four planes for each at the stack's 3 to 1.
SAME = [
    ({"factor": 4}, ("--factor", 4)),
    ({"spacing": 0.75}, ("--spacing", 0.75)),
]


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def volume(z=3.0, **changes):
    return Volume(STACK, "ZYX", {"Z": z, "Y": 1.0, "X": 1.0}, "micrometer", **changes)


def test_three_ways_to_say_the_same(tiny_model):
    """Integer ratios are restored bit for bit as by the factor, however they were asked for."""
    by_factor = tiny_model.predict(volume(), factor=3)
    for options in ({}, {"isotropic": True}, {"spacing": 1.0}):
        found = tiny_model.predict(volume(), **options)
        np.testing.assert_array_equal(found.volume, by_factor.volume)
        assert found.voxel_size == (1.0, 1.0, 1.0)
        assert found.factor == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 3, "isotropic": True}, "got a factor and isotropic"),
        ({"factor": 3, "spacing": 1.0}, "got a factor and a spacing"),
        ({"isotropic": True, "spacing": 1.0}, "got isotropic and a spacing"),
        ({"spacing": -1.0}, "expected a positive length"),
        ({"spacing": 2.9}, r"at most 2\.857"),
        ({"spacing": 0.1}, r"30\.0 output planes per measured plane"),
    ],
)
def test_refused(tiny_model, options, message):
    with pytest.raises(SettingsError, match=message):
        tiny_model.predict(volume(), **options)


def test_positions_beside_a_stack(tiny_model, stack_file):
    even = tiny_model.predict(volume(), positions=[7, 9, 11, 13, 15])
    assert (even.factor, even.voxel_size) == (2, (1.0, 1.0, 1.0))
    uneven = volume(z_positions=(0.0, 3.0, 6.0, 9.0, 15.0))
    found = tiny_model.predict(uneven)
    assert found.provenance["positions"] == [0, 3, 6, 9, 15]
    np.testing.assert_array_equal(found.volume[[0, 3, 6, 9, 15]], STACK)  # points, bit for bit
    taken = tiny_model.predict(uneven, positions="even")
    np.testing.assert_array_equal(taken.volume, tiny_model.predict(volume()).volume)
    of_array = tiny_model.predict(STACK, "ZYX", (2.0, 1.0, 1.0), positions=[0, 2, 4, 6, 8])
    assert of_array.voxel_size == (1.0, 1.0, 1.0)
    of_path = tiny_model.predict(stack_file, positions=[0, 2, 4, 6, 8])
    assert of_path.factor == 2
    with pytest.raises(DataError, match="got 2 positions, expected one for each of 5 planes"):
        tiny_model.predict(stack_file, positions=[0, 1])
    with pytest.raises(SettingsError, match="a voxel size of 3000 along Z"):
        tiny_model.predict(STACK, "ZYX", (3000, 1, 1), positions=[0, 2, 4, 6, 8])


def test_any_spacing_of_the_output(tiny_model):
    """Planes between output planes come back seen there, but for their noise."""
    found = tiny_model.predict(volume(), mode="mean", spacing=0.7)
    assert found.volume.shape == (19, 40, 44)  # the last plane lies at 17.14
    assert found.voxel_size == (0.7, 1.0, 1.0)
    places = [z * 3 / 0.7 for z in range(5)]
    np.testing.assert_allclose(found.provenance["positions"], places)
    matrix = Measurement(tuple(places), 19).matrix
    again = np.einsum("iz,zyx->iyx", matrix, found.volume.astype(float))
    assert np.abs(again - STACK).mean() < 0.2 * np.abs(np.diff(STACK.astype(float), axis=0)).mean()
    assert found.provenance["slice_profile"]["kind"] == "point"


def test_the_papers_recipes_take_whole_positions_alone():
    papers_model = quickly("end-to-end", texture(8, 48, 48), steps=1)
    uneven = papers_model.predict(STACK, "ZYX", (3, 1, 1), 3, positions=[0, 3, 9, 12, 15])
    np.testing.assert_array_equal(uneven.volume[[0, 3, 9, 12, 15]], STACK)
    with pytest.raises(SettingsError, match="planes between output planes"):
        papers_model.predict(volume(), spacing=0.7)


def test_a_stack_knows_its_planes(tiny_model):
    told = Notes()
    stack = stack_to_restore(volume(), tiny_model.config, Wanted(spacing=0.75), told)
    assert (stack.spacing.positions, stack.factor) == ((0, 4, 8, 12, 16), 4)
    assert stack.spacing.step == 0.75
    assert stack.refined_spacing == {"Z": 0.75, "Y": 1.0, "X": 1.0}
    assert told.notes == [
        "factor 4 (as asked): 5 planes become 17, voxel size (Z, Y, X) 0.75, 1, 1 micrometer"
    ]
    sagittal = Volume(STACK, "XYZ", {"X": 3.0, "Y": 1.0, "Z": 1.0}, "micrometer")
    stack = stack_to_restore(sagittal, tiny_model.config, Wanted(isotropic=True), Progress())
    assert (stack.along, stack.spacing.step) == ("X", 1.0)
    assert stack.refined_spacing == {"Z": 1.0, "Y": 1.0, "X": 1.0}


@pytest.mark.parametrize("output", ["out.ome.tif", "out.ome.zarr"])
def test_in_the_shell(cli: Cli, stack_file, model_folder, tmp_path, output):
    made = []
    for number, (_, words) in enumerate(SAME):
        out = tmp_path / f"{number}-{output}"
        ran = cli("predict", stack_file, "-m", model_folder, "-o", out, "--mode", "mean", *words)
        assert ran.code == 0, ran.err
        made.append(read_volume(out))
    np.testing.assert_array_equal(made[0].data, made[1].data)
    assert [each.spacing["Z"] for each in made] == [0.75, 0.75]
    out = tmp_path / f"i-{output}"
    both = ("--isotropic", "--spacing", "1")
    ran = cli("predict", stack_file, "-m", model_folder, "-o", out, *both)
    assert ran.code == 1
    assert "got isotropic and a spacing, expected one" in ran.err[-1]


def test_positions_in_the_shell(cli: Cli, tmp_path, stack_file, model_folder):
    file = tmp_path / "z.txt"
    file.write_text("0\n2\n4\n6\n8\n", encoding="utf-8")
    out = tmp_path / "out.ome.tif"
    words = ("predict", stack_file, "-m", model_folder, "-o", out, "--mode", "mean")
    assert cli(*words, "--positions", file).code == 0
    assert read_volume(out).data.shape[0] == 9
    file.write_text("0\n2\n4\n6\n10\n", encoding="utf-8")
    assert cli(*words, "--overwrite", "--positions", file).code == 0
    assert read_volume(out).data.shape[0] == 11
    found = json.loads(cli("info", stack_file, "--positions", file, "--json").out)
    assert found["z_positions"] == [0, 2, 4, 6, 10]
    assert found["voxel_size"]["Z"] == 2
    assert "uneven, 2 to 4 micrometer apart" in cli("info", stack_file, "--positions", file).out
    assert cli("check", stack_file, "-m", model_folder, "--positions", "even").code == 0


def test_going_on_with_other_planes_is_refused(tmp_path, model_folder, monkeypatch):
    """Where planes lie is part of what was asked for."""
    request = Request(
        stack=write_stack(tmp_path / "a.ome.tif", STACK),
        model=model_folder,
        output=tmp_path / "out.ome.zarr",
        options=PredictOptions(mode="mean", spacing=1.0),
    )
    original = Job.run_task

    def run_task(job, stage, index, report):
        if stage.name != "mean-0":
            raise KeyboardInterrupt
        return original(job, stage, index, report)

    with monkeypatch.context() as patched:
        patched.setattr(Job, "run_task", run_task)
        with pytest.raises(KeyboardInterrupt):
            run(request)
    assert unfinished(request.output).is_dir()
    other = replace(request, options=PredictOptions(mode="mean", spacing=0.75))
    with pytest.raises(SettingsError, match=r"another output spacing \(now 0.75, before 1.0\)"):
        run(other, resume=True)
    moved = replace(request, reading=ReadOptions(positions=(0, 2, 4, 6, 8)))
    with pytest.raises(SettingsError, match="another list of positions than"):
        run(moved, resume=True)
    run(request, resume=True)
    found = read_volume(request.output)
    assert (found.spacing["Z"], found.z_positions) == (1.0, None)


def test_rows_of_another_spacing_than_planes_are_told(tiny_model):
    notes = Notes()
    planes = texture(4, 40, 40)
    tiny_model.predict(planes, "ZYX", (4, 1, 1), spacing=2.0, mode="mean", progress=notes)
    (told,) = [note for note in notes.notes if "rows" in note]
    assert "rows 1 pixels apart, planes are restored 2 pixels apart" in told
    notes = Notes()
    tiny_model.predict(planes, "ZYX", (4, 1, 1), mode="mean", progress=notes)
    assert not [note for note in notes.notes if "rows" in note]
