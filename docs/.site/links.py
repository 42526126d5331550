"""What mkdocs does not do by itself: pages from beside docs/, links out of it, and equations.

Pages are written for readers of the source tree, whose links lead to files there. In the site,
pages that lie beside docs/ (`BESIDE`) have a place of their own, and links to what is no page, such
as a program, become their text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
DOCS = "docs"

#: Files of the source tree that are pages of the site, and where.
BESIDE = {
    "CONTRIBUTING.md": "contributing/index.md",
    "CODE_OF_CONDUCT.md": "contributing/conduct.md",
    "SECURITY.md": "contributing/report-a-hole.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "benchmarks/README.md": "benchmarks/suite.md",
}

FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"\$`([^`]+)`\$")


def source_of(page: str) -> str:
    """Return where a page of the site lies in the source tree."""
    beside = {place: name for name, place in BESIDE.items()}
    return beside.get(page, f"{DOCS}/{page}")


def page_of(source: str) -> str | None:
    """Return the site's path of a file of the source tree; None where it has none."""
    if source in BESIDE:
        return BESIDE[source]
    return source[len(DOCS) + 1 :] if source.startswith(f"{DOCS}/") else None


def published(link: str, page: str) -> str | None:
    """Turn a link of a page as it is in the source tree into the site's; None where there is none.

    >>> published("../../CONTRIBUTING.md#pages", "how-to/large.md")
    '../contributing/index.md#pages'
    >>> published("../../src/isoslice/errors.py", "how-to/large.md") is None
    True
    """
    if re.match(r"[a-z]+:|#", link):
        return link
    path, mark, anchor = link.partition("#")
    at = PurePosixPath(source_of(page)).parent
    target = page_of(os.path.normpath(at / path))
    if target is None:
        return None
    return os.path.relpath(target, PurePosixPath(page).parent) + mark + anchor


def with_links(markdown: str, page: str) -> str:
    """Replace the links of a page, but not in its code."""

    def replace(found: re.Match[str]) -> str:
        link = published(found[2], page)
        return found[1] if link is None else f"[{found[1]}]({link})"

    return "".join(part if code else LINK.sub(replace, part) for code, part in parts_of(markdown))


def parts_of(markdown: str) -> Iterable[tuple[bool, str]]:
    """Cut a page into code blocks (True) and what lies between them."""
    end = 0
    for found in FENCE.finditer(markdown):
        yield False, markdown[end : found.start()]
        yield True, found[0]
        end = found.end()
    yield False, markdown[end:]


def with_equations(markdown: str) -> str:
    """Replace equations, as GitHub writes them, by MathML, which browsers show without a script."""
    shown = BLOCK.sub(
        lambda found: f'<div class="equation">{convert(found[1].strip(), display="block")}</div>',
        markdown,
    )
    return "".join(
        part if code else INLINE.sub(_within_a_line, part) for code, part in parts_of(shown)
    )


def _within_a_line(found: re.Match[str]) -> str:
    # In a span: what begins a line with a tag of its own would become a block.
    return f"<span>{convert(found[1])}</span>"


def with_named_pages(html: str, page: str) -> str:
    """Make links of pages that a docstring names by their path, as ``docs/how-to/large.md``."""

    def replace(found: re.Match[str]) -> str:
        link = os.path.relpath(f"{found[1]}.html", PurePosixPath(page).parent)
        return f'<a href="{link}">{found[0]}</a>'

    return re.sub(r"(?<![\w/\">])docs/([\w/-]+)\.md", replace, html)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie beside docs/."""
    from mkdocs.structure.files import File

    for name, place in BESIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    return files


def with_large_pictures(html: str) -> str:
    """Have a picture lead to itself, so that it can be enlarged on a phone.

    >>> with_large_pictures('<p><img alt="A" src="b.png" /></p>')
    '<p><a href="b.png"><img alt="A" src="b.png" /></a></p>'
    """
    return re.sub(r'<img [^>]*?src="([^"]+)"[^>]*>', r'<a href="\1">\g<0></a>', html)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Complete a page's HTML."""
    return with_large_pictures(with_named_pages(html, page.file.src_uri))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Prepare a page's text."""
    return with_equations(with_links(markdown, page.file.src_uri))
