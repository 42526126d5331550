"""`isoslice predict` and `isoslice train`, from files to files."""

import html
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from conftest import Cli, texture, write_stack
from isoslice.cli.predict import model_beside
from isoslice.errors import DoubtWarning
from isoslice.inference.model import Model
from isoslice.io import read_volume
from isoslice.io.reading import read_raw
from isoslice.io.writing import beside

#: Checkpoints after every step.
EAGER = "import isoslice.training.loop; isoslice.training.loop.CHECKPOINT_SECONDS = 0; "
MAIN = "import sys; from isoslice.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("output", "model"),
    [
        ("a/cells.ome.tif", "a/cells.model"),
        ("cells.tif", "cells.model"),
        ("cells", "cells.model"),
        (".cells.zarr", ".cells.model"),
    ],
)
def test_model_beside_the_output(output: str, model: str) -> None:
    assert model_beside(Path(output)) == Path(model)


def test_stack_in_volume_out(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.tif"
    code, printed, err = cli("predict", stack_file, "-m", model_folder, "-o", out, "--steps", "3")
    assert code == 0, err
    assert printed.startswith(f"restored: {out}")
    assert "voxels/s" in printed
    assert any("factor 3" in line for line in err)
    restored, stack = read_volume(out), read_volume(stack_file)
    assert restored.voxel_size == pytest.approx((1.0, 1.0, 1.0))
    assert restored.data.dtype == stack.data.dtype
    assert restored.tczyx().shape == (1, 1, 13, 40, 44)
    np.testing.assert_array_equal(restored.tczyx()[:, :, ::3], stack.tczyx())
    assert restored.provenance is not None
    assert restored.provenance["factor"] == 3
    assert restored.provenance["steps"] == 3


def test_same_seed_same_voxels(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    volumes = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        out = tmp_path / f"{name}.ome.tif"
        options = ("--seed", seed, "--steps", 3, "-q")
        assert cli("predict", stack_file, "-m", model_folder, "-o", out, *options) == (0, "", [])
        volumes.append(read_volume(out).data)
    np.testing.assert_array_equal(volumes[0], volumes[1])
    assert (volumes[0] != volumes[2]).any()


def test_options_reach_the_model(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.tif"
    options = ("--voxel-size", "4,2,2", "--factor", "4", "--mode", "mean", "--device", "cpu", "-q")
    assert cli("predict", stack_file, "-m", model_folder, "-o", out, *options).code == 0
    restored = read_volume(out)
    assert restored.voxel_size == pytest.approx((1.0, 2.0, 2.0))
    assert restored.size("Z") == 17
    assert restored.provenance is not None
    assert restored.provenance["mode"] == "mean"


def test_overwrite_replaces(cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    out.write_bytes(b"old")
    options = ("--overwrite", "--steps", 3, "-q")
    assert cli("predict", stack_file, "-m", model_folder, "-o", out, *options).code == 0
    assert read_volume(out).size("Z") == 13


def test_interrupted_predict_leaves_nothing(
    cli: Cli,
    stack_file: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isoslice.inference.recipes.residual.run_pass", stop)
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "out.ome.tif"
    found = cli("predict", stack_file, "-q", "-m", model_folder, "-o", out)
    assert found == (130, "", ["isoslice: interrupted: nothing was written"])
    assert sorted(tmp_path.iterdir()) == before


def test_train_writes_a_model_that_predict_takes(
    cli: Cli, stack_file: Path, tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def train(images: list[object], **options: object) -> Model:
        asked.update(options, images=images)
        return tiny_model

    monkeypatch.setattr("isoslice.training.train.train", train)
    model, out = tmp_path / "m", tmp_path / "out.ome.tif"
    code, printed, _ = cli("train", stack_file, "-o", model)
    assert code == 0
    assert printed.startswith(f"model: {model}\n")
    assert "hidden rows, 4x: " in printed
    assert f"isoslice predict STACK -m {model}" in printed
    assert (asked["minutes"], asked["steps"]) == (None, None)  # the library knows the default
    assert asked["workdir"] == tmp_path / "m.training"
    assert len(asked["images"]) == 1
    assert cli("predict", stack_file, "-q", "-m", model, "-o", out, "--steps", 3).code == 0
    assert cli("train", stack_file, "-q", "-o", model, "--steps", 7, "--overwrite").code == 0
    assert (asked["minutes"], asked["steps"]) == (None, 7)


def test_interrupted_before_the_first_checkpoint_leaves_nothing(
    cli: Cli, stack_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(_: object, *, workdir: Path, **__: object) -> Model:
        workdir.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("isoslice.training.train.train", train)
    code, out, err = cli("train", stack_file, "-o", tmp_path / "m")
    assert (code, out) == (130, "")
    assert err == ["isoslice: interrupted: before the first checkpoint; nothing was written"]
    assert list(tmp_path.iterdir()) == [stack_file]


@pytest.mark.slow
def test_train_for_real(cli: Cli, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        write_stack(images / f"{i}.ome.tif", texture(48, 48, seed=i), "YX", voxel_size=None)
    model = tmp_path / "m"
    code, printed, err = cli("train", images, "-o", model, "--steps", "2", "--device", "cpu")
    assert code == 0, err
    assert f"model: {model}" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "m"]
    assert Model.load(model).info["steps"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_can_be_resumed(
    cli: Cli, stack_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    model = tmp_path / "m"
    arguments = ["train", str(stack_file), "-o", str(model), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", EAGER + MAIN, *arguments, "--minutes", "5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # A test run started in the background may hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        while process.poll() is None and not (tmp_path / "m.training" / "last.ckpt").exists():
            time.sleep(0.1)
        process.send_signal(number)
        err = process.stderr.read().splitlines()
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
    assert err[-1].startswith("isoslice: interrupted: training is kept in "), err
    assert err[-1].endswith("--resume")
    assert all(line.startswith("training") for line in err[:-1])
    assert not model.exists()
    assert (tmp_path / "m.training").is_dir()
    steps = torch.load(tmp_path / "m.training" / "last.ckpt")["step"] + 1
    found = cli(*arguments, "--resume", "--steps", steps)
    assert found.code == 0, found
    assert any("resuming" in line for line in found.err)
    assert Model.load(model).info["steps"] == steps
    assert not (tmp_path / "m.training").exists()


def test_standard_deviations_and_samples_are_written_beside(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.zarr"
    options = ("--steps", 3, "--samples", 2, "--keep-samples", "-q")
    assert cli("predict", stack_file, "-m", model_folder, "-o", out, *options) == (0, "", [])
    names = ["out.ome.zarr", "out.std.ome.zarr", "out.sample-1.ome.zarr", "out.sample-2.ome.zarr"]
    volumes = [read_volume(tmp_path / name) for name in names]
    assert {v.tczyx().shape for v in volumes} == {(1, 1, 13, 40, 44)}
    assert {v.voxel_size for v in volumes} == {volumes[0].voxel_size}
    assert volumes[1].data.dtype == np.float32
    np.testing.assert_array_equal(volumes[1].tczyx()[:, :, ::3], 0)
    holds = [(v.provenance or {})["holds"] for v in volumes]
    assert holds == ["restored volume", "standard deviation", "sample 1 of 2", "sample 2 of 2"]
    multiples = (volumes[1].provenance or {})["uncertainty"]["interval_multiples"]
    assert set(multiples) == {"50%", "68%", "80%", "90%", "95%", "99%"}


def test_what_lies_beside_is_not_replaced(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.std.tif").write_text("mine", encoding="utf-8")
    command = ("predict", stack_file, "-m", model_folder, "-o", tmp_path / "out.tif", "-q")
    code, _, err = cli(*command, "--uncertainty")
    assert code == 1
    assert "out.std.tif" in err[0]
    assert (tmp_path / "out.std.tif").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "out.tif").exists()
    assert cli(*command, "--uncertainty", "--overwrite").code == 0
    assert read_volume(tmp_path / "out.std.tif").data.dtype == np.float32


def test_reports_of_all_formats_tell_what_was_warned_of(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    """Blocks of an image are restored by other code than volumes in memory."""
    stack = write_stack(tmp_path / "s.ome.tif", texture(5, 40, 44), voxel_size=(6.0, 2.0, 2.0))
    told = []
    for name in ("a.ome.tif", "b.ome.zarr"):
        page = tmp_path / f"{name}.html"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtWarning)
            done = cli(
                "predict", stack, "-m", model_folder, "-o", tmp_path / name, "--report", page
            )
        assert done.code == 0
        text = page.read_text(encoding="utf-8")
        told.append(text[text.index("Warned of:") : text.index("</", text.index("Warned of:"))])
        messages = read_volume(tmp_path / name).provenance["warnings"]
        assert messages
        assert text.count("\n\nWarned of:") == len(messages)  # each on lines of its own
        assert all(message in html.unescape(told[-1]) for message in messages)
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", 1), "got 1 sample"),
        (("--keep-samples",), "none to draw"),
        (("--samples", 3, "--mode", "mean"), "mode mean"),
        (("--uncertainty", "--blur"), "leave the blur out"),
    ],
)
def test_doubts_that_cannot_be_told_are_refused_at_once(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path, options, message: str
) -> None:
    out = tmp_path / "out.ome.zarr"
    code, _, err = cli("predict", stack_file, "-m", model_folder, "-o", out, *options)
    assert code == 1
    assert len(err) == 1
    assert message in err[0]
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.ome.zarr", "a.std.ome.zarr"),
        ("my.cells.OME.tif", "my.cells.std.OME.tif"),
        ("x.nii.gz", "x.std.nii.gz"),
        ("plain.npy", "plain.std.npy"),
    ],
)
def test_names_beside(name: str, expected: str) -> None:
    assert beside(Path("folder") / name, "std") == Path("folder") / expected


def test_an_axis_may_be_named_in_small_letters(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(40, 5, 44), "ZYX", (1.0, 3.0, 1.0))
    out = tmp_path / "out.ome.tif"
    options = ("--mode", "mean", "--along", "y", "-q")
    assert cli("predict", stack, "-m", model_folder, "-o", out, *options).code == 0
    assert read_volume(out).data.shape == (40, 13, 44)


def test_agreement_with_blurred_planes_is_told(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".ome.tif", ".ome.zarr"):
        for far, warned in ((1.25, False), (25.0, True)):
            found = np.array([[0.5, 0.5, 0.5, 0.5, far]])
            monkeypatch.setattr(
                "isoslice.inference.engine.restoration.chi_squared", lambda *_, found=found: found
            )
            out = tmp_path / f"{warned}{suffix}"
            code, printed, err = cli(
                "predict", stack_file, "-m", model_folder, "-o", out, "--mode", "mean",
                "--slice-profile", "slab", "--device", "cpu",
            )  # fmt: skip
            assert code == 0, err
            mean = np.mean([0.5] * 4 + [far])
            assert f"by {mean:.2g} of their noise's variance" in printed
            assert any("times the variance of their noise" in line for line in err) == warned
            record = read_volume(out).provenance
            assert record is not None
            (((*first, last),),) = record["slice_profile"]["measured_share"]
            assert len(first) == 12
            assert 0 < min(first) < 0.5 < last
    code, printed, _ = cli(
        "predict", stack_file, "-m", model_folder, "-o", tmp_path / "points.tif", "--mode", "mean"
    )
    assert code == 0
    assert "agreement:" not in printed


def test_a_plan_alone_and_what_goes_on_with_it(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.zarr"
    command = ("predict", stack_file, "-m", model_folder, "-o", out, "--steps", 3)
    for option, value in (("--part", "1/2"), ("--resume", None), ("--report", tmp_path / "r.html")):
        words = (option,) if value is None else (option, value)
        code, _, err = cli(*command, "--plan", *words)
        assert code == 1
        assert f"{option} with --plan" in err[-1] or f"--plan with {option}" in err[-1]
    code, printed, _ = cli(*command, "--plan")
    assert code == 0
    assert printed.startswith(f"planned: {out}.unfinished; run again with -m {model_folder} and ")
    assert not out.exists()
    assert cli(*command, "-q", "--part", "2/2") == (0, "", [])
    assert read_volume(out).size("Z") == 13


#: Reads a volume that takes hours, and is stopped meanwhile.
STOPPED = """
import os, signal, sys
from isoslice.cli import main
from isoslice.inference.engine import need
from isoslice.runtime.progress import PlainProgress

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what runs in the background
need.free_bytes = lambda folder: 2**62
update = PlainProgress.update


def stop(self, task, fraction, detail=""):
    update(self, task, fraction, detail)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), int(sys.argv[1])))
    signal.setitimer(signal.ITIMER_REAL, 0.7)  # in the middle of a part that is read


PlainProgress.update = stop
sys.exit(main(["predict", "huge.ome.zarr", "-m", "pretrained", "-o", "out.ome.zarr"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_stopped_while_it_reads_ends_in_one_line(tmp_path: Path, number: int) -> None:
    """As SLURM stops a job; Zarr has many chunks on their way then."""
    group = zarr.open_group(tmp_path / "huge.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(2000, 32000, 32000), chunks=(64, 128, 128), dtype="u1")
    scale = {"type": "scale", "scale": [32.0, 8.0, 8.0]}
    image: dict[str, Any] = {
        "version": "0.4",
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    group.attrs["multiscales"] = [image]
    ran = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(number))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 130
    lines = ran.stderr.splitlines()
    assert any("2.05 TB" in line for line in lines)
    assert lines[-1] == "isoslice: interrupted: nothing was written"
    assert not [line for line in lines if "Traceback" in line or "Task" in line]


@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])  # in memory, and on the disk
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_a_stack_is_opened_once(
    cli: Cli, stack_file: Path, tmp_path: Path, model_folder: Path, name: str, monkeypatch: Any
) -> None:
    opened: list[Path] = []

    def noted(path: Path, *rest: Any) -> Any:
        opened.append(path)
        return read_raw(path, *rest)

    monkeypatch.setattr("isoslice.io.reading.read_raw", noted)
    out, report = tmp_path / name, tmp_path / "out.html"
    found = cli("predict", stack_file, "-m", model_folder, "-o", out, "--report", report)
    assert found.code == 0, found.err
    assert opened.count(stack_file) == 1
