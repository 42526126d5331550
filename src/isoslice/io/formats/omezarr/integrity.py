"""Are the chunks of a Zarr array complete? Blosc does not notice where they are not.

Blosc, the usual compressor of OME-Zarr 0.4, decodes a chunk that was cut off into noise without
an error. Each chunk says its length, so a look at the first bytes of every file is enough.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

#: Names of metadata: all other files are chunks.
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
_HEADER = 16  # bytes; the last four are the length of the chunk, header included


def check_chunks(array: Any, folder: Path) -> None:
    """Raise `ValueError` if a Blosc chunk of a Zarr array is shorter than it says.

    Parameters
    ----------
    array
        The opened array; others than Blosc's fail loudly by themselves and are not looked at.
    folder
        Where it lies.
    """
    if array.shards is not None or not any(
        "blosc" in (getattr(codec, "name", ""), getattr(codec, "codec_id", ""))
        for codec in array.compressors
    ):
        return
    for path in folder.rglob("*"):
        if path.name in METADATA or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as stream:
            head = stream.read(_HEADER)
        size = path.stat().st_size
        if len(head) < _HEADER or size < struct.unpack("<I", head[12:])[0]:
            raise ValueError(f"chunk {path.relative_to(folder)} is cut off")
