"""The data elements of a DICOM file (PS3.5, chapter 7), parsed without decoding voxels.

Every length is checked against the file, so that the library that decodes it gets only files of
valid structure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isoslice.io.limits import check_regular

#: Suffixes of DICOM files, which may also have none.
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_PICTURES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_PREAMBLE, _MAGIC = 128, b"DICM"
#: Longer values, such as pixels, are skipped.
_MAX_VALUE_BYTES = 4096
_MAX_ELEMENTS, _MAX_DEPTH = 500_000, 12
_UNDEFINED_LENGTH = 0xFFFFFFFF
#: Value representations with a length of 32 bits, and of 16 bits.
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHORT = (
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN"),
    *(b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_PIXELS = (0x7FE0, 0x0010)
#: Elements that files of several frames hold in sequences, once or per frame: image position and
#: orientation, pixel spacing, thickness of and spacing between slices, intercept, slope, echo time,
#: temporal index.
_FRAME_ELEMENTS = (
    (0x0020, 0x0032),
    (0x0020, 0x0037),
    (0x0028, 0x0030),
    (0x0018, 0x0050),
    (0x0018, 0x0088),
    (0x0028, 0x1052),
    (0x0028, 0x1053),
    (0x0018, 0x9082),
    (0x0020, 0x9128),
)
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_IMPLICIT, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: Transfer syntaxes of uncompressed pixels.
_UNCOMPRESSED = (_IMPLICIT, "1.2.840.10008.1.2.1", _BIG_ENDIAN)

Tag = tuple[int, int]


@dataclass(frozen=True)
class Elements:
    """Data elements of a file, without pixels.

    Attributes
    ----------
    values
        Bytes of the elements outside sequences, by tag.
    syntax
        UID of the transfer syntax.
    stored
        Size of the stored pixels in bytes; 0 if there are none.
    nested
        Bytes of some elements within sequences, in order, by tag.
    """

    values: Mapping[Tag, bytes]
    syntax: str
    stored: int
    nested: Mapping[Tag, list[bytes]]

    @property
    def is_native(self) -> bool:
        """Whether pixels are stored uncompressed."""
        return self.syntax in _UNCOMPRESSED

    @property
    def is_big_endian(self) -> bool:
        """Whether numbers are stored in big-endian order."""
        return self.syntax == _BIG_ENDIAN

    def text(self, group: int, element: int) -> str:
        """Return an element's text; empty where it is missing."""
        return _decoded(self.values.get((group, element), b""))

    def number(self, group: int, element: int, default: int = 0) -> int:
        """Return an element of type US."""
        content = self.values.get((group, element), b"")
        order = "big" if self.is_big_endian else "little"
        return int.from_bytes(content[:2], order) if len(content) >= 2 else default  # type: ignore[arg-type]

    def floats(self, group: int, element: int) -> list[float]:
        """Return an element of type DS or IS; empty where it is missing or invalid."""
        return _floats(self.values.get((group, element), b""))

    def of_frames(self, group: int, element: int) -> list[list[float]]:
        """Return the numbers of an element within sequences, one list per occurrence."""
        return [_floats(content) for content in self.nested.get((group, element), [])]


def _decoded(content: bytes) -> str:
    content = content.strip(b" \0")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _floats(content: bytes) -> list[float]:
    try:
        return [float(part) for part in _decoded(content).split("\\") if part.strip()]
    except ValueError:
        return []


