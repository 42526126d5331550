"""Packages made to harm: nothing in them runs, leads out, or takes more memory than it may."""

import io
import json
import os
import pickle
import stat
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load, save

from conftest import Bomb
from isoslice.errors import ModelError
from isoslice.models.config import MsdsrConfig
from isoslice.models.exchange.package import is_package, read_package
from packages import contents, model, package, repacked


@pytest.fixture
def path(tmp_path):
    return package(tmp_path, model(head=True))


def refused(path, message):
    with pytest.raises(ModelError, match=message) as caught:
        read_package(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def replaced(path, **files):
    """Replace files of a package; names without their dots."""
    names = {name.replace(".", ""): name for name in contents(path)}
    changed = {names[name]: content for name, content in files.items()}
    return repacked(path, lambda each: each.update(changed))


def saved(weights):
    file = io.BytesIO()
    torch.save(weights, file)
    return file.getvalue()


def weights_of(path):
    return torch.load(io.BytesIO(contents(path)["weights.pt"]), weights_only=True)


def test_its_program_and_its_description_are_not_read(path, tmp_path):
    ran = tmp_path / "ran"
    program = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n".encode()
    description = b"!!python/object/apply:os.system ['false']\n\t: [\n{{" + b"[" * 100_000
    replaced(path, architecturepy=program, bioimageioyaml=description)
    assert read_package(path).fingerprint == model().fingerprint
    assert not ran.exists()


def test_weights_that_are_programs_do_not_run(path, tmp_path):
    ran = tmp_path / "ran"
    for content in (
        pickle.dumps(Bomb(ran)),
        saved({"denoiser.enter.weight": Bomb(ran)}),
        saved(Bomb(ran)),
    ):
        refused(replaced(path, weightspt=content), "cannot be read")
    refused(
        replaced(package(tmp_path, model(head=True)), spreadsafetensors=pickle.dumps(Bomb(ran))),
        "cannot be read",
    )
    assert not ran.exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\x"])
def test_names_that_lead_out(path, name):
    refused(repacked(path, lambda files: files.update({name: b"x"})), "leads out of it")


def test_links(path):
    content = contents(path)["config.json"]
    repacked(path, lambda files: files.pop("config.json"))
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, content)
    refused(path, "config.json is a link")


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("config.json", 2**21, "config.json has 2097152 bytes, expected up to 1048576"),
        ("training.json", 2**25, "training.json has 33554432 bytes"),
        ("trust.json", 2**23, "trust.json has 8388608 bytes"),
        ("weights.pt", 2**26, "weights.pt unpacks to 67108864 bytes"),
        ("spread.safetensors", 2**26, "spread.safetensors unpacks to 67108864 bytes"),
    ],
)
def test_bombs(path, name, size, message):
    refused(repacked(path, lambda files: files.update({name: bytes(size)})), message)


def test_files_that_are_not_read_may_be_large(path):
    repacked(path, lambda files: files.update({"weights.onnx": bytes(2**26)}))
    assert read_package(path)


def test_weights_of_more_than_the_settings_say(path):
    more = {**weights_of(path), "denoiser.more": torch.rand(2**19)}
    refused(replaced(path, weightspt=saved(more)), "weights.pt has .* bytes, expected up to")


def test_packed_weights_within(path):
    """PyTorch's own archive, within, may not unpack to more than it holds, either."""
    stored, out = contents(path)["weights.pt"], io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(replaced(path, weightspt=out.getvalue()), "parts of it are compressed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {**w, "denoiser.more": torch.zeros(1)}, "does not fit config.json"),
        (lambda w: dict(list(w.items())[1:]), "does not fit config.json"),
        (lambda w: {name: each.half() for name, each in w.items()}, "does not fit"),
        (lambda w: {name: each * float("nan") for name, each in w.items()}, "not finite"),
        (lambda w: {n: torch.zeros(()).expand(t.shape) for n, t in w.items()}, "no plain array"),
        (lambda w: {name: each.to_sparse() for name, each in w.items()}, "no plain array"),
        (lambda w: {name: each.to("meta") for name, each in w.items()}, "cannot be read"),
        (lambda w: {**w, "more": 3}, "no plain array"),
        (lambda w: list(w.values()), "no dictionary of tensors"),
        (lambda w: {**w, 3: torch.zeros(1)}, "no dictionary of tensors"),
    ],
)
def test_weights_of_another_model(path, change, message):
    refused(replaced(path, weightspt=saved(change(weights_of(path)))), message)


