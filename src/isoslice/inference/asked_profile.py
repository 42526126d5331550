"""The slice profile that a user asks for, in output planes of the stack that is restored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeAlias

from isoslice.data.profile import FWHM, POINT, Profile, parse_profile
from isoslice.data.units import METRES, SYMBOLS, convert
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.io.profile_file import profile_path, read_profile

#: As `Model.predict` takes it: text, or a profile in the unit of the voxel size.
Asked: TypeAlias = str | Profile


def as_text(asked: Asked | None) -> str:
    """Name a profile in a message."""
    if asked is None or isinstance(asked, str):
        return asked or "point"
    if asked.kind == "sampled":
        return f"the measured profile (as wide as gaussian:{asked.width:.3g})"
    return asked.kind if asked.kind == "point" else f"{asked.kind}:{asked.width:g}"


def profile_in_planes(asked: Asked, volume: Volume, ratio: float) -> Profile:
    """Return the profile that was asked for, in output planes, for a volume coarse along Z.

    Raises
    ------
    DataError
        If it is a file that holds none.
    SettingsError
        If it has a length, but the stack no spacing of planes; or if it is longer than the stack.
    """
    kind, width = parse_profile(asked) if isinstance(asked, str) else (asked.kind, asked.width)
    if kind == "point" or kind == "auto":
        return POINT
    if width is None and kind == "slab":  # from plane to plane
        return Profile(kind, float(ratio))
    spacing, count = volume.spacing.get("Z"), volume.size("Z")
    if spacing is None:
        raise SettingsError(
            f"got slice profile {as_text(asked)} for a stack without spacing of its planes, "
            "expected both in one unit; say the voxel size, for example --voxel-size 5,0.45,0.45mm"
        )
    if kind == "file":
        assert isinstance(asked, str)
        given = _from_file(asked, volume)
    else:
        given = asked if isinstance(asked, Profile) else Profile(kind, float(width or 0))
    if given.width > spacing * (count - 1):
        unit = volume.unit or "the stack's unit"
        raise SettingsError(
            f"got slice profile {as_text(asked)}, {given.width / spacing:.3g} planes wide, for a "
            f"stack of {count} planes {spacing:g} {unit} apart, expected a blur that fits into it; "
            "give the width in that unit"
        )
    return given.scaled(ratio / spacing)


def told_of_file(asked: Asked, profile: Profile, volume: Volume, ratio: float) -> str:
    """Say what a file holds; empty where the profile is of none.

    Parameters
    ----------
    asked, volume, ratio
        As `profile_in_planes` takes them.
    profile
        What that returned.
    """
    if not (isinstance(asked, str) and parse_profile(asked)[0] == "file"):
        return ""
    length = volume.spacing["Z"] / ratio
    unit = SYMBOLS.get(str(volume.unit), volume.unit or "units")
    return (
        f"the slice profile of {profile_path(asked).name} has {len(profile.weights)} samples and "
        f"is as wide as a Gaussian of FWHM {profile.deviation * FWHM * length:.3g} {unit}"
    )


def file_digest(asked: object) -> str:
    """Return a digest of the file or folder that a profile is read from; empty if there is none."""
    if not isinstance(asked, str) or parse_profile(asked)[0] != "file":
        return ""
    path = profile_path(asked)
    digest = hashlib.sha256()
    if path.is_dir():  # OME-Zarr
        for part in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{part.relative_to(path).as_posix()}\0".encode())
            digest.update(part.read_bytes())
    elif path.is_file():
        digest.update(path.read_bytes())
    else:
        return ""
    return digest.hexdigest()[:16]


def record_of(profile: Profile) -> Mapping[str, object]:
    """Return a profile as an output's record keeps it, all of it."""
    kept = {"kind": profile.kind, "width_in_output_planes": profile.width}
    if profile.kind != "sampled":
        return kept
    return {
        **kept,
        "edges_in_output_planes": list(profile.edges),
        "weights": list(profile.weights),
    }


def _from_file(asked: str, volume: Volume) -> Profile:
    found = read_profile(asked)
    if found.unit is None or found.unit == volume.unit:
        return found.profile
    if volume.unit not in METRES or found.unit not in METRES:
        raise SettingsError(
            f"got slice profile {asked} in {found.unit} for a stack in "
            f"{volume.unit or 'an unknown unit'}, expected lengths of one kind; give the spacing "
            f"of its planes in the stack's unit behind the name, {profile_path(asked)}:STEP"
        )
    return found.profile.scaled(convert(1.0, found.unit, str(volume.unit)))
