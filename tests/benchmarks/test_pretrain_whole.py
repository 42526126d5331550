"""From a corpus to the model in the package, with one command that goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_pretrain import FOLDER, SOURCE, write_corpus

from conftest import texture
from isoslice.inference.model import Model
from isoslice.models.files.card import model_card
from isoslice.training import loop
from isoslice.training.loop import CHECKPOINT
from isoslice.training.objectives import ResidualObjective
from pretrain import learn, pack, spread
from pretrain.__main__ import main
from pretrain.package import facts
from pretrain.packed import Packed


def packed(file: str, source: str, licence: str, held_out: bool = False) -> Packed:
    planes = texture(1, 64, 64)
    return Packed("ct", "ct/a", file, 0, source, licence, "", held_out, planes, 0.0, 255.0, True)


def test_facts_of_a_corpus_are_of_files_not_of_their_channels():
    stacks = [
        packed("ct/a/1.tif", "one@1", "MIT"),
        packed("ct/a/1.tif", "one@1", "MIT"),
        packed("ct/a/2.tif", "two@1", "CC0"),
        packed("ct/a/3.tif", "two@1", "CC BY 4.0", held_out=True),
    ]
    assert facts(stacks) == {
        "licences": {"one@1": "MIT", "two@1": "CC BY 4.0, CC0"},
        "modalities": {"ct": 2},
        "held_out_files": 1,
    }


def test_the_card_in_the_package_says_what_its_record_does():
    model = Model.pretrained()
    folder = Path(learn.__file__).parents[2] / "src" / "isoslice" / "models" / "weights"
    card = model_card(model.config, model.info)
    assert (folder / "README.md").read_text(encoding="utf-8") == card
    assert set(model.info["licences"]) == set(model.info["sources"])
    for source, licence in model.info["licences"].items():
        assert f"- {source}: {licence}\n" in card
    assert "no images were held out" not in card
    assert f"{model.info['held_out_files']} files were held out" in card
    assert sum(model.info["modalities"].values()) + model.info["held_out_files"] == 376


@pytest.mark.slow
def test_one_command_makes_a_model_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    corpus, made = tmp_path / "corpus", tmp_path / "made"
    images = {f"{FOLDER}/{i}.tif": ("YX", texture(140, 150, seed=i)) for i in range(5)}
    corpus.mkdir()
    write_corpus(corpus, images)
    monkeypatch.setattr(spread, "STEPS", 2)
    how = ["--batch", "4", "--device", "cpu", "--steps"]
    command = ["--corpus", str(corpus), "-o", str(made), *how]

    class StopError(Exception):
        """Stands for the end of a process."""

    steps = 0
    loss = ResidualObjective.loss

    def stopping(self, *given):
        nonlocal steps
        steps += 1
        if steps == 2:
            raise StopError
        return loss(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(ResidualObjective, "loss", stopping)
        with pytest.raises(StopError):
            main([*command, "3"])
    workdir = learn.checkpoints(tmp_path / "made.learned")
    assert (workdir / CHECKPOINT).exists()
    with monkeypatch.context() as patch:
        patch.setattr(pack, "main", raises(AssertionError("packed again")))
        patch.setattr(ResidualObjective, "loss", stopping)
        main([*command, "3", "--resume"])
    assert steps == 4  # one, one that failed, and the other two
    found = Model.load(made)
    assert found.info["steps"] == 3
    assert found.info["images_seen"] == 12
    assert found.info["licences"] == {SOURCE: "MIT"}
    assert found.info["modalities"] == {"phase_contrast": 4}
    assert found.info["held_out_files"] == 1
    assert f"- {SOURCE}: MIT\n" in (made / "README.md").read_text(encoding="utf-8")
    # What is learned already is not learned again, only packaged.
    with monkeypatch.context() as patch:
        patch.setattr(learn, "main", raises(AssertionError("learned again")))
        main([*command, "3", "--resume"])


def raises(error: type[Exception] | Exception):
    """Return what raises an error, whatever it is given."""

    def function(*given: object, **named: object) -> None:
        raise error

    return function
