"""Every reader, fed damaged files: a typed error or a valid read, never anything else.

`benchmarks/fuzz.py` feeds thousands of them, in processes of their own with a limit of memory.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import damaged_files
from mutations import Sample, mutate
from samples import READERS, Reader, store

BY_NAME = {reader.name: reader for reader in READERS}
#: What readers need beside the libraries that isoslice always has.
NEEDED = {
    ("NIfTI", "MGH"): "nibabel",
    ("DICOM",): "SimpleITK",
    ("MRC",): "mrcfile",
    ("HDF5", "Imaris", "BigDataViewer"): "h5py",
    ("model folder", "MSDSR checkpoint", "bioimage.io package"): "torch",
}


@cache
def samples(name: str) -> list[Sample]:
    return BY_NAME[name].samples()


def missing(reader: Reader) -> str | None:
    """Name the library that a reader needs and that is not installed."""
    for names, library in NEEDED.items():
        if reader.name.startswith(names) and find_spec(library) is None:
            return library
    return None


def skip_without(reader: Reader) -> None:
    if library := missing(reader):
        pytest.skip(f"needs {library}")


@pytest.mark.parametrize("name", BY_NAME)
def test_samples_are_valid(name, tmp_path):
    reader = BY_NAME[name]
    skip_without(reader)
    for sample in samples(name):
        reader.read(store(sample, tmp_path, reader.suffix))


def read_all() -> dict[str, str]:
    """Read the damaged files of all readers, in a process that is started again if it dies."""
    told: dict[str, str] = {}
    left = [name for name, reader in BY_NAME.items() if missing(reader) is None]
    while left:
        child = subprocess.run(
            [sys.executable, damaged_files.__file__, *left],
            capture_output=True,
            encoding="utf-8",
            timeout=600,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        read = [json.loads(line) for line in child.stdout.splitlines()]
        told |= {line["reader"]: line["failure"] for line in read}
        left = left[len(read) :]
        if left and child.returncode:
            told[left.pop(0)] = f"the process ended with {child.returncode}: {child.stderr[-2000:]}"
    return told


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    return read_all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_damaged_files_are_refused_or_read(name, failures):
    skip_without(BY_NAME[name])
    assert failures[name] == ""


def test_a_reader_that_crashes_fails_alone(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import json, os, sys\n"
        "for name in sys.argv[1:]:\n"
        "    if name == 'MRC': os.abort()\n"
        "    print(json.dumps({'reader': name, 'failure': ''}), flush=True)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(damaged_files, "__file__", str(child))
    told = read_all()
    assert [name for name, failure in told.items() if failure] == ["MRC"]


def test_mutations_can_be_repeated():
    sample = samples("OME-Zarr 0.4")[0]
    assert mutate(sample, random.Random(7)) == mutate(sample, random.Random(7))
    changed = [mutate(sample, random.Random(seed)) != sample for seed in range(50)]
    assert sum(changed) > 40


def test_the_page_shows_the_last_run_which_found_nothing():
    docs = Path(__file__).parents[2] / "docs"
    rows = list(csv.reader((docs / "results" / "fuzz.csv").read_text("utf-8").splitlines()))
    page = (docs / "reference" / "security.md").read_text(encoding="utf-8")
    assert [row[0] for row in rows[1:]] == list(BY_NAME)
    for row in rows:
        assert f"| {' | '.join(row)} |" in page
    for row in rows[1:]:
        assert int(row[1]) == 5000
        assert [int(n) for n in row[4:8]] == [0, 0, 0, 0], row
