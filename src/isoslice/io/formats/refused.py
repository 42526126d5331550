"""Formats that isoslice knows but does not read, and programs that convert them."""

from __future__ import annotations

from pathlib import Path

from isoslice.errors import DataError

_FORMATS = {
    (".mnc", ".mnc.gz", ".mnc2"): ("a MINC image", "mnc2nii of the MINC tools"),
    (".head", ".brik", ".brik.gz"): ("an AFNI data set", "AFNI's 3dAFNItoNIFTI"),
    (".par",): ("a Philips PAR/REC image", "dcm2niix"),
}


def check_not_refused(path: Path) -> None:
    """Refuse a known format that is not read, naming a program that converts it.

    Raises
    ------
    DataError
        If `path` has a suffix of such a format.
    """
    name = path.name.lower()
    for suffixes, (kind, tool) in _FORMATS.items():
        if name.endswith(suffixes):
            raise DataError(
                f"{path}: got {kind}, which is not read, expected .nii.gz; convert it with {tool}"
            )
    has_par = name.endswith(".rec") and any(path.with_suffix(s).is_file() for s in (".par", ".PAR"))
    if has_par:
        check_not_refused(path.with_suffix(".par"))
