"""Commands that the documentation shows are run, in little time here; others say why not."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from doc_pages import PAGES, ROOT, Block, blocks_of, commands_of, is_option, name_of, text_of
from made_once import made_once

pytest.importorskip("torch")

from doc_desk import NOT_RUN, clear, lay_out, shortened, why_not

SHELL = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "sh" and block.why_not_run is None
]
COMMANDS = [(block, command) for block in SHELL for command in commands_of(block)]
RUN = [
    page
    for page in PAGES
    if any(
        block.page == page and command.startswith("isoslice ") and not why_not(command)
        for block, command in COMMANDS
    )
]
#: What is not run as it stands, for all who write these commands: it installs something.
INSTALLS = re.compile(r"(python[\d.]* -m )?(pip install|venv) ")


def expanded(word: str) -> list[str]:
    """Names of files that a shell would put in place of a pattern."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory):
    return made_once(tmp_path_factory, "desk", lay_out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::isoslice.errors.IsosliceWarning")
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_commands_of_a_page_run(page, laid_out, tmp_path, monkeypatch, cli):
    pytest.importorskip("nibabel")
    desk = tmp_path / "desk"
    shutil.copytree(laid_out, desk)
    monkeypatch.chdir(desk)
    done = 0
    for block, command in COMMANDS:
        if block.page != page or not command.startswith("isoslice ") or why_not(command):
            continue
        words = shortened(command)
        clear(desk, words)
        ran = cli(*(name for word in words for name in expanded(word)))
        assert ran.code == 0, f"{command}: {ran.err}"
        if "-o" in words and not {"--part", "--plan"} & set(words):
            assert Path(words[words.index("-o") + 1]).exists(), command
        done += 1
    assert done


@pytest.mark.parametrize(
    ("block", "command"),
    [(block, command) for block, command in COMMANDS if not command.startswith("isoslice ")],
    ids=str,
)
def test_other_commands_name_what_there_is(block: Block, command: str):
    words = shlex.split(command)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        return
    if INSTALLS.match(command):
        return
    if words[0] == "PYTHONPATH=benchmarks":
        words = [words[1], f"benchmarks/{words[3].replace('.', '/')}.py", *words[4:]]
    assert words[0] == "python", f"{block}: {command}: run it, or say why not"
    program = ROOT / words[1]
    assert program.exists(), command
    sources = program.rglob("*.py") if program.is_dir() else [program, *beside(program)]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    for option in (word for word in words[2:] if word.startswith("--")):
        assert is_option(option, text), f"{command}: {option}"


def beside(program: Path) -> list[Path]:
    """Modules that a program may take its options from."""
    return [*program.parent.glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]


def test_reasons_name_tests_that_there_are_and_are_needed():
    for part, why in NOT_RUN.items():
        assert (ROOT / why.rpartition("; ")[2]).exists(), why
        assert any(re.search(part, command) for _, command in COMMANDS), part


def test_every_block_is_run_or_says_why_not():
    known = {"sh", "python", "math", "text", "setup"}
    for page in PAGES:
        # Indented blocks say nothing of their language.
        assert not re.search(r"\n\n {4}(python|isoslice|make|pip|import) ", text_of(page)), page
        for block in blocks_of(page):
            assert block.language in known, f"{block}: say which language it is"
            if block.language == "text":  # what programs print
                assert "isoslice " not in block.text.split("\n")[0], block


def test_a_block_of_an_unknown_kind_would_be_found():
    page = ROOT / "README.md"
    text = "<!-- not run: big -->\n```sh\nisoslice info A  # b\n```\n\n```toml\na = 1\n```\n"
    first, second = blocks_of(page, text)
    assert (first.language, first.why_not_run, commands_of(first)) == (
        "sh", "big", ["isoslice info A"]
    )  # fmt: skip
    assert second.language == "toml"
