"""`isoslice check`."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume
from isoslice.evaluation.holdout.result import BIN
from isoslice.evaluation.holdout.run import check
from isoslice.inference.model import Model
from isoslice.io import read_volume, write_volume

OPTIONS = ("-q", "--device", "cpu")


def test_what_is_printed_and_written_is_what_was_found(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    scores, errors = tmp_path / "scores.json", tmp_path / "errors.ome.tif"
    code, out, err = cli(
        "check", stack_file, "-m", model_folder, *OPTIONS, "--json", scores, "-o", errors
    )
    assert (code, err) == (0, [])
    expected = check(read_volume(stack_file), Model.load(model_folder))
    (row,) = [line for line in out.splitlines() if line.strip().startswith("PSNR to expect at 3x")]
    gain = expected.predicted_gain
    assert gain is not None
    assert row.split()[-4:-1] == [f"{value:.2f}" for value in expected.predicted.values()]
    assert row.split()[-1] == f"{gain:+.2f}"
    assert out.count("  plane ") == 3
    assert f"verdict: {expected.verdict}" in out.splitlines()
    sentences = ("note: ", "warning: ", "errors: ", "verdict: ")
    assert all(len(line) <= 80 for line in out.splitlines() if not line.startswith(sentences))
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert found["psnr"]["model"] == pytest.approx(expected.psnr["model"])
    assert [plane["plane"] for plane in found["channels"][0]["planes"]] == [1, 2, 3]
    assert found["factor"] == 3
    assert found["doubts"]["isotropy"][0]["ratio"] > 0
    volume = read_volume(errors)
    np.testing.assert_array_equal(volume.tczyx(), expected.errors)
    assert volume.spacing == pytest.approx({"Z": 3, "Y": BIN, "X": BIN})
    assert volume.provenance is not None
    assert volume.provenance["model"] == expected.model


def test_json_on_standard_output_is_all_there_is(
    cli: Cli, stack_file: Path, model_folder: Path
) -> None:
    ran = cli("check", stack_file, "-m", model_folder, *OPTIONS, "--json", "-", "--mode", "sample")
    assert (ran.code, ran.err) == (0, [])
    assert json.loads(ran.out)["mode"] == "sample"


def test_many_planes_are_summed_up(cli: Cli, model_folder: Path, tmp_path: Path) -> None:
    data = texture(16, 40, 44)
    data[6] = data[6][::-1]
    stack = write_stack(tmp_path / "a.ome.tif", data)
    ran = cli("check", stack, "-m", model_folder, *OPTIONS, "--missing", "none")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert any("14 planes, least / quartiles / most" in line for line in lines)
    worst = [line for line in lines if line.startswith("  plane ")]
    assert len(worst) == 5
    assert worst[0].startswith("  plane    6:")


def test_several_channels_are_named(cli: Cli, tmp_path: Path) -> None:
    from isoslice.models.config import ModelConfig, NetworkSettings
    from isoslice.models.networks.factory import build_network

    shape = NetworkSettings(channels=2, widths=(8,), blocks_down=(1,), blocks_up=(0,))
    config = ModelConfig(network=shape, sigma_data=0.1)
    Model(config, build_network(config).eval()).save(tmp_path / "two.model")
    stack = write_stack(tmp_path / "a.ome.tif", texture(4, 2, 40, 44), "ZCYX")
    ran = cli("check", stack, "-m", tmp_path / "two.model", *OPTIONS)
    assert ran.code == 0
    assert "channel 0, time 0: PSNR model" in ran.out
    assert "channel 1, time 0: PSNR model" in ran.out


def test_the_verdict_of_a_bad_model_is_no_error(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    """Pixels of another size, planes that flicker: said, and exit code 0."""
    data = texture(9, 40, 44).astype(np.float32) + 90 * (np.arange(9) % 2)[:, None, None]
    stack = write_stack(tmp_path / "a.ome.tif", data.astype(np.float32), voxel_size=(9, 3, 3))
    ran = cli("check", stack, "-m", model_folder, *OPTIONS)
    assert (ran.code, ran.err) == (0, [])
    said = [line for line in ran.out.splitlines() if line.startswith("warning: ")]
    assert any("flicker" in line for line in said)


def refusal(cli: Cli, tmp_path: Path, *arguments: object, code: int = 1) -> str:
    """Run a command that must fail with one line and leave nothing behind."""
    before = sorted(tmp_path.rglob("*"))
    ran = cli("check", *arguments)
    assert (ran.code, ran.out, len(ran.err)) == (code, "", 1), ran
    assert ran.err[0].startswith("isoslice: error: ")
    assert sorted(tmp_path.rglob("*")) == before
    return ran.err[0]


def test_what_cannot_be_checked_is_refused_in_one_line(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    def refused(*arguments: object, code: int = 1) -> str:
        return refusal(cli, tmp_path, *arguments, code=code)

    model = ("-m", model_folder)
    assert "no isoslice model" in refused(stack_file, "-m", tmp_path / "none")
    assert "none.tif" in refused(tmp_path / "none.tif", *model)
    assert "at least 2" in refused(stack_file, *model, "--factor", 1)
    assert "map.xyz" in refused(stack_file, *model, "-o", tmp_path / "map.xyz")
    two = write_stack(tmp_path / "two.ome.tif", texture(2, 40, 44))
    assert "at least three" in refused(two, *model)
    unsized = write_stack(tmp_path / "unsized.ome.tif", texture(5, 40, 44), voxel_size=None)
    assert "--voxel-size" in refused(unsized, *model)
    flat = write_stack(tmp_path / "flat.ome.tif", np.full((5, 40, 44), 7, np.uint8))
    assert "constant" in refused(flat, *model, "-q")
    gaps = np.full((5, 40, 44), np.nan, np.float32)
    assert "no finite" in refused(write_stack(tmp_path / "nan.ome.tif", gaps), *model, "-q")


@pytest.mark.parametrize("kind", ["channels", "holes", "lost", "coarse X"])
def test_what_people_bring_is_checked(
    cli: Cli, model_folder: Path, tmp_path: Path, kind: str
) -> None:
    stack, axes, size = texture(7, 40, 44, dtype="float32"), "ZYX", (3.0, 1.0, 1.0)
    if kind == "channels":
        stack, axes = texture(7, 2, 40, 44), "ZCYX"
    elif kind == "holes":
        stack[:, :5] = np.nan
    elif kind == "lost":
        stack[3] = 0
    else:
        stack, size = np.ascontiguousarray(stack.transpose(1, 2, 0)), (1.0, 1.0, 3.0)
    path = write_stack(tmp_path / "a.ome.tif", stack, axes, size)
    ran = cli("check", path, "-m", model_folder, "--json", "-")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["tested"] == {"channels": 10, "lost": 4}.get(kind, 5)
    # A model that learned nothing is about as good as a line.
    assert found["psnr"]["model"] == pytest.approx(found["psnr"]["linear"], abs=3)
    told = " ".join(found["warnings"] + found["notes"])
    assert ("plane 3 (counted from 0) is 0 everywhere" in told) == (kind == "lost")
    assert ("without data" in told) == (kind == "holes")


@pytest.mark.parametrize(("option", "name"), [("--json", "a.json"), ("-o", "a.ome.tif")])
def test_existing_files_stay(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path, option: str, name: str
) -> None:
    there = tmp_path / name
    there.write_text("mine", encoding="utf-8")
    line = refusal(cli, tmp_path, stack_file, "-m", model_folder, option, there)
    assert "--overwrite" in line
    assert there.read_text(encoding="utf-8") == "mine"
    ran = cli("check", stack_file, "-m", model_folder, *OPTIONS, option, there, "--overwrite")
    assert ran.code == 0
    assert there.read_bytes() != b"mine"


def test_the_report_shows_hidden_planes(cli, stack_file, model_folder, tmp_path):
    page = tmp_path / "check.html"
    command = ("check", stack_file, "-m", model_folder, "--report", page, "-q")
    assert cli(*command).code == 0
    text = page.read_text(encoding="utf-8")
    for expected in ("checked by leaving planes out", "Error of restored", "Plane by plane"):
        assert expected in text
    planes = text.partition("<h2>Plane by plane</h2>")[2]
    assert planes.index('class="line linear"') < planes.index("<table")
    code, _, err = cli(*command)
    assert code == 1
    assert "check.html" in err[0]
    assert page.read_text(encoding="utf-8") == text
    code, _, err = cli("check", stack_file, "-m", model_folder, "--report", tmp_path / "a.pdf")
    assert code == 1
    assert ".html" in err[0]


def test_what_planes_are_stated_to_see_is_told(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    thick = Metadata(slice_thickness=3.5)
    spacing = {"Z": 3.0, "Y": 1.0, "X": 1.0}
    stack = tmp_path / "a.ome.zarr"
    write_volume(stack, Volume(texture(5, 40, 44), "ZYX", spacing, "millimeter", metadata=thick))
    ran = cli("check", stack, "-m", model_folder, *OPTIONS)
    told = "note: planes are stated to be 3.5 mm thick: --slice-profile slab:3.5"
    assert told in ran.out.splitlines()


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_without_a_model_the_pretrained_one_is_checked(cli: Cli, tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "stack.ome.tif", texture(7, 40, 44))
    found = cli("check", stack, "--json", "-", "--device", "cpu")
    assert found.code == 0, found.err
    assert json.loads(found.out)["model"] == Model.pretrained().fingerprint
    assert any("the one that comes with isoslice is checked" in line for line in found.err)