def test_settings_of_a_huge_network_build_nothing(path, monkeypatch):
    def fail(_):
        pytest.fail("it was built")

    monkeypatch.setattr("isoslice.models.exchange.package.build_network", fail)
    settings = json.loads(contents(path)["config.json"])
    settings["network"] |= {"widths": [2048], "blocks_down": [2], "blocks_up": [1]}
    refused(replaced(path, configjson=json.dumps(settings).encode()), "does not fit config.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "cannot be read"),
        (b"{}", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (MsdsrConfig().model_dump_json().encode(), "its recipe is msdsr"),
    ],
)
def test_settings_of_nonsense(path, content, message):
    refused(replaced(path, configjson=content), message)


def test_records_of_nonsense(path):
    refused(replaced(path, trainingjson=b"[" * 200_000), "cannot be read")
    refused(replaced(path, trainingjson=b"{}", trustjson=b'{"format": 2}'), "cannot be read")
    for record in (b'{"minutes": "x"}', b'{"validation": [1]}', b'{"sources": 3}'):
        refused(replaced(path, trainingjson=record, trustjson=b"{}"), "no training record")
    replaced(path, trainingjson=b"[1]")
    assert read_package(path).info == {}


def test_heads_of_nonsense(path):
    head = load(contents(path)["spread.safetensors"])
    refused(replaced(path, spreadsafetensors=save({"a": torch.zeros(1)})), "does not fit")
    refused(replaced(path, spreadsafetensors=struct.pack("<Q", 2**40) + b"{}"), "cannot be read")
    nan = {name: each * float("nan") for name, each in head.items()}
    refused(replaced(path, spreadsafetensors=save(nan)), "not finite")


def test_what_is_no_package(path, tmp_path):
    refused(tmp_path / "none.zip", "no such file")
    refused(tmp_path, "cannot be read")
    os.mkfifo(tmp_path / "pipe.zip")
    refused(tmp_path / "pipe.zip", "a device, pipe or folder")
    (tmp_path / "a.zip").write_bytes(b"no archive")
    refused(tmp_path / "a.zip", "not a zip file")
    assert not any(map(is_package, (tmp_path / "none.zip", tmp_path, tmp_path / "a.zip")))
    assert is_package(path)
    refused(repacked(path, lambda files: files.pop("config.json")), "a package of another program")
    refused(repacked(path, lambda files: files.pop("bioimageio.yaml")), "without bioimageio.yaml")
    assert not is_package(path)


def test_packages_that_are_cut_off_or_damaged(path, tmp_path):
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        refused(tmp_path / "cut.zip", "cannot be read")
    place = whole.index(b"weights.pt") + 500
    (tmp_path / "flipped.zip").write_bytes(
        whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    )
    refused(tmp_path / "flipped.zip", "cannot be read")


def test_entries_that_declare_nonsense(path):
    repacked(path, lambda files: files.update({"config.json": files.pop("config.json")}))
    content = bytearray(path.read_bytes())
    last = content.rfind(b"PK\x01\x02")
    struct.pack_into("<I", content, last + 24, 2**31)
    path.write_bytes(content)
    refused(path, "declares 2147483648 bytes")
    struct.pack_into("<H", content, last + 8, 1)
    path.write_bytes(content)
    refused(path, "encrypted")
