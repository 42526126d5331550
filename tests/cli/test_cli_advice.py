"""What messages advise is run: it must lead on, to the end or to another message.

A case is a command that is refused. What its message names (options with values, flags, options to
leave out, commands to run first) is collected from the text, done, and the command is run again.
"""

import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile

from conftest import Cli, texture, write_stack
from isoslice import write_volume
from isoslice.data.volume import Volume
from jobs_setup import small_model

#: Options that take no value.
FLAGS = ("--overwrite", "--resume", "--plan")
VALUED = re.compile(r"(--[a-z][a-z-]*) ([A-Z0-9][^\s;]*|um\b|auto\b)")
COMMAND = re.compile(r"'(isoslice [^']+)'")
LEFT_OUT = re.compile(r"leave out ((?:--[a-z-]+(?: and )?)+)")


class Advice(NamedTuple):
    """One thing to do."""

    run: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((*self.run, *self.add, *(f"no {name}" for name in self.drop)))


def advised(line: str) -> list[Advice]:
    """Collect what a message advises: of alternatives, each."""
    advice = line.rpartition("; ")[2] if "; to " not in line else line.partition("; ")[2]
    commands = [shlex.split(found) for found in COMMAND.findall(advice)]
    text = COMMAND.sub("", advice)
    dropped = [
        Advice(drop=tuple(re.findall(r"--[a-z-]+", found))) for found in LEFT_OUT.findall(text)
    ]
    text = LEFT_OUT.sub("", text)
    values = [Advice(add=(name, value.rstrip(",.):"))) for name, value in VALUED.findall(text)]
    flags = [Advice(add=(name,)) for name in FLAGS if name in text]
    if dropped and flags and ", and " in advice:
        return [Advice(drop=dropped[0].drop, add=flags[0].add)]
    if commands and commands[0][1] not in ("info", "env"):
        (after,) = values or [Advice()]
        return [Advice(tuple(commands[0]), after.add)]
    return [*dropped, *values, *flags]


def follow(words: list[str], advice: Advice) -> list[str]:
    """Change a command as advised."""
    for name in (*advice.drop, *advice.add[:1]):
        if name in words:
            at = words.index(name)
            has_value = name not in (*FLAGS, "--light") and at + 1 < len(words)
            words = words[:at] + words[at + 1 + has_value :]
    return [*words, *advice.add]


class Case(NamedTuple):
    """A command that is refused, and what its message must advise at least."""

    name: str
    command: Callable[[Path, Path], list[object]]
    expected: tuple[str, ...]


def predict(*options: object, stack: Callable[[Path], Path], out: str = "out.ome.tif"):
    return lambda folder, model: [
        "predict", stack(folder), "-q", "-m", model, "-o", folder / out, *options
    ]  # fmt: skip


def fine(folder: Path) -> Path:
    return write_stack(folder / "fine.ome.tif", texture(5, 40, 44))


def isotropic(folder: Path) -> Path:
    return write_stack(folder / "iso.ome.tif", texture(5, 40, 44), voxel_size=(1, 1, 1))


def no_size(folder: Path) -> Path:
    return write_stack(folder / "nosize.ome.tif", texture(5, 40, 44), voxel_size=None)


def no_axes(folder: Path) -> Path:
    np.save(folder / "a.npy", texture(5, 40, 44))
    return folder / "a.npy"


def wrong_note(folder: Path) -> Path:
    write_volume(
        folder / "b.npy",
        Volume(texture(5, 40, 44), "ZYX", dict(zip("ZYX", (3, 1, 1), strict=True))),
    )
    np.save(folder / "b.npy", texture(6, 40, 44))
    return folder / "b.npy"


def time_for_depth(folder: Path) -> Path:
    path = folder / "t_for_z.tif"
    meta = {"axes": "TYX", "unit": "um"}
    tifffile.imwrite(path, texture(9, 40, 44), imagej=True, resolution=(4, 4), metadata=meta)
    return path


def channels_for_depth(folder: Path) -> Path:
    return write_stack(folder / "c.ome.tif", texture(5, 40, 44), "CYX")


def three_channels(folder: Path) -> Path:
    return write_stack(folder / "three.ome.tif", texture(3, 5, 40, 44), "CZYX")


def several_times(folder: Path) -> Path:
    return write_stack(folder / "times.ome.tif", texture(2, 5, 40, 44), "TZYX")


