"""Check that Blosc chunks of a Zarr array are complete.

Blosc, the usual compressor of OME-Zarr 0.4, decodes truncated chunks to noise without an error.
Each chunk declares its length in its first bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

#: Names of metadata files: all others are chunks.
METADATA_FILES = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
_HEADER_BYTES = 16  # the last four are the length of the chunk, including the header


def check_chunks(array: Any, folder: Path) -> None:
    """Raise `ValueError` if a Blosc chunk of a Zarr array is shorter than it says.

    Parameters
    ----------
    array
        The opened array; other compressors detect truncation, so their chunks are not checked.
    folder
        Its folder.
    """
    if array.shards is not None or not any(
        "blosc" in (getattr(codec, "name", ""), getattr(codec, "codec_id", ""))
        for codec in array.compressors
    ):
        return
    for path in folder.rglob("*"):
        if path.name in METADATA_FILES or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
        size = path.stat().st_size
        if len(head) < _HEADER_BYTES or size < struct.unpack("<I", head[12:])[0]:
            raise ValueError(f"chunk {path.relative_to(folder)} is cut off")
