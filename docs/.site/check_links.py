"""Check a built site: ``python docs/.site/check_links.py site``. No other host is asked.

Every link inside it must lead to a file, and every anchor to an element of that page; nothing that
a browser loads by itself may come from another host; and no page may be heavy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

#: Attributes that name other files; those of `a` are followed by people only.
LINKS = {"href", "src", "srcset", "data", "poster"}
#: Most bytes of a page with its pictures, but without what all pages share.
HEAVIEST = 2_000_000


class Parsed(NamedTuple):
    """What a page leads to, by people's clicks and by itself, and its anchors."""

    followed: tuple[str, ...]
    loaded: tuple[str, ...]
    anchors: frozenset[str]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect links and anchors of an element."""
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in LINKS and value:
                (self.followed if tag == "a" else self.loaded).append(value)


def parse(html: str) -> Parsed:
    """Collect what a page leads to.

    >>> parse('<a href="b.html#c"></a><img src="d.png"><p id="e">')
    Parsed(followed=('b.html#c',), loaded=('d.png',), anchors=frozenset({'e'}))
    """
    page = _Page()
    page.feed(html)
    return Parsed(tuple(page.followed), tuple(page.loaded), frozenset(page.anchors))


def faults(site: Path) -> list[str]:
    """List all links that lead nowhere, and all that is loaded from elsewhere."""
    pages = {
        path.resolve(): parse(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    found = [f"{site}: got no pages, expected a built site"] if not pages else []
    for path, page in pages.items():
        for link in {*page.followed, *page.loaded}:
            if fault := _fault(path, link, link in page.loaded, pages):
                found.append(f"{path.relative_to(site.resolve())}: {link}: {fault}")
    return sorted(found)


def _fault(path: Path, link: str, loaded: bool, pages: dict[Path, Parsed]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto") or parts.netloc:
        return "is loaded from another host" if loaded else None
    if parts.scheme in ("data", "javascript"):
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target = target / "index.html"
    if not target.exists():
        # The page for what is not found is shown at any address, and has links from the root.
        return None if path.name == "404.html" else "no such file"
    anchor = unquote(parts.fragment)
    known = pages.get(target)
    if anchor and known is not None and anchor not in known.anchors and anchor != "__tabbed":
        return "no such place in that page"
    return None


def weights(site: Path) -> dict[str, int]:
    """Bytes of each page and the pictures in it."""
    found = {}
    for path in site.rglob("*.html"):
        page = parse(path.read_text(encoding="utf-8"))
        files = {(path.parent / link).resolve() for link in page.loaded if "assets" not in link}
        sizes = (each.stat().st_size for each in files if each.is_file())
        found[str(path.relative_to(site))] = path.stat().st_size + sum(sizes)
    return found


def heavy(found: dict[str, int], limit: int = HEAVIEST) -> Iterable[str]:
    """Name pages over the limit."""
    return (
        f"{name}: {size:,} bytes, over {limit:,}" for name, size in found.items() if size > limit
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Check a site; say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    site = parser.parse_args(argv).site
    sizes = weights(site)
    found = [*faults(site), *heavy(sizes)]
    for fault in found:
        print(fault, file=sys.stderr)
    if not found:
        largest = max(sizes, key=lambda name: sizes[name])
        print(
            f"{len(sizes)} pages, all links lead somewhere; heaviest: {largest}, {sizes[largest]:,}"
        )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