def two_series(folder: Path) -> Path:
    path = folder / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, shape in (("overview", (2, 36, 36)), ("stack", (5, 40, 44))):
            size = {
                f"PhysicalSize{axis}": step for axis, step in zip("ZYX", (3, 1, 1), strict=True)
            }
            file.write(
                texture(*shape),
                photometric="minisblack",
                metadata={"axes": "ZYX", "Name": name, **size},
            )
    return path


def existing(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"precious")
        return fine(folder)

    return make


def unfinished_training(folder: Path, _: Path) -> list[object]:
    (folder / "m.training").mkdir()
    (folder / "m.training" / "last.ckpt").touch()
    return ["train", fine(folder), "-q", "-o", folder / "m", "--steps", 1]


def two_of_three(folder: Path, _: Path) -> list[object]:
    small_model(folder / "two.model", 2)
    return predict(stack=three_channels)(folder, folder / "two.model")


def images(folder: Path) -> Path:
    return write_stack(folder / "cube.ome.tif", texture(20, 40, 40), voxel_size=(1, 1, 1))


def slicefid(*options: object):
    def command(folder: Path, _: Path) -> list[object]:
        return ["slicefid", images(folder), "--real", images(folder), *options]

    return command


CASES = [
    Case("voxel size", predict(stack=no_size), ("--voxel-size 4.0,0.83,0.83um",)),
    Case("isotropic", predict(stack=isotropic), ("--voxel-size 4.0,0.83,0.83um", "--factor 2")),
    Case("axes", predict(stack=no_axes), ("--axes ZYX",)),
    Case("too few axes", predict("--axes", "YX", stack=fine), ("--axes ZYX",)),
    Case("four axes", predict("--axes", "ZYX", stack=three_channels), ("--axes CZYX",)),
    Case("description", predict(stack=wrong_note), ("--axes ZYX",)),
    Case("T for Z", predict(stack=time_for_depth), ("--axes ZYX",)),
    Case("C for Z", predict(stack=channels_for_depth), ("--axes ZYX",)),
    Case(
        "no voxel size",
        predict("--voxel-size", "3,1", stack=fine),
        ("--voxel-size 2.8mm,0.7mm,0.7mm", "--voxel-size 4.0,0.83,0.83"),
    ),
    Case(
        "no unit",
        predict("--voxel-size", "3,1,1px", stack=fine),
        ("--voxel-size 2.8mm,0.7mm,0.7mm",),
    ),
    Case(
        "one unit of three",
        predict("--voxel-size", "3nm,1,1", stack=fine),
        ("--voxel-size 3,1,1nm",),
    ),
    Case(
        "two units",
        predict("--voxel-size", "3,1,1mm", "--unit", "um", stack=fine),
        ("no --unit",),
    ),
    Case(
        "unknown unit",
        predict("--voxel-size", "3,1,1", "--unit", "px", stack=fine),
        ("--unit um",),
    ),
    Case(
        "unit alone", predict("--unit", "nm", stack=fine), ("--voxel-size 4,0.83,0.83nm",)
    ),
    Case("series", predict("--series", "none", stack=two_series), ("--series 0",)),
    Case("channel", predict("--channel", "3", stack=three_channels), ("--channel 0",)),
    Case("channel twice", predict("--channel", "1,1", stack=three_channels), ("--channel 1",)),
    Case("time", predict("--time", "7", stack=several_times), ("--time 0",)),
    Case("channels of the model", two_of_three, ("--channel 0,1",)),
    Case("output", predict(stack=existing("out.ome.tif")), ("--overwrite",)),
    Case("resume nothing", predict("--resume", stack=fine, out="o.ome.zarr"), ("no --resume",)),
    Case("no blocks", predict("--resume", stack=fine), ("no --resume",)),
    Case(
        "who works",
        predict("--workers", 2, "--part", "1/2", stack=fine, out="o.ome.zarr"),
        ("no --part",),
    ),
    Case(
        "plan and part",
        predict("--plan", "--part", "1/2", stack=fine, out="o.ome.zarr"),
        ("no --plan",),
    ),
    Case(
        "part and report",
        lambda folder, model: [
            *predict("--part", "1/1", stack=fine, out="o.ome.zarr")(folder, model),
            "--report", folder / "r.html",
        ],
        ("no --report",),
    ),
    Case(
        "part without a model",
        lambda folder, _: [
            "predict", fine(folder), "-o", folder / "o.ome.zarr", "--part", "1/1", "-q"
        ],
        ("isoslice train ",),
    ),
    Case(
        "no model there",
        lambda folder, _: predict(stack=fine)(folder, folder / "none.model"),
        ("isoslice train IMAGES -o ",),
    ),
    Case(
        "device", predict("--device", "cuda", stack=fine), ("--device auto",)
    ),
    Case("training left", unfinished_training, ("--resume", "--overwrite")),
    Case(
        "no training left",
        lambda folder, _: [
            "train", fine(folder), "-q", "-o", folder / "m", "--steps", 1, "--resume"
        ],
        ("no --resume",),
    ),
    Case(
        "factor of an evaluation",
        lambda folder, _: [
            "evaluate", images(folder), images(folder), "--factor", 30
        ],
        ("--factor 19",),
    ),
    Case(
        "constant truth",
        lambda folder, _: [
            "evaluate",
            write_stack(folder / "flat.ome.tif", np.full((5, 20, 20), 7, np.uint8)),
            write_stack(folder / "flat.ome.tif", np.full((5, 20, 20), 7, np.uint8)),
        ],
        ("--data-range 1",),
    ),
    Case("features", slicefid("--light", "--features", "f.pt"), ("no --features",)),
    Case(
        "tiles of the paper",
        slicefid("--light", "--protocol", "msdsr", "--tile", 20),
        ("no --tile",),
    ),
    Case("tiles", slicefid("--light", "--factor", 3, "--tile", 400), ("--tile ",)),
    Case("stride", slicefid("--light", "--factor", 3, "--stride", 50), ("--stride 1",)),
]  # fmt: skip


