"""Every reader, fed damaged files: a typed error or a valid read, never anything else.

`benchmarks/fuzz.py` feeds thousands of them, in processes of their own with a limit of memory.
"""

from __future__ import annotations

import csv
import random
import tempfile
import warnings
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isoslice.io.limits as limits
from isoslice.errors import IsosliceError, UnhandledError
from mutations import Sample, mutate
from samples import READERS, Reader, store

BY_NAME = {reader.name: reader for reader in READERS}
#: Seconds and examples: those that load a network take longer each.
EXAMPLES = {"MSDSR checkpoint": 40, "OME-Zarr 0.5": 60, "OME-Zarr 0.4": 60}
EXAMPLES |= {"OME-Zarr, several": 60, "OME-Zarr, zipped": 60}


@cache
def samples(name: str) -> list[Sample]:
    return BY_NAME[name].samples()


def skip_without(reader: Reader) -> None:
    if reader.name.startswith(("NIfTI", "MGH")):
        pytest.importorskip("nibabel")
    if reader.name.startswith("DICOM"):
        pytest.importorskip("SimpleITK")
    if reader.name.startswith("MRC"):
        pytest.importorskip("mrcfile")
    if reader.name in ("HDF5", "Imaris", "BigDataViewer"):
        pytest.importorskip("h5py")


def refusal(reader: Reader, path: Path) -> str:
    """Read a file; return the message where it is refused."""
    try:
        reader.read(path)
    except UnhandledError:  # isoslice would take the blame for a damaged file
        raise
    except IsosliceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", BY_NAME)
def test_samples_are_valid(name, tmp_path):
    reader = BY_NAME[name]
    skip_without(reader)
    for sample in samples(name):
        reader.read(store(sample, tmp_path, reader.suffix))


@pytest.mark.parametrize("name", BY_NAME)
def test_damaged_files_are_refused_or_read(name, monkeypatch):
    reader = BY_NAME[name]
    skip_without(reader)
    monkeypatch.setattr(limits, "available_memory", lambda: 2**28)

    @settings(max_examples=EXAMPLES.get(name, 100), database=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        choose = random.Random(seed)
        sample = mutate(choose.choice(samples(name)), choose)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            message = refusal(reader, store(sample, Path(folder), reader.suffix))
            assert message.isprintable()

    check()


def test_mutations_can_be_repeated():
    sample = samples("OME-Zarr 0.4")[0]
    assert mutate(sample, random.Random(7)) == mutate(sample, random.Random(7))
    changed = [mutate(sample, random.Random(seed)) != sample for seed in range(50)]
    assert sum(changed) > 40


def test_the_page_shows_the_last_run_which_found_nothing():
    docs = Path(__file__).parents[2] / "docs"
    rows = list(csv.reader((docs / "results" / "fuzz.csv").read_text("utf-8").splitlines()))
    page = (docs / "security.md").read_text(encoding="utf-8")
    assert [row[0] for row in rows[1:]] == list(BY_NAME)
    for row in rows:
        assert f"| {' | '.join(row)} |" in page
    for row in rows[1:]:
        assert int(row[1]) == 5000
        assert [int(n) for n in row[4:8]] == [0, 0, 0, 0], row
