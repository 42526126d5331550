"""Bad input through the command line: one line, no traceback, nothing left behind."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import Cli, texture, write_stack
from jobs_setup import small_model


@pytest.fixture
def refused(cli: Cli, tmp_path: Path):
    """Run a command that must fail, and return its line."""

    def run(*arguments: object, code: int = 1) -> str:
        before = sorted(tmp_path.rglob("*"))
        found = cli(*arguments)
        assert found.code == code, found
        assert found.out == ""
        assert len(found.err) == 1, found.err
        assert found.err[0].startswith("isoslice: error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return found.err[0]

    return run


@pytest.fixture
def predict(refused, model_folder: Path, tmp_path: Path):
    """`isoslice predict` of a stack with the tiny model, which must fail."""

    def run(stack: Path, *options: object, code: int = 1, model: Path = model_folder) -> str:
        out = tmp_path / "out.ome.tif"
        # Without --quiet: input must be refused before anything else is said.
        return refused("predict", stack, "-m", model, "-o", out, *options, code=code)

    return run


def test_missing_voxel_size(predict, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 40), voxel_size=None)
    assert "--voxel-size" in predict(stack)


def test_a_missing_voxel_size_is_told_with_what_is_known(refused, tmp_path: Path) -> None:
    """Of Fiji's TIFF without a depth, in the same words whatever the command."""
    stack = tmp_path / "a.tif"
    tifffile.imwrite(
        stack, texture(5, 40, 40), imagej=True, resolution=(2, 2), metadata={"axes": "ZYX"}
    )
    for command in (("predict", stack, "-o", tmp_path / "o.tif", "--minutes", 0), ("check", stack)):
        line = refused(*command, "-q")
        assert "no voxel size along Z in its metadata (known: Y 0.5, X 0.5)" in line
        assert "microscope's settings" in line


def test_a_name_with_a_space_that_the_shell_cut_in_two(refused) -> None:
    line = refused("info", "my", "stack.tif", code=2)
    assert 'put a name with spaces in quotation marks, such as "my stack.tif"; see ' in line