#: Those whose advice trains a model or starts processes.
SLOW = (
    "who works",
    "part without a model",
    "no model there",
    "training left",
    "no training left",
)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.name in SLOW else [])
        for case in CASES
    ],
)
def test_advice_leads_on(
    cli: Cli, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    tried = [[str(word) for word in case.command(tmp_path, model_folder)]]
    first = cli(*tried[0])
    assert first.code in (1, 2), first
    found = advised(first.err[-1])
    assert [str(a) for a in found if str(a).startswith(case.expected)], first.err[-1]
    for expected in case.expected:
        assert any(str(advice).startswith(expected) for advice in found), first.err[-1]
    for number in range(len(found)):
        folder = tmp_path / str(number)
        folder.mkdir()
        words = [str(word) for word in case.command(folder, model_folder)]
        line, seen, which = cli(*words).err[-1], set(), number
        # One thing may lead to the next question: its first advice is taken, too.
        for _ in range(4):
            assert line not in seen, f"what was advised leads back to: {line}"
            seen.add(line)
            advice = advised(line)
            if not advice:
                break
            words = take(cli, advice[which], words, line, folder)
            ran, which = cli(*words), 0
            if ran.code == 0:
                break
            assert ran.code in (1, 2), ran
            line = ran.err[-1]


def take(cli: Cli, advice: Advice, words: list[str], line: str, folder: Path) -> list[str]:
    """Do what was advised; returns the command to run again."""
    if "delete it" in line:
        Path(line.split(": ")[2]).unlink()
    if advice.run:
        stack = next(word for word in words if word.endswith(".tif"))
        made = str(folder / "made.model")
        names = {"IMAGES": stack, "MODEL": made}
        run = [names.get(word, word) for word in advice.run]
        assert cli(*run[1:], "--steps", 1, "-q").code == 0, run
        advice = advice._replace(add=tuple(names.get(word, word) for word in advice.add))
    return follow(words, advice)


def test_what_is_collected_from_a_message() -> None:
    assert advised("a; choose another name or add --overwrite") == [Advice(add=("--overwrite",))]
    assert advised("a; correct it with --voxel-size 4,1,1um, or name them: --axes ZYX") == [
        Advice(add=("--voxel-size", "4,1,1um")),
        Advice(add=("--axes", "ZYX")),
    ]
    assert advised("got --a; leave out --part and --report") == [
        Advice(drop=("--part", "--report"))
    ]
    assert advised("b; make one with 'isoslice train IMAGES -o M', and use --model MODEL") == [
        Advice(("isoslice", "train", "IMAGES", "-o", "M"), ("--model", "MODEL"))
    ]


def test_a_warning_of_several_images_names_another(cli: Cli, tmp_path: Path) -> None:
    from isoslice.errors import IsosliceWarning
    from isoslice.io import read_volume

    stack = two_series(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = read_volume(stack)
    (told,) = [str(w.message) for w in caught if issubclass(w.category, IsosliceWarning)]
    ((option, number),) = VALUED.findall(told)
    assert option == "--series"
    assert first.data.shape != read_volume(stack, series=number.rstrip(":")).data.shape
