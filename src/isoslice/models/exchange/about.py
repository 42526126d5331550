"""What people are told of a package that the model cannot know: names, licence, tags."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isoslice.errors import SettingsError

#: Factors that a package may have, and the one it has where nothing is known.
FACTORS, USUAL_FACTOR = range(2, 65), 4

_NAME = re.compile(r"[A-Za-z0-9_+\- ()]{5,128}")
_LICENSE = re.compile(r"[A-Za-z0-9.+\-]{2,64}")
_TAG = re.compile(r"[a-z0-9][a-z0-9.+\-]{0,63}")


@dataclass(frozen=True)
class About:
    """What people are told.

    Attributes
    ----------
    name
        Of the package.
    authors
        Who made the model.
    license
        SPDX identifier of the licence of the weights; None for none.
    tags
        By which others find it, such as ``electron-microscopy``.

    Raises
    ------
    SettingsError
        If bioimage.io would refuse one of them.
    """

    name: str
    authors: tuple[str, ...] = ()
    license: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check them."""
        if not _NAME.fullmatch(self.name):
            raise SettingsError(
                f"got name {self.name!r}, expected 5 to 128 letters, digits, spaces and _+-(), as "
                "bioimage.io has it; choose another"
            )
        for author in self.authors:
            if not author.strip() or len(author) > 200 or set(author) & set("/\\"):
                raise SettingsError(
                    f"got author {author!r}, expected the name of a person, without slashes; give "
                    "--author once for each"
                )
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise SettingsError(
                f"got license {self.license!r}, expected an identifier of spdx.org/licenses, such "
                "as CC-BY-4.0"
            )
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise SettingsError(
                    f"got tag {tag!r}, expected small letters, digits and hyphens, such as "
                    "electron-microscopy"
                )
