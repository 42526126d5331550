"""The pages of the documentation, and what is code in them.

A block of code may have comments before it: ``<!-- not run: REASON -->``, or, of those of its
commands that have WORDS in them, ``<!-- not run, `WORDS`: REASON -->``. One that begins with
``setup`` holds Python that runs before the examples after it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Tables as programs printed them are no pages to check for code.
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if "results" not in page.parts),
]
TUTORIALS = sorted((DOCS / "tutorials").glob("[!i]*.md"))

FENCE = re.compile(
    r"(?P<why>(?: *<!-- not run[^>]* -->\n)*)"
    r"^ *```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```[ \t]*$"
    r"|^<!-- setup\n(?P<setup>.*?)-->$",
    re.DOTALL | re.MULTILINE,
)
REASON = re.compile(r"<!-- not run(?:, `(?P<part>[^`]+)`)?: (?P<why>[^>]*?) -->")


class Block(NamedTuple):
    """A block of code in a page, or Python in a comment (``setup``)."""

    page: Path
    language: str
    text: str
    #: Why commands with some words in them are not run; without words: the whole block.
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def why_not_run(self) -> str | None:
        """Why nothing of the block is run."""
        return dict(self.reasons).get("")

    def why_not(self, command: str) -> str | None:
        """Why a command of the block is not run."""
        return next((why for part, why in self.reasons if part in command), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0]}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    return [
        Block(page, "setup", found["setup"])
        if found["setup"] is not None
        else Block(page, found["language"], found["text"], tuple(_reasons(found["why"])))
        for found in FENCE.finditer(text_of(page) if text is None else text)
    ]


def _reasons(comments: str) -> list[tuple[str, str]]:
    read = [(each["part"] or "", each["why"]) for each in REASON.finditer(comments)]
    assert len(read) == comments.count("<!--"), f"say why, after a colon: {comments}"
    return read


def commands_of(block: Block) -> list[str]:
    """Cut a block of shell into commands, without comments."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def is_option(option: str, sources: str) -> bool:
    """Whether programs with these sources take an option, as argparse names it."""
    switch = re.sub("^--no-", "--", option)  # of BooleanOptionalAction
    return f'"{option}"' in sources or f'"{switch}"' in sources
