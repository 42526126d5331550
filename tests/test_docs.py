"""The documentation holds: Python examples run, options exist, links and names lead somewhere.

What shell commands do: `test_docs_commands.py`; numbers: `test_docs_numbers.py`; tutorials and the
site: `test_site.py`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from doc_pages import (
    DOCS,
    PAGES,
    ROOT,
    TUTORIALS,
    blocks_of,
    commands_of,
    is_option,
    name_of,
    text_of,
)

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MENTIONED = re.compile(r"docs/[\w./-]+\.(?:md|csv)\b")
#: Places of the source tree whose files name pages.
SOURCES = ("src", "tests", "benchmarks", "examples", "changes", "packaging", ".ci", "docs/.site")
TEXT = {"", ".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".ini", ".css", ".js", ".json"}


def examples_of(page: Path) -> list[str]:
    return [
        block.text
        for block in blocks_of(page)
        if block.language in ("python", "setup") and block.why_not_run is None
    ]


def test_no_benchmark_has_the_name_of_a_package():
    """Their folder is on the path of the tests: `coverage.py` there hid coverage.py's own."""
    ours = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*")}
    others = {*packages_distributions(), *sys.stdlib_module_names, "coverage", "xdist"}
    assert ours & others == set()


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p not in TUTORIALS and examples_of(p)], ids=name_of
)
def test_python_examples_run(page, tmp_path, monkeypatch):
    import isoslice

    monkeypatch.chdir(tmp_path)
    for name in ("train", "adapt"):  # undone afterwards
        monkeypatch.setattr(isoslice, name, getattr(isoslice, name), raising=False)
    names: dict[str, object] = {}
    for example in examples_of(page):
        exec(compile(example, str(page), "exec"), names)
    assert (tmp_path / "restored.ome.zarr").is_dir()


def commands() -> list[list[str]]:
    lines = [
        line
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "sh"
        for line in commands_of(block)
    ]
    words = [shlex.split(line) for line in lines]
    return [w[1:] for w in words if w[0] == "isoslice"]


def test_there_are_commands_to_check():
    found = {words[0] for words in commands()}
    assert found == {
        "train", "predict", "evaluate", "slicefid", "benchmark", "info", "env",
        "import-msdsr", "distill", "check", "export", "import",
    }  # fmt: skip


def options() -> dict[str, set[str]]:
    """All options that pages give to each command."""
    found: dict[str, set[str]] = {}
    for words in commands():
        found.setdefault(words[0], set()).update(word for word in words if word.startswith("-"))
    return found


@pytest.mark.parametrize("command", sorted(options()))
def test_options_of_commands_exist(command, cli):
    ran = cli(command, "--help")
    assert ran.code == 0
    for option in options()[command]:
        assert re.search(rf"(^|[\s,]){option}\b", ran.out), option


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_named_in_prose_exist(page, cli):
    named = set(re.findall(r"`(--[a-z-]+)", text_of(page)))
    if named:
        helps = "".join(cli(command, "--help").out for command in sorted(options()))
        programs = "".join(
            path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").rglob("*.py")
        )
        slurm = {"--gpus-per-node", "--gpus-per-task", "--kill-on-bad-exit"}
        for option in named - slurm - {"--help"}:
            assert option in helps or is_option(option, programs), option


@pytest.mark.parametrize("page", [*PAGES, *sorted((DOCS / "results").rglob("*.md"))], ids=name_of)
def test_links_lead_to_files(page):
    for link in LINK.findall(text_of(page)):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_pages_name_exist(page):
    named = set(re.findall(r"`((?:[a-z_*]+/)*[a-z_*]+\.py)`", text_of(page)))
    places = (ROOT, ROOT / "src/isoslice", ROOT / "benchmarks")
    roots = [*places, *(p for p in (ROOT / "src/isoslice").rglob("*") if p.is_dir())]
    gone = [name for name in named if not any(any(root.glob(name)) for root in roots)]
    assert not gone


def mentions(text: str) -> set[str]:
    """Pages and tables that a text names by their path from the root."""
    return set(MENTIONED.findall(text))


def test_pages_named_in_docstrings_messages_and_notes_exist():
    files = [
        path
        for place in SOURCES
        for path in (ROOT / place).rglob("*")
        if path.is_file()
        and path.suffix in TEXT
        and not {"vendor", "output", "__pycache__"} & set(path.parts)
    ]
    files += [ROOT / name for name in ("Makefile", "pyproject.toml", "mkdocs.yml", "CITATION.cff")]
    files += ROOT.glob("*.md")
    found = {
        (name, str(path.relative_to(ROOT)))
        for path in files
        for name in mentions(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 20
    assert [each for each in sorted(found) if not (ROOT / each[0]).exists()] == []
    naming = {file for _, file in found}
    assert {"packaging/conda/recipe.yaml", "packaging/container/Dockerfile"} <= naming


def test_a_page_that_is_gone_would_be_found():
    (name,) = mentions("see docs/" + "gone.md, or pages of others (docs.example.org)")
    assert not (ROOT / name).exists()


def test_the_readme_is_one_screen_and_names_what_is_relied_on():
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) < 70
    for name in ("make demo", "make test", "isoslice predict STACK.tif -o", "invented"):
        assert name in text, name
    assert text.count("![") == 1


def test_pictures_are_light_enough_for_a_phone():
    pictures = list((DOCS / "images").iterdir())
    assert len(pictures) > 10
    heavy = {path.name: path.stat().st_size for path in pictures if path.stat().st_size > 300_000}
    assert heavy == {}


def test_every_picture_is_shown_and_says_what_it_shows():
    shown: set[Path] = set()
    for page in PAGES:
        for words, link in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text_of(page)):
            assert len(words) > 10, link
            shown.add(Path(os.path.normpath(page.parent / link)))
    assert set((DOCS / "images").iterdir()) == shown


def test_the_page_of_commands_is_what_they_say():
    """In a process of its own, whose terminal has another width."""
    made = subprocess.run(
        [sys.executable, "-c", "import command_line; print(command_line.page(), end='')"],
        cwd=DOCS / ".site",
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "COLUMNS": "60", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert made == text_of(DOCS / "reference" / "command-line.md"), (
        "docs/reference/command-line.md is not what docs/.site/command_line.py writes; run it"
    )
