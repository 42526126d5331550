"""A slice profile from a file, through `Model.predict` and the commands."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, Profile, sampled_profile
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.asked_profile import as_text, file_digest, profile_in_planes
from isoslice.inference.engine.begin import unfinished
from isoslice.inference.engine.job import Job
from isoslice.inference.options import PredictOptions
from isoslice.io import read_volume, write_volume
from jobs_setup import run, small_request, voxels

STACK = texture(5, 40, 44)
STACK_OF = Volume(STACK, "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0}, "micrometer")


@pytest.fixture
def gaussian_file(tmp_path):
    """Samples of a Gaussian of FWHM 3, a tenth apart."""
    z = np.arange(-60, 61) / 10
    rows = (f"{a:g} {b:.9g}" for a, b in zip(z, np.exp(-0.5 * (z * FWHM / 3) ** 2), strict=True))
    (tmp_path / "psf.txt").write_text("z weight\n" + "\n".join(rows), encoding="utf-8")
    return tmp_path / "psf.txt"


def test_samples_of_a_gaussian_restore_as_it_does(tiny_model, gaussian_file):
    asked = {"mode": "mean", "device": "cpu"}
    expected = tiny_model.predict(STACK_OF, slice_profile="gaussian:3", **asked)
    found = tiny_model.predict(STACK_OF, slice_profile=str(gaussian_file), **asked)
    apart = np.abs(np.subtract(found.volume, expected.volume, dtype=float)).max()
    assert apart <= 1e-2 * np.ptp(STACK)
    record = found.provenance["slice_profile"]
    assert record["width_in_output_planes"] == pytest.approx(3, rel=1e-3)
    # All of the profile is recorded.
    again = Profile(
        "sampled",
        record["width_in_output_planes"],
        tuple(record["edges_in_output_planes"]),
        tuple(record["weights"]),
    )
    places = tuple(map(float, range(0, 13, 3)))
    np.testing.assert_allclose(
        Measurement(places, 13, again).matrix,
        Measurement(places, 13, Profile("gaussian", 3)).matrix,
        atol=1e-3,
    )
    assert "psf.txt has 121 samples" in found.provenance["slice_profile_from"]
    assert str(gaussian_file.parent) not in json.dumps(found.provenance)


def test_a_profile_may_be_given_in_python(tiny_model, gaussian_file):
    z = np.arange(-60, 61) / 10
    profile = sampled_profile(z, np.exp(-0.5 * (z * FWHM / 3) ** 2), "psf")
    found = [
        tiny_model.predict(STACK_OF, mode="mean", device="cpu", slice_profile=each).volume
        for each in (profile, str(gaussian_file))
    ]
    np.testing.assert_array_equal(*found)
    by_text, given = (
        tiny_model.predict(STACK_OF, mode="mean", device="cpu", slice_profile=each).volume
        for each in ("slab:4", Profile("slab", 4.0))
    )
    np.testing.assert_array_equal(given, by_text)


def test_the_unit_of_an_image_is_converted(tmp_path):
    """A point spread function in nanometres, for a stack in micrometres."""
    z = np.arange(-20, 21)
    planes = np.exp(-0.5 * (z / 5) ** 2)[:, None, None] * np.ones((9, 9))
    psf = Volume(planes.astype("f4"), "ZYX", {"Z": 200.0, "Y": 50.0, "X": 50.0}, "nanometer")
    path = tmp_path / "psf.ome.tif"
    write_volume(path, psf)
    found = profile_in_planes(str(path), STACK_OF, 3.0)
    assert found.deviation == pytest.approx(1.0, rel=0.02)  # 5 x 200 nm, output planes of 1 um
    assert profile_in_planes(f"{path}:0.4", STACK_OF, 6.0).deviation == pytest.approx(4, rel=0.02)
    with pytest.raises(SettingsError, match=r"in nanometer for a stack in an unknown unit.*:STEP"):
        profile_in_planes(str(path), replace(STACK_OF, unit=None), 3.0)
    with pytest.raises(SettingsError, match="without spacing of its planes"):
        profile_in_planes(str(path), replace(STACK_OF, spacing={}), 3.0)
    with pytest.raises(SettingsError, match="planes wide, for a stack of 5 planes"):
        profile_in_planes(f"{path}:3", STACK_OF, 3.0)


def test_at_the_command_line(cli: Cli, stack_file, model_folder, gaussian_file, tmp_path):
    out, page = tmp_path / "out.ome.tif", tmp_path / "out.html"
    asked = ("-m", model_folder, "--mode", "mean", "--device", "cpu", "--slice-profile")
    ran = cli("predict", stack_file, "-o", out, *asked, gaussian_file, "--report", page)
    assert ran.code == 0, ran.err
    assert any("psf.txt has 121 samples" in line for line in ran.err)
    record = read_volume(out).provenance["slice_profile"]
    assert (record["kind"], len(record["weights"])) == ("sampled", 121)
    shown = page.read_text(encoding="utf-8")
    assert "measured, as wide as a Gaussian of 3" in shown
    assert "edges_in_output_planes" not in shown
    ran = cli("check", stack_file, *asked[:2], *asked[4:], gaussian_file, "--json", "-")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["slice_profile"] == {"kind": "sampled", "width": pytest.approx(3, rel=1e-3)}
    assert any("psf.txt has 121 samples" in note for note in found["notes"])


@pytest.mark.parametrize("command", ["predict", "check"])
def test_refused_in_one_line(cli: Cli, stack_file, model_folder, tmp_path, command):
    (tmp_path / "one.txt").write_text("1\n2\n1\n", encoding="utf-8")
    (tmp_path / "dark.txt").write_text("0 1\n1 -2\n", encoding="utf-8")
    output = ("-o", tmp_path / "out.ome.tif") if command == "predict" else ()
    for name, message in [
        ("none.txt", "no file of that name"),
        ("one.txt", "got 3 weights of a slice profile without their places"),
        ("one.txt:50", "planes wide"),
        ("dark.txt", "subtract the background"),
    ]:
        ran = cli(
            command, stack_file, "-m", model_folder, "-q", *output,
            "--slice-profile", tmp_path / name,
        )  # fmt: skip
        assert ran.code == 1
        (line,) = ran.err
        assert line.startswith("isoslice: error: ")
        assert message in line
    assert not (tmp_path / "out.ome.tif").exists()


class Killed(BaseException):
    """Ends a run as a signal would."""


def test_resumed_although_the_file_is_gone(gaussian_file, tmp_path, monkeypatch):
    """The samples are kept with the unfinished output: the same bits; another file is refused."""
    options = PredictOptions(mode="mean", slice_profile=str(gaussian_file))
    request = replace(small_request(tmp_path, monkeypatch), options=options)
    run(replace(request, output=tmp_path / "whole.ome.zarr"))
    run_task, done = Job.run_task, list[int]()

    def dying(job, stage, index, report):
        if len(done) == 4:
            raise Killed
        done.append(index)
        return run_task(job, stage, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run_task", dying)
        with pytest.raises(Killed):
            run(request)
    text = gaussian_file.read_text(encoding="utf-8")
    gaussian_file.write_text(text.replace("0 1\n", "0 1.5\n"), encoding="utf-8")
    with pytest.raises(SettingsError, match="another file of the slice profile than the run"):
        run(request, resume=True)
    for other in (None, Profile("slab", 3.0)):
        options = PredictOptions(mode="mean", slice_profile=other)
        with pytest.raises(SettingsError, match="another slice profile") as told:
            run(replace(request, options=options), resume=True)
        assert "edges" not in str(told.value)
    gaussian_file.unlink()
    run(request, resume=True)
    assert not unfinished(request.output).exists()
    np.testing.assert_array_equal(voxels(request.output), voxels(tmp_path / "whole.ome.zarr"))


def test_the_command_goes_on_without_the_file(
    cli: Cli, model_folder, gaussian_file, tmp_path, monkeypatch
):
    stack, out = write_stack(tmp_path / "a.ome.tif", STACK), tmp_path / "out.ome.zarr"
    asked = ("predict", stack, "-m", model_folder, "-o", out, "-q", "--mode", "mean",
             "--slice-profile", gaussian_file)  # fmt: skip

    run_task, done = Job.run_task, list[int]()

    def stop(job, stage, index, report):
        if done:
            raise KeyboardInterrupt
        done.append(index)
        return run_task(job, stage, index, report)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run_task", stop)
        assert cli(*asked).code == 130
    gaussian_file.unlink()
    ran = cli(*asked, "--resume")
    assert (ran.code, ran.err) == (0, [])
    assert read_volume(out).provenance["slice_profile"]["kind"] == "sampled"


def test_a_folder_has_a_digest_of_what_is_in_it(tmp_path):
    psf = np.zeros((9, 5, 5), np.float32)
    psf[3:6] = np.array([1, 2, 1])[:, None, None]
    digests = []
    for changed in (psf, psf, 2 * psf):
        stack = Volume(changed, "ZYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}, "micrometer")
        write_volume(tmp_path / "psf.ome.zarr", stack, overwrite=True)
        digests.append(file_digest(str(tmp_path / "psf.ome.zarr")))
    assert digests[0]
    assert digests[0] == digests[1] != digests[2]
    assert file_digest("slab:3") == file_digest(str(tmp_path / "none.txt")) == ""


def test_a_measured_profile_is_named_as_what_it_is():
    measured = sampled_profile([-1.0, 0.0, 1.0], [1.0, 2.0, 1.0], "it")
    assert as_text(measured) == f"the measured profile (as wide as gaussian:{measured.width:.3g})"
    assert as_text(Profile("slab", 4)) == "slab:4"
