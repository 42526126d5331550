"""Commands that the documentation shows are run, in little time here; others say why not.

The reason stands before the block in the page's source: see `doc_pages.py`.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from doc_pages import PAGES, ROOT, Block, blocks_of, commands_of, is_option, name_of, text_of
from made_once import made_once

pytest.importorskip("torch")

from doc_desk import clear, lay_out, shortened

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
COMMANDS = [(block, command) for block in SHELL for command in commands_of(block)]
#: All that are not marked are run here.
UNMARKED = [(block, command) for block, command in COMMANDS if not block.why_not(command)]
RUN = [page for page in PAGES if any(block.page == page for block, _ in UNMARKED)]
#: What can be looked at where it is not run: programs of the tree, and the Makefile's targets.
OF_THE_TREE = re.compile(r"(PYTHONPATH=benchmarks )?python (-m pretrain|benchmarks/)|make ")
#: Files of the tree that a reason names.
NAMED = re.compile(r"(?<![\w/.])(?:tests|\.ci|benchmarks)/[\w./-]*\w")


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
    for command in (command for block, command in UNMARKED if block.page == page):
        words = shortened(command)
        clear(desk, words)
        ran = cli(*(name for word in words for name in expanded(word)))
        assert ran.code == 0, f"{command}: {ran.err}"
        if "-o" in words and not {"--part", "--plan"} & set(words):
            assert Path(words[words.index("-o") + 1]).exists(), command
        done += 1
    assert done


@pytest.mark.parametrize(("block", "command"), COMMANDS, ids=str)
def test_a_command_is_run_or_its_page_says_why_not(block: Block, command: str):
    assert command.startswith("isoslice ") or block.why_not(command), f"{block}: {command}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.reasons], ids=str)
def test_a_reason_is_needed_and_names_what_there_is(block: Block):
    assert block.language == "sh" or block.why_not_run, f"{block}: only commands have parts"
    for part, why in block.reasons:
        assert len(why) > 3, block
        assert any(part in command for command in commands_of(block)), f"{block}: {part}"
        for name in NAMED.findall(why):
            assert (ROOT / name).exists(), f"{block}: {name}"


@pytest.mark.parametrize(
    ("block", "command"), [each for each in COMMANDS if OF_THE_TREE.match(each[1])], ids=str
)
def test_other_commands_name_what_there_is(block: Block, command: str):
    words = shlex.split(command)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        return
    if words[0] == "PYTHONPATH=benchmarks":
        words = [words[1], f"benchmarks/{words[3].replace('.', '/')}", *words[4:]]
        words[1] += "" if (ROOT / words[1]).is_dir() else ".py"
    program = ROOT / words[1]
    assert program.exists(), command
    sources = program.rglob("*.py") if program.is_dir() else [program, *beside(program)]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    for option in (word for word in words[2:] if word.startswith("--")):
        assert is_option(option, text), f"{command}: {option}"


def beside(program: Path) -> list[Path]:
    """Modules that a program may take its options from."""
    return [*program.parent.glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]


def test_every_block_says_its_language():
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
    text = (
        "<!-- not run, `A`: big, tests/gone.py -->\n<!-- not run, `C`: old -->\n"
        "```sh\nisoslice info A  # b\nisoslice info B\n```\n\n"
        "<!-- not run: slow -->\n```toml\na = 1\n```\n"
    )
    first, second = blocks_of(page, text)
    commands = commands_of(first)
    assert (first.language, first.why_not_run, commands) == (
        "sh", None, ["isoslice info A", "isoslice info B"]
    )  # fmt: skip
    assert [first.why_not(each) for each in commands] == ["big, tests/gone.py", None]
    assert NAMED.findall("big, tests/gone.py") == ["tests/gone.py"]
    assert (second.language, second.why_not_run) == ("toml", "slow")
    with pytest.raises(AssertionError, match="say why"):
        blocks_of(page, "<!-- not run -->\n```sh\nls\n```\n")