def is_dicom(path: Path) -> bool:
    """Whether a regular file has DICOM's preamble."""
    try:
        if not path.is_file() or check_regular(path) < _PREAMBLE + len(_MAGIC):
            return False
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder, sorted; hidden ones are left out."""
    named = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return [path for path in named if may_be_dicom(path) and is_dicom(path)]


def is_dicom_folder(path: Path) -> bool:
    """Whether a folder holds DICOM files, not counting subfolders."""
    try:
        return any(may_be_dicom(inner) and is_dicom(inner) for inner in path.iterdir())
    except OSError:  # reported when it is read
        return False


def may_be_dicom(path: Path) -> bool:
    """Whether a name may be that of a DICOM file: any but a picture's, for archives name at will.

    Files of pictures are not opened to see, since folders of planes hold thousands.
    """
    return path.suffix.lower() not in _PICTURES


def read_elements(path: Path) -> Elements:
    """Parse the data elements of a file.

    Raises
    ------
    ValueError
        If its structure is damaged or cut off.
    """
    end = check_regular(path)
    with path.open("rb") as stream:
        if stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] != _MAGIC:
            raise ValueError("it has no DICM at byte 128")
        parser = _Parser(stream)
        parser.elements(end, "<", explicit=True, group=2)
        syntax = parser.values.get(_TRANSFER_SYNTAX, b"").strip(b" \0").decode("latin-1")
        if not syntax or syntax == _DEFLATED:
            raise ValueError(f"its transfer syntax {syntax!r} is not read; convert it with dcmconv")
        order = ">" if syntax == _BIG_ENDIAN else "<"
        parser.elements(end, order, explicit=syntax != _IMPLICIT)
    return Elements(parser.values, syntax, parser.stored, parser.nested)


class _Parser:
    """Parser of a file's elements, which keeps short values outside sequences."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.values: dict[Tag, bytes] = {}
        self.nested: dict[Tag, list[bytes]] = {}
        self.stored = 0
        self._seen = 0

    def elements(
        self, end: int, order: str, explicit: bool, group: int | None = None, depth: int = 0
    ) -> None:
        """Parse elements up to a byte, the end of an item, or another group."""
        while self.stream.tell() < end:
            start = self.stream.tell()
            tag = self._tag(order)
            if group is not None and tag[0] != group:
                self.stream.seek(start)
                return
            if tag in (_ITEM_END, _SEQUENCE_END):
                if self._length(order) != 0 or depth == 0:
                    raise ValueError(f"an item ends at byte {start}, where none began")
                return
            kind, length = self._kind(order, explicit, start)
            self._value(tag, kind, length, end, order, explicit, depth)
        if self.stream.tell() > end:
            raise ValueError("an element is longer than what it is in")

    def _value(
        self, tag: Tag, kind: bytes, length: int, end: int, order: str, explicit: bool, depth: int
    ) -> None:
        here = self.stream.tell()
        if length != _UNDEFINED_LENGTH and length > end - here:
            raise ValueError(f"an element at byte {here} has {length} bytes, {end - here} are left")
        if tag == _PIXELS and depth == 0:
            self.stored = self._fragments(end, order) if length == _UNDEFINED_LENGTH else length
        elif kind == b"SQ" or length == _UNDEFINED_LENGTH:
            # Private sequences of unknown type (UN) are stored without types.
            inner = explicit and kind == b"SQ"
            last = end if length == _UNDEFINED_LENGTH else here + length
            self._items(last, length == _UNDEFINED_LENGTH, order, inner, depth + 1)
        elif length <= _MAX_VALUE_BYTES and depth == 0 and tag not in self.values:
            self.values[tag] = self.stream.read(length)
        elif length <= _MAX_VALUE_BYTES and depth > 0 and tag in _FRAME_ELEMENTS:
            self.nested.setdefault(tag, []).append(self.stream.read(length))
        if length != _UNDEFINED_LENGTH:
            self.stream.seek(here + length)

    def _items(self, end: int, is_open: bool, order: str, explicit: bool, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError(f"its sequences are nested more than {_MAX_DEPTH} deep")
        while self.stream.tell() < end:
            tag, length = self._tag(order), self._length(order)
            if tag == _SEQUENCE_END and is_open:
                return
            here = self.stream.tell()
            if tag != _ITEM or (length != _UNDEFINED_LENGTH and length > end - here):
                raise ValueError(f"a sequence is damaged at byte {here}")
            if length == _UNDEFINED_LENGTH:
                self.elements(end, order, explicit, depth=depth)
            else:
                self.elements(here + length, order, explicit, depth=depth)
        if is_open:
            raise ValueError("a sequence has no end")

    def _fragments(self, end: int, order: str) -> int:
        """Skip compressed pixels; return their size in bytes."""
        total = 0
        while True:
            tag, length = self._tag(order), self._length(order)
            if tag == _SEQUENCE_END:
                return total
            here = self.stream.tell()
            if tag != _ITEM or length > end - here:
                raise ValueError(f"compressed pixels are damaged or cut off at byte {here}")
            total += length
            self.stream.seek(here + length)

    def _tag(self, order: str) -> Tag:
        self._seen += 1
        if self._seen > _MAX_ELEMENTS:
            raise ValueError(f"it has more than {_MAX_ELEMENTS} elements")
        group, element = struct.unpack(order + "HH", self._read(4))
        return group, element

    def _kind(self, order: str, explicit: bool, start: int) -> tuple[bytes, int]:
        """Return an element's type and length."""
        if not explicit:
            return b"", self._length(order)
        kind = self._read(2)
        if kind in _LONG:
            self._read(2)
            return kind, self._length(order)
        if kind not in _SHORT:
            raise ValueError(f"an element at byte {start} has the type {kind!r}")
        return kind, int(struct.unpack(order + "H", self._read(2))[0])

    def _length(self, order: str) -> int:
        return int(struct.unpack(order + "I", self._read(4))[0])

    def _read(self, count: int) -> bytes:
        content = self.stream.read(count)
        if len(content) < count:
            raise ValueError("it is cut off")
        return content
