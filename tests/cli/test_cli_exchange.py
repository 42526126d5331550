"""`isoslice export` and `isoslice import`: what they say, write and refuse."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture, write_stack


@pytest.fixture
def refused(cli: Cli, tmp_path: Path):
    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        ran = cli(*arguments)
        assert ran.code == 1, ran
        assert len(ran.err) == 1, ran
        assert sorted(tmp_path.rglob("*")) == before
        return ran.err[0]

    return run


def fingerprint(cli: Cli, folder: Path) -> str:
    return json.loads(cli("info", folder, "--json").out)["fingerprint"]


def test_there_and_back(cli: Cli, model_folder: Path, tmp_path: Path) -> None:
    package, back = tmp_path / "m.zip", tmp_path / "back.model"
    ran = cli("export", model_folder, "-o", package)
    assert (ran.code, ran.err) == (0, [])
    lines = ran.out.splitlines()
    assert lines[0].startswith(f"package: {package} (")
    assert "--author and --license" in lines[1]
    assert lines[2] == f"next: bioimageio test {package}"
    ran = cli("import", package, "-o", back)
    assert (ran.code, ran.err) == (0, [])
    assert ran.out.splitlines()[0].startswith(f"model: {back} (")
    assert fingerprint(cli, back) == fingerprint(cli, model_folder)


def test_options_go_into_the_package(cli: Cli, model_folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", texture(6, 50, 50))
    ran = cli(
        "export", model_folder, "-o", tmp_path / "m.zip", "--factor", 5, "--name", "My model",
        "--author", "A. Person", "--author", "B. Person", "--license", "CC0-1.0",
        "--tag", "nuclei", "--sample", tmp_path / "s.npy", "--axes", "ZYX",
    )  # fmt: skip
    assert ran.code == 0, ran
    assert "publish" not in ran.out
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        told = json.loads(archive.read("bioimageio.yaml"))
        stack = np.load(archive.open("test_input.npy"))
    assert (told["name"], told["license"]) == ("My model", "CC0-1.0")
    assert [author["name"] for author in told["authors"]] == ["A. Person", "B. Person"]
    assert told["inputs"][0]["axes"][2]["scale"] == 5
    assert "nuclei" in told["tags"]
    np.testing.assert_array_equal(stack[0, 0], texture(6, 50, 50)[:, 1:49, 1:49])


def test_quiet(cli: Cli, model_folder: Path, tmp_path: Path) -> None:
    ran = cli("export", model_folder, "-q", "-o", tmp_path / "m.zip")
    assert (ran.code, ran.out, ran.err) == (0, "", [])
    ran = cli("import", tmp_path / "m.zip", "-q", "-o", tmp_path / "m.model")
    assert (ran.code, ran.out, ran.err) == (0, "", [])


def test_nothing_is_replaced_unasked(cli: Cli, refused, model_folder: Path, tmp_path: Path) -> None:
    package, folder = tmp_path / "m.zip", tmp_path / "m.model"
    package.write_bytes(b"precious")
    assert "--overwrite" in refused("export", model_folder, "-o", package)
    assert package.read_bytes() == b"precious"
    assert cli("export", model_folder, "-q", "-o", package, "--overwrite").code == 0
    shutil.copytree(model_folder, folder)
    assert "--overwrite" in refused("import", package, "-o", folder)
    assert cli("import", package, "-q", "-o", folder, "--overwrite").code == 0


def test_what_cannot_be_exported(refused, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.zip"
    assert "no isoslice model there" in refused("export", tmp_path / "none", "-o", out)
    assert "expected .zip" in refused("export", model_folder, "-o", tmp_path / "m.model")
    assert "expected 2 to 64" in refused("export", model_folder, "-o", out, "--factor", 1)
    assert "spdx.org" in refused("export", model_folder, "-o", out, "--license", "mine, all mine")
    stack = write_stack(tmp_path / "one.ome.tif", texture(40, 44), "YX", None)
    line = refused("export", model_folder, "-o", out, "--sample", stack)
    assert "single plane" in line
    np.save(tmp_path / "s.npy", texture(6, 50, 50))
    assert "--axes ZYX" in refused(
        "export", model_folder, "-o", out, "--sample", tmp_path / "s.npy"
    )


def test_checkpoints_are_recognised(cli: Cli, tmp_path: Path) -> None:
    import torch

    from isoslice.models.config import MsdsrConfig, UNetSettings
    from isoslice.models.files.msdsr_checkpoint import AVERAGED, RAW
    from isoslice.models.networks.factory import build_network

    weights: dict[str, torch.Tensor] = {}
    network = build_network(MsdsrConfig(network=UNetSettings(width=8)))
    for name, tensor in network.state_dict().items():
        weights[RAW + name] = weights[AVERAGED + name.replace(".", "")] = tensor
    torch.save({"state_dict": weights}, tmp_path / "a.ckpt")
    ran = cli("import", tmp_path / "a.ckpt", "-o", tmp_path / "m.model")
    assert ran.code == 0, ran
    assert "width 8" in ran.out


def test_what_cannot_be_imported(refused, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.model"
    assert "no such file" in refused("import", tmp_path / "none.zip", "-o", out)
    assert "no such file" in refused("import", tmp_path / "none.ckpt", "-o", out)
    (tmp_path / "a.zip").write_bytes(b"no archive")
    assert "isoslice export" in refused("import", tmp_path / "a.zip", "-o", out)
    (tmp_path / "a.ckpt").write_bytes(b"no archive")
    assert "Lightning checkpoint" in refused("import", tmp_path / "a.ckpt", "-o", out)
    refused("import", model_folder, "-o", out)
