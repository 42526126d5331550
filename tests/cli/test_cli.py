"""The frame of the command line: help, exit codes, one line per failure."""

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import warnings
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import isoslice
from isoslice.cli.app import COMMANDS as EXAMPLES
from isoslice.cli.app import app
from isoslice.cli.entry import explain
from isoslice.cli.help import GROUPS
from isoslice.cli.interrupts import Interrupted
from isoslice.errors import DataError, IsosliceWarning
from isoslice.runtime.environment import EXTRAS, LIBRARIES, OPTIONAL
from isoslice.runtime.text import as_json, as_lines

NAMES = tuple(example.split()[1] for _, example in EXAMPLES)
COMMANDS = ("train", "predict", "evaluate", "info", "env")
HEAVY = ("torch", "zarr", "skimage", "tifffile", "rich", "numpy")


def script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8", timeout=60
    )


def test_importing_isoslice_loads_nothing_heavy() -> None:
    found = script(f"import sys, isoslice; print([m for m in {HEAVY} if m in sys.modules])")
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predict", "--help"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from isoslice.cli import main; code = main(); "
        f"print([m for m in {HEAVY} if m in sys.modules]); sys.exit(code)"
    )
    found = script(code, *arguments)
    assert found.returncode == 0
    assert found.stderr == ""
    assert found.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command_on_one_line_each() -> None:
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    for command in COMMANDS:
        (line,) = [line for line in lines if line.split()[:1] == [command]]
        assert not line.endswith("...")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    found = CliRunner().invoke(app, [command, "--help"])
    assert found.exit_code == 0
    assert found.stdout.startswith("Usage: ")


def helped(command: str) -> str:
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).stdout


@pytest.mark.parametrize("command", NAMES)
def test_help_fits_a_terminal_and_ends_in_an_example(command: str) -> None:
    lines = helped(command).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith(f"Example: isoslice {command}")
    words = shlex.split(lines[-1])[3:]
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", helped(command)), option
    assert not re.search(r"x[<>]=|\[required\].*IMAGES", helped(command))


@pytest.mark.parametrize("command", NAMES)
def test_options_are_in_groups_by_purpose(command: str) -> None:
    groups: dict[str, set[str]] = {}
    for line in helped(command).splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line[:-1]
            groups[title] = set()
        elif found := re.match(r"  (?:-\w, )?(--[a-z-]+)", line):
            groups[title].add(found[1])
    assert set(groups) - {"Arguments"} <= set(GROUPS)
    assert list(groups) == [g for g in ("Arguments", *GROUPS) if g in groups]
    assert groups["General"] <= {"--quiet", "--help", "--json"}
    if command == "predict":
        assert groups["Large volumes"] >= {"--memory", "--workers", "--part", "--resume"}
        assert groups["The input"] >= {"--axes", "--series", "--channel", "--along"}


def test_version(cli) -> None:
    assert cli("--version") == (0, f"isoslice {isoslice.__version__}\n", [])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], "No such command 'nonsense'; see 'isoslice --help'"),
        (["predict"], "Missing argument 'STACK'; see 'isoslice predict --help'"),
        (["predict", "a.tif"], "--output"),
        (["predict", "a.tif", "-o", "b.tif", "--nonsense"], "No such option"),
        (["predict", "a.tif", "-o", "b.tif", "--factor", "1.5"], "'--factor'"),
        (["predict", "a.tif", "-o", "b.tif", "--steps", "0"], "'--steps'"),
        (["predict", "a.tif", "-o", "b.tif", "--device", "tpu"], "'--device'"),
        (["predict", "a.tif", "-o", "b.tif", "--mode", "best"], "'--mode'"),
        (["predict", "a.tif", "-o", "b.tif", "--seed", "-1"], "'--seed'"),
        (["train", "-o", "m"], "Missing argument 'IMAGES...'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(cli, arguments: list[str], text: str) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert len(err) == 1
    assert err[0].startswith("isoslice: error: ")
    assert text in err[0]


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (DataError("got a,\n expected b"), "error: got a, expected b", 1),
        (Interrupted("nothing was written"), "interrupted: nothing was written", 130),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device", 1),
        (PermissionError(errno.EACCES, "Denied", "a.tif"), "error: a.tif: Denied", 1),
    ],
)
def test_failures_are_explained(error: Exception, line: str, code: int) -> None:
    assert explain(error) == (line, code)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_comes_with_advice(error: Exception) -> None:
    line, code = explain(error)
    assert "out of memory" in line
    assert "smaller pieces" in line
    assert code == 1