@pytest.mark.parametrize("name", ["", "folder", "my folder"])
def test_a_folder_as_output(refused, stack_file: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(exist_ok=True)
    line = refused("predict", stack_file, "-o", tmp_path / name)
    assert "got a folder, expected the name of a file to write; give one in it" in line


def test_here_is_no_output(refused, stack_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "for example RESTORED.tif" in refused("predict", stack_file, "-o", ".")


def test_an_output_without_a_known_suffix(refused, stack_file: Path, tmp_path: Path) -> None:
    for name, other in (("out", "out.tif"), ("out.png", "out.tif")):
        line = refused("predict", stack_file, "-o", tmp_path / name)
        assert line.endswith(f"rename the output, for example to {tmp_path / other}")


def test_missing_voxel_size_even_with_a_factor(predict, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 40), voxel_size=None)
    assert "--voxel-size" in predict(stack, "--factor", "3")


@pytest.mark.parametrize("size", ["3,1", "3,1,x", "0,1,1", "-3,1,1", "nan,1,1", "inf,1,1", ""])
def test_broken_voxel_size(predict, stack_file: Path, size: str) -> None:
    assert "three positive numbers Z,Y,X" in predict(stack_file, f"--voxel-size={size}")


@pytest.mark.parametrize("axes", ["ZY", "ZYXC", "ZYY", "ZYQ", "TCZ"])
def test_wrong_axes(predict, stack_file: Path, axes: str) -> None:
    line = predict(stack_file, "--axes", axes)
    assert "--axes" in line
    assert axes in line


def test_2d_image(predict, tmp_path: Path) -> None:
    image = write_stack(tmp_path / "a.ome.tif", texture(40, 40), "YX", voxel_size=None)
    assert re.search("2D|plane|Z", predict(image, "--voxel-size", "3,1,1"))


def test_one_plane(predict, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", texture(1, 40, 40))
    options = ("--axes", "ZYX", "--voxel-size", "3,1,1")
    assert "at least two" in predict(tmp_path / "a.npy", *options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_but_nan_or_infinity(predict, tmp_path: Path, bad: float) -> None:
    data = np.full((5, 40, 40), bad, np.float32)
    line = predict(write_stack(tmp_path / "a.ome.tif", data), "-q")
    assert "no finite voxel" in line


def test_constant_image(predict, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", np.full((5, 40, 40), 7, np.uint8))
    assert "constant" in predict(stack, "-q")


def test_truncated_file(predict, stack_file: Path) -> None:
    stack_file.write_bytes(stack_file.read_bytes()[:3000])
    assert stack_file.name in predict(stack_file)


def test_no_image_at_all(predict, tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("this is no image", encoding="utf-8")
    assert "a.tif" in predict(text)


def test_missing_file(predict, tmp_path: Path) -> None:
    assert "none.tif" in predict(tmp_path / "none.tif")


def test_isotropic_stack(predict, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 40), voxel_size=(1, 1, 1))
    assert "isotropic already" in predict(stack)


@pytest.mark.parametrize("factor", ["1", "0", "-2"])
def test_factor_below_two(predict, stack_file: Path, factor: str) -> None:
    assert "expected an integer of at least 2" in predict(stack_file, "--factor", factor)


def test_broken_factor(predict, stack_file: Path) -> None:
    assert "--factor" in predict(stack_file, "--factor", "1.5", code=2)


def test_channels_that_the_model_does_not_know(predict, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 3, 40, 40), "ZCYX")
    small_model(tmp_path / "two.model", channels=2)
    line = predict(stack, model=tmp_path / "two.model")
    assert "3 channel(s), expected 2" in line
    assert "--channel 0,1" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--detail", "1.5"), "0 (the mean) to 1"),
        (("--detail", "nan"), "0 (the mean) to 1"),
        (("--detail", "0.5", "--mode", "mean"), "leave the detail out"),
        (("--steps", "2"), "expected 3 to 1000"),
        (("--direction", "XZ"), "leave it out"),
    ],
)
def test_options_that_do_not_fit(
    predict, refused, stack_file: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in predict(stack_file, *options)
    # Without a model too, before one is adapted or trained.
    for scratch in ((), ("--scratch",)):
        out = tmp_path / "out.ome.tif"
        assert said in refused("predict", stack_file, "-o", out, *options, *scratch)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "-1"), "got minutes -1, expected 0 or more"),
        (("--minutes", "nan"), "got minutes nan"),
        (("--minutes", "0", "--scratch"), "got minutes 0, expected a positive number"),
        (("--scratch", "-m", "some.model"), "leave out --scratch"),
    ],
)
def test_times_that_cannot_be_meant(
    refused, stack_file: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in refused("predict", stack_file, "-o", tmp_path / "out.ome.tif", *options)


def test_unknown_device(predict, stack_file: Path) -> None:
    assert "'tpu'" in predict(stack_file, "--device", "tpu", code=2)


def test_cuda_where_there_is_none(
    predict, stack_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device auto" in predict(stack_file, "--device", "cuda")


def test_model_that_is_none(predict, stack_file: Path, tmp_path: Path) -> None:
    assert "isoslice train" in predict(stack_file, model=tmp_path / "none.model")
    assert "no isoslice model" in predict(stack_file, model=stack_file)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    assert "no isoslice model" in predict(stack_file, model=foreign)


@pytest.fixture
def copied_model(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy.model"))


def tamper(model: Path, section: str, name: str, value: object) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config[section][name] = value
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_foreign_folder_with_the_same_file_names(
    predict, stack_file: Path, copied_model: Path
) -> None:
    (copied_model / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    assert "copy.model: got settings that cannot be read" in predict(stack_file, model=copied_model)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"network": 3}', "\xff\xfe"])
def test_settings_that_are_no_settings(
    predict, stack_file: Path, copied_model: Path, text: str
) -> None:
    (copied_model / "config.json").write_text(text, encoding="latin-1")
    assert "copy.model" in predict(stack_file, model=copied_model)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("network", "channels", 0),
        ("network", "channels", 10**9),
        ("network", "widths", []),
        ("network", "widths", [8, -8]),
        ("network", "widths", [4096] * 6),
        ("network", "unknown", 1),
        ("sampler", "sigma_max", 0),
        ("sampler", "rho", "nan"),
    ],
)
def test_settings_out_of_range(
    predict, stack_file: Path, copied_model: Path, section: str, name: str, value: object
) -> None:
    tamper(copied_model, section, name, value)
    assert "copy.model" in predict(stack_file, model=copied_model)


def test_weights_of_another_shape(predict, stack_file: Path, copied_model: Path) -> None:
    tamper(copied_model, "network", "widths", [8, 16])
    assert "weights that do not fit" in predict(stack_file, model=copied_model)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_truncated_weights(predict, stack_file: Path, copied_model: Path, keep: int) -> None:
    weights = copied_model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "weights that cannot be read" in predict(stack_file, model=copied_model)


def test_existing_output(predict, stack_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    out.write_bytes(b"precious")
    assert "--overwrite" in predict(stack_file)
    assert out.read_bytes() == b"precious"


def test_output_is_checked_before_anything_is_read(refused, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    out.write_bytes(b"precious")
    line = refused("predict", tmp_path / "none.tif", "-o", out)
    assert "--overwrite" in line


def test_existing_model_beside_the_output(refused, stack_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out.model").mkdir()
    line = refused("predict", stack_file, "-o", tmp_path / "out.ome.tif")
    assert "out.model" in line


@pytest.mark.parametrize("command", ["predict", "train"])
def test_output_folder_missing(refused, stack_file: Path, tmp_path: Path, command: str) -> None:
    line = refused(command, stack_file, "-o", tmp_path / "none" / "out.ome.tif")
    assert "none" in line


def test_output_format_unknown(refused, stack_file: Path, tmp_path: Path) -> None:
    line = refused("predict", stack_file, "-o", tmp_path / "out.docx")
    assert "out.docx" in line


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("out.ome.tif", "tifffile.TiffWriter.write"),
        ("out.ome.zarr", "zarr.Group.create_array"),
        ("out.ome.zarr", "isoslice.io.atomic.os.fsync"),
    ],
)
def test_disk_full(
    refused,
    stack_file: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fails: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fails, full)
    line = refused("predict", stack_file, "-q", "-m", model_folder, "-o", tmp_path / name)
    assert "No space left on device" in line


def test_disk_full_after_hours(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done by then is kept."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "out.ome.zarr"
    arguments = ("predict", stack_file, "-q", "-m", model_folder, "-o", out)
    with monkeypatch.context() as patch:
        patch.setattr("zarr.Array.__setitem__", full)
        found = cli(*arguments)
    assert found.code == 1
    assert len(found.err) == 1
    assert "the disk is full" in found.err[0]
    assert "--resume" in found.err[0]
    assert not out.exists()
    assert cli(*arguments, "--resume").code == 0
    assert out.exists()


def test_train_on_nothing(refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for images in (tmp_path / "empty", tmp_path / "*.tif", tmp_path / "none.tif"):
        refused("train", images, "-o", tmp_path / "m")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (np.full((5, 40, 40), 7, np.uint8), "constant"),
        (texture(5, 20, 20), "at least 32 x 32"),
        (np.full((5, 40, 40), np.nan, np.float32), "no finite voxel"),
    ],
)
def test_train_on_unusable_images(refused, tmp_path: Path, data: np.ndarray, text: str) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", data)
    assert text in refused("train", stack, "-o", tmp_path / "m", "--steps", "1")


@pytest.mark.parametrize(
    "options", [("--minutes", "0"), ("--minutes", "-1"), ("--minutes", "nan"), ("--steps", "0")]
)
def test_train_without_a_budget(refused, stack_file: Path, tmp_path: Path, options) -> None:
    assert options[0].strip("-") in refused("train", stack_file, "-o", tmp_path / "m", *options)


def test_train_over_an_existing_model(refused, stack_file: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "--overwrite" in refused("train", stack_file, "-o", tmp_path / "m")


def test_train_over_an_unfinished_training(refused, stack_file: Path, tmp_path: Path) -> None:
    (tmp_path / "m.training").mkdir()
    (tmp_path / "m.training" / "last.ckpt").touch()
    line = refused("train", stack_file, "-o", tmp_path / "m")
    assert "--resume" in line
    assert "--overwrite" in line


def test_resume_without_an_unfinished_training(refused, stack_file: Path, tmp_path: Path) -> None:
    line = refused("train", stack_file, "-o", tmp_path / "m", "--resume")
    assert "no unfinished training" in line


def test_evaluate_volumes_of_other_shapes(refused, stack_file: Path, tmp_path: Path) -> None:
    other = write_stack(tmp_path / "b.ome.tif", texture(9, 40, 44))
    line = refused("evaluate", stack_file, other, "--json", tmp_path / "scores.json")
    assert "expected equal shapes" in line


def test_evaluate_over_existing_scores(refused, stack_file: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{}", encoding="utf-8")
    line = refused("evaluate", stack_file, stack_file, "--json", tmp_path / "scores.json")
    assert "--overwrite" in line


def test_info_of_nothing(refused, tmp_path: Path) -> None:
    assert "none" in refused("info", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("info", tmp_path / "empty")


def test_the_input_is_never_replaced(refused, model_folder: Path, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 40))
    link = tmp_path / "link.ome.tif"
    link.symlink_to(stack)
    before = stack.read_bytes()
    for command in ("predict", "check"):
        for out in (stack, link):
            line = refused(command, stack, "-m", model_folder, "-o", out, "--overwrite")
            assert "never replaced" in line
    assert stack.read_bytes() == before
