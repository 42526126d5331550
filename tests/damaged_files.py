"""Read damaged files in a process of its own: a library that crashes takes no test run with it.

python damaged_files.py READER ...    # prints a line of JSON for each: what went wrong, or ""
"""

from __future__ import annotations

import faulthandler
import json
import random
import sys
import tempfile
import warnings
from pathlib import Path

#: Damaged files of each reader; fewer of those that take longer each.
COUNT, FEWER = 100, {"MSDSR checkpoint": 40}
FEWER |= dict.fromkeys(
    ("OME-Zarr 0.4", "OME-Zarr 0.5", "OME-Zarr, several", "OME-Zarr, zipped"), 60
)
#: Bytes that are free, as readers are told.
FREE = 2**28


def failure(name: str) -> str:
    """Read a reader's damaged files; return what went wrong, or nothing."""
    from isoslice.errors import IsosliceError, UnhandledError
    from mutations import mutate
    from samples import READERS, store

    reader = next(reader for reader in READERS if reader.name == name)
    samples = reader.samples()
    for number in range(FEWER.get(name, COUNT)):
        choose = random.Random(f"{name} {number}")
        sample = mutate(choose.choice(samples), choose)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                reader.read(store(sample, Path(folder), reader.suffix))
            except UnhandledError as error:  # isoslice would take the blame for a damaged file
                return f"file {number}: {error!r}"
            except IsosliceError as error:
                if not str(error).isprintable():
                    return f"file {number}: the message {str(error)!r}"
            except Exception as error:
                return f"file {number}: {error!r}"
    return ""


if __name__ == "__main__":
    faulthandler.enable()
    import isoslice.io.limits as limits

    limits.available_memory = lambda: FREE
    for name in sys.argv[1:]:
        sys.stdout.write(json.dumps({"reader": name, "failure": failure(name)}) + "\n")
        sys.stdout.flush()
