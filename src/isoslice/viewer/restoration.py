"""What is asked for when a layer is restored: where to, anew, or on from where it was cancelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from isoslice.errors import SettingsError
from isoslice.viewer.messages import Restore


def output_path(typed: str, folder: Path, number: int, nbytes: int, limit: int) -> str:
    """Return where a result goes: as typed, or into a folder of this session if it is small.

    Parameters
    ----------
    typed
        What was typed, perhaps nothing.
    folder, number
        Of the session, and of the result in it.
    nbytes, limit
        Bytes of the result, and the most without a place of its own.

    Raises
    ------
    SettingsError
        If nothing was typed for a large result.
    """
    typed = typed.strip()
    if typed:
        return typed if typed.endswith(".zarr") else f"{typed}.ome.zarr"
    if nbytes > limit:
        raise SettingsError(
            f"got a result of about {nbytes / 1e9:.1f} GB without a place, expected the name of an "
            "OME-Zarr image; fill in Save to"
        )
    return str(folder / f"restored-{number}.ome.zarr")


def told_of(path: str, folder: Path) -> str:
    """Say where a result is, and how to keep one that lies in the folder of this session only."""
    if Path(path).parent == folder:
        return "restored, and shown as new layers, which are gone with napari: Save as… keeps them"
    return f"restored, and shown as new layers: {path}"


def has_unfinished(output: str) -> bool:
    """Whether a cancelled restoration into a path left something to go on with."""
    return Path(output + ".unfinished").is_dir()


def going_on(request: Restore, before: Restore | None) -> Restore:
    """Return a request that goes on with a cancelled one, if it asks for the same.

    Or that replaces what a cancelled one with other settings left.
    """
    if before is None or before.output != request.output or not has_unfinished(request.output):
        return request
    same = replace(before, resume=False, overwrite=False) == request
    return replace(request, resume=True) if same else replace(request, overwrite=True)
