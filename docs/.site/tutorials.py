"""Run the tutorials: pages that are notebooks, too.

A page's Python blocks are its cells. What they print and draw stands below each, between two
comments, and is put there by ``python docs/.site/tutorials.py em ...``, which runs them as a
notebook.
``--notebooks`` writes the notebooks of examples/notebooks, without outputs.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"
PICTURES = ROOT / "docs" / "images"
NOTEBOOKS = ROOT / "examples" / "notebooks"
DATA = ROOT.parent / "shared" / "data"
#: Tutorials, and the developers' file that stands in for what a reader downloads.
TUTORIALS = {"fluorescence": None, "em": "fib25_b.tif", "ct": "mouse_ct_3.nii.gz", "mri": None}
#: Pages that show no outputs: they are for other machines than those that write pages.
SILENT = ("gpu",)

OUTPUT = re.compile(r"\n<!-- output -->\n.*?<!-- end -->\n", re.DOTALL)
CELL = re.compile(r"^```python\n.*?^```\n", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"^# picture: (.*)$", re.MULTILINE)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def page_of(name: str) -> str:
    """Return a tutorial's text."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def without_outputs(page: str) -> str:
    """Remove what cells printed and drew."""
    return OUTPUT.sub("", page)


def notebook_of(page: str) -> Any:
    """Make a notebook of a page, without outputs; the same every time."""
    # Commands are shown, and are no cells.
    made = jupytext.reads(without_outputs(page).replace("```sh\n", "```console\n"), fmt="md")
    made.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
    return made


def outputs(page: str) -> list[str]:
    """Return what stands below each cell."""
    return re.findall(r"<!-- output -->\n(.*?)<!-- end -->", page, re.DOTALL)


def run(page: str, folder: Path) -> Any:
    """Run a page as a notebook in a folder; return the notebook with its outputs."""
    made = notebook_of(page)
    NotebookClient(
        made, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return made


def printed(cell: Any) -> str:
    """Return what a cell printed on standard output."""
    return "".join(
        each.text for each in cell.outputs if each.output_type == "stream" and each.name == "stdout"
    )


def drawn(cell: Any) -> list[bytes]:
    """Return the pictures that a cell drew, as PNG."""
    return [
        base64.b64decode(each.data["image/png"])
        for each in cell.outputs
        if each.output_type == "display_data" and "image/png" in each.data
    ]


def with_outputs(page: str, name: str, done: Any) -> tuple[str, dict[str, bytes]]:
    """Put outputs below the cells of a page; return pictures by their file's name, too."""
    cells = iter([cell for cell in done.cells if cell.cell_type == "code"])
    pictures: dict[str, bytes] = {}

    def shown(found: re.Match[str]) -> str:
        cell = next(cells)
        parts = []
        if text := printed(cell):
            parts.append(f"```text\n{text.rstrip()}\n```\n")
        for picture in drawn(cell):
            file = f"tutorial_{name}_{len(pictures) + 1}.png"
            pictures[file] = picture
            (words,) = PICTURE.findall(found[0])
            parts.append(f"![{words}](../images/{file})\n")
        if not parts:
            return found[0]
        return found[0] + "\n<!-- output -->\n" + "\n".join(parts) + "<!-- end -->\n"

    return CELL.sub(shown, without_outputs(page)), pictures


def put_data(name: str, folder: Path, data: Path = DATA) -> None:
    """Put what a reader would download into a folder, from the developers' data."""
    import imageio.v3 as iio
    import tifffile

    file = TUTORIALS.get(name)
    if name == "em":
        planes = folder / "neuroproof_examples" / "training_sample2" / "grayscale_maps"
        planes.mkdir(parents=True)
        for number, plane in enumerate(tifffile.imread(data / str(file))):
            iio.imwrite(planes / f"iso.{3000 + number}.png", plane)
    elif name == "ct":
        heads = folder / "mouse_CT_atlas" / "data" / "targets"
        heads.mkdir(parents=True)
        shutil.copy(data / str(file), heads / "C57BL6_J_.nii.gz")


def update(name: str, data: Path) -> None:
    """Run a tutorial and put its outputs into its page."""
    page = page_of(name)
    with tempfile.TemporaryDirectory() as folder:
        put_data(name, Path(folder), data)
        done = run(page, Path(folder))
    text, pictures = with_outputs(page, name, done)
    (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    for file, picture in pictures.items():
        (PICTURES / file).write_bytes(picture)


def write_notebooks() -> None:
    """Write the notebooks of all tutorials."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for name in (*TUTORIALS, *SILENT):
        nbformat.write(notebook_of(page_of(name)), NOTEBOOKS / f"{name}.ipynb")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(TUTORIALS))
    parser.add_argument("--data", type=Path, default=DATA, help="the developers' data")
    parser.add_argument("--notebooks", action="store_true", help="write notebooks")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - TUTORIALS.keys():
        parser.error(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(TUTORIALS)}")
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in options.names:
        update(name, options.data)
    if options.notebooks:
        write_notebooks()


if __name__ == "__main__":
    main()