def crash(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def environment() -> None:
        raise error

    monkeypatch.setattr("isoslice.runtime.environment.environment", environment)


def test_a_bug_is_one_line_with_what_to_do(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, ZeroDivisionError("division\nby zero"))
    code, _, err = cli("env")
    assert code == 70
    assert len(err) == 1
    assert "ZeroDivisionError: division by zero; this is a bug" in err[0]
    assert "ISOSLICE_DEBUG=1" in err[0]
    assert "isoslice env" in err[0]


def test_debugging_shows_the_traceback(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, ZeroDivisionError("division by zero"))
    monkeypatch.setenv("ISOSLICE_DEBUG", "1")
    code, _, err = cli("env")
    assert code == 70
    assert err[0].startswith("Traceback")
    assert "this is a bug" in err[-1]


def test_interruption_is_one_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, KeyboardInterrupt())
    assert cli("env") == (130, "", ["isoslice: interrupted: nothing was written"])


def test_sigterm_is_an_interruption(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        "isoslice.runtime.environment.environment", lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert cli("env") == (130, "", ["isoslice: interrupted: nothing was written"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "import sys; from isoslice.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(30)
    process.stderr.close()


def test_our_warnings_are_one_line_and_others_are_silent(
    cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment() -> None:
        warnings.warn("beware\nof this", IsosliceWarning, stacklevel=1)
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        raise DataError("end")

    monkeypatch.setattr("isoslice.runtime.environment.environment", environment)
    assert cli("env").err == ["isoslice: warning: beware of this", "isoslice: error: end"]


def test_env_as_lines_and_as_json(cli) -> None:
    code, out, err = cli("env")
    assert (code, err) == (0, [])
    assert f"isoslice {isoslice.__version__}" in " ".join(out.split())
    found = json.loads(cli("env", "--json").out)
    assert found["libraries"]["numpy"] == np.__version__
    if find_spec("torch") is not None:
        assert found["torch"]["threads"] >= 1
    assert found["optional"].keys() >= {"SimpleITK", "mrcfile", "h5py", "nibabel"}
    for name, module in EXTRAS.items():
        assert found["extras"][name] == (find_spec(module) is not None)
    if find_spec("h5py"):
        assert found["optional"]["h5py"] == metadata.version("h5py")


def test_env_tells_of_every_extra_that_brings_a_library() -> None:
    project = tomllib.loads(
        (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    extras = project["optional-dependencies"]
    brought = {name for name, needs in extras.items() if not needs[0].startswith("isoslice[")}
    assert brought <= set(EXTRAS)
    needed = {re.split(r"[<>=!\[]", need)[0] for name in brought for need in extras[name]}
    assert needed <= set(OPTIONAL)
    required = {re.split(r"[<>=!\[]", need)[0].lower() for need in project["dependencies"]}
    assert required <= {name.lower() for name in LIBRARIES}


def test_env_survives_a_machine_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        "from isoslice.cli import main; sys.exit(main(['env', '--json']))"
    )
    found = script(code)
    assert found.returncode == 0
    assert json.loads(found.stdout)["torch"] is None


def test_env_names_no_machine_and_no_path(cli) -> None:
    out = cli("env").out
    assert os.uname().nodename not in out.split()
    assert os.path.expanduser("~") + "/" not in out  # noqa: PTH111


def test_json_is_strict() -> None:
    values = {"a": float("inf"), "b": float("nan"), "c": np.float32(0.5), "d": (np.int64(3), None)}
    assert json.loads(as_json(values)) == {"a": "inf", "b": None, "c": 0.5, "d": [3, None]}


def test_lines_are_aligned() -> None:
    text = as_lines({"a_b": 1, "c": {"long_name": True, "e": []}, "f": [{"x": 0.25}, 2.0]})
    assert text.splitlines() == [
        "a b          1",
        "c.long name  yes",
        "c.e          -",
        "f            x 0.25, 2",
    ]
