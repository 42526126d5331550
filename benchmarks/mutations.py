"""Small changes to files, by chance but repeatable: what a fuzz of the readers feeds them.

A sample is a file or folder as a dictionary: bytes by relative path. `mutate` damages a copy.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import zipfile
import zlib
from typing import Any

Sample = dict[str, bytes]

_INTEGERS = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 65536, 10**6)
INTERESTING = (*_INTEGERS, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1, -1, -(2**31))
_VALUES: tuple[Any, ...] = (*INTERESTING, 0.5, 1e308, "", "a", "../..", "/etc", None, True, [], {})
_JSON = (".json", ".zattrs", ".zarray", ".zgroup")
_DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RecursionError,
    NotImplementedError,
    IndexError,
)
_CODECS = ("pickle", "zlib", "gzip", "zstd", "lzma", "bz2", "lz4", "blosc", "vlen-utf8", "delta")


def mutate(sample: Sample, choose: random.Random) -> Sample:
    """Return a damaged copy: one to four changes, each to one of its files."""
    changed = dict(sample)
    for _ in range(choose.choice((1, 1, 1, 2, 3, 4))):
        name = choose.choice(sorted(changed))
        described = [n for n in sorted(changed) if n.endswith(_JSON)]
        if described and choose.random() < 0.5:
            name = choose.choice(described)
        changed[name] = _mutate_file(name, changed[name], choose)
        if len(changed) > 1 and choose.random() < 0.05:
            other = choose.choice(sorted(changed))
            if choose.random() < 0.5:
                del changed[other]
            else:
                changed[other] = changed[choose.choice(sorted(changed))]
    return changed


def _mutate_file(name: str, content: bytes, choose: random.Random) -> bytes:
    """Change a file, mostly beneath its checksums, compression or syntax where it has some."""
    if choose.random() < 0.25:
        return _mutate_bytes(content, choose)
    try:
        if name.endswith(_JSON):
            return _mutate_json(content, choose)
        if name.endswith((".gz", ".mgz")):
            return gzip.compress(_mutate_bytes(gzip.decompress(content), choose), 1)
        if name.endswith(".png"):
            return _with_checksums(_mutate_bytes(content, choose))
        if name.endswith(".safetensors"):
            return _mutate_header(content, choose)
        if name.endswith((".ckpt", ".pt")):
            return _mutate_archive(content, choose)
        if name.endswith(".zip"):
            return _mutate_archived(content, choose)
    except (*_DAMAGED, zlib.error, struct.error, zipfile.BadZipFile):
        pass  # damaged already
    return _mutate_bytes(content, choose)


def _mutate_bytes(content: bytes, choose: random.Random) -> bytes:
    if not content:
        return choose.randbytes(8)
    data = bytearray(content)
    # Most of what a reader believes lies near the beginning or the end.
    near = choose.random()
    last = min(len(data), 600) if near < 0.5 else len(data)
    place = choose.randrange(last)
    if near > 0.85:
        place = len(data) - 1 - choose.randrange(min(len(data), 600))
    length = choose.choice((1, 2, 4, 8, 64, 300))
    # Changes in place keep more of the rest readable, and so get further, than shifts do.
    kind = choose.choice((0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 8))
    if kind == 0:
        data[place] ^= 1 << choose.randrange(8)
    elif kind == 1:
        data[place] = choose.randrange(256)
    elif kind == 2:
        del data[place:]
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length]
    elif kind == 5:
        data[place:place] = choose.randbytes(length)
    elif kind == 6:
        data[place : place + length] = bytes(min(length, len(data) - place))
    elif kind == 7:
        _overwrite_number(data, place, choose)
    else:
        return _mutate_digits(content, choose)
    return bytes(data)


def _overwrite_number(data: bytearray, place: int, choose: random.Random) -> None:
    size, order = choose.choice((1, 2, 4, 8)), choose.choice(("little", "big"))
    number = choose.choice(INTERESTING) % 256**size
    # Numbers in files are mostly aligned.
    place -= place % size if choose.random() < 0.7 else 0
    if place + size <= len(data):
        data[place : place + size] = number.to_bytes(size, order)  # type: ignore[arg-type]


def _mutate_digits(content: bytes, choose: random.Random) -> bytes:
    """Replace a number written as text, its length kept or not."""
    found = list(re.finditer(rb"\d+", content[:20_000]))
    if not found:
        return content[: choose.randrange(len(content))]
    match = choose.choice(found)
    text = str(choose.choice(INTERESTING)).encode()
    if choose.random() < 0.5:
        text = text[: len(match[0])].rjust(len(match[0]), b"0")
    return content[: match.start()] + text + content[match.end() :]


def _mutate_json(content: bytes, choose: random.Random) -> bytes:
    """Change one value, key or entry anywhere in a JSON document."""
    root = json.loads(content)
    if choose.random() < 0.02:
        return b"[" * 100_000
    places: list[tuple[Any, Any]] = []
    pending = [root]
    while pending:
        node = pending.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            places.append((node, key))
            if isinstance(value, dict | list):
                pending.append(value)
    if places:
        node, key = choose.choice(places)
        kind = choose.randrange(5)
        if kind == 0:
            del node[key]
        elif kind == 1:
            node[key] = choose.choice(places)[0]
            json.dumps(root)  # a circle: ValueError, and bytes are changed instead
        elif kind == 2 and isinstance(node[key], list):
            node[key] = node[key] * choose.choice((2, 5)) if node[key] else [1]
        elif kind == 3 and isinstance(node[key], str):
            node[key] = choose.choice(_CODECS)
        else:
            node[key] = choose.choice(_VALUES)
    return json.dumps(root).encode()


def _mutate_header(content: bytes, choose: random.Random) -> bytes:
    """Change the JSON at the start of a safetensors file, and its length with it."""
    length = struct.unpack_from("<Q", content)[0]
    header = _mutate_json(content[8 : 8 + length], choose)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _mutate_archive(content: bytes, choose: random.Random) -> bytes:
    """Change one file within a ZIP archive, and write its checksum anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    names = sorted(files)
    pickles = [name for name in names if name.endswith(".pkl")]
    name = choose.choice(pickles if pickles and choose.random() < 0.7 else names)
    files[name] = _mutate_bytes(files[name], choose)
    packing = zipfile.ZIP_DEFLATED if choose.random() < 0.1 else zipfile.ZIP_STORED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return out.getvalue()


def _mutate_archived(content: bytes, choose: random.Random) -> bytes:
    """Damage a folder in a ZIP archive as if it were none, or the name of one of its files."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files = mutate(files, choose)
    if choose.random() < 0.1:
        name = choose.choice(sorted(files))
        files[choose.choice(("/", "../", "a/", "\\", "0/")) + name] = files.pop(name)
    packing = choose.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    data = out.getvalue()
    return _mutate_bytes(data, choose) if choose.random() < 0.2 else data


def _with_checksums(content: bytes) -> bytes:
    """Return a PNG whose chunks have the right checksums, as far as their lengths make sense."""
    data, place = bytearray(content), 8
    while place + 12 <= len(data):
        length = struct.unpack_from(">I", data, place)[0]
        if place + 12 + length > len(data):
            break
        checksum = zlib.crc32(data[place + 4 : place + 8 + length])
        struct.pack_into(">I", data, place + 8 + length, checksum)
        place += 12 + length
    return bytes(data)
