"""Bounded decoders for Zarr's compressors: no decompression bombs, no pickles.

A chunk's size follows from the array's metadata, so decoding into a buffer of that size cannot fill
the memory. Only the compressors listed here are used: all others, among them codecs that execute
code in the chunk (pickle), are refused.
"""

from __future__ import annotations

import bz2
import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec

#: Accepted compressors: numcodecs' names, which are also Zarr's.
COMPRESSORS = ("blosc", "zstd", "gzip", "zlib", "bz2", "lz4")
#: Most inner chunks of a shard, whose index is read whole.
MAX_INNER_CHUNKS = 2**18
_BLOSC_HEADER_BYTES = 16


def decode(name: str, packed: bytes, size: int) -> NDArray[np.uint8]:
    """Decompress a chunk into exactly `size` bytes.

    Parameters
    ----------
    name
        One of `COMPRESSORS`.
    packed
        The chunk as stored.
    size
        Bytes of the decoded chunk.

    Raises
    ------
    ValueError
        If it decodes to another size, or cannot be decoded.
    """
    if name in ("gzip", "zlib", "bz2"):
        return np.frombuffer(_inflate(name, packed, size), np.uint8)
    from numcodecs.registry import get_codec

    if name == "blosc":
        # Blosc trusts its header, which declares the packed and the decoded size.
        lengths = (
            struct.unpack_from("<III", packed, 4) if len(packed) >= _BLOSC_HEADER_BYTES else None
        )
        if lengths is None or lengths[2] != len(packed):
            raise ValueError("a Blosc chunk is cut off")
        _check(lengths[0], size)
    elif name == "lz4":
        _check(struct.unpack_from("<I", packed)[0] if len(packed) > 4 else 0, size)
    elif name == "zstd":
        declared = _zstd_size(packed)
        _check(size if declared is None else declared, size)
    # Zeros, so that a decoder that fills less than declared exposes no memory of the process.
    out = np.zeros(size, np.uint8)
    get_codec({"id": name}).decode(packed, out)
    return out


def _zstd_size(packed: bytes) -> int | None:
    """Return the decoded size that a Zstandard frame declares (RFC 8878, 3.1.1.1), or None."""
    if packed[:4] != b"\x28\xb5\x2f\xfd" or len(packed) < 6:
        return None
    flags = packed[4]
    one_segment = flags >> 5 & 1
    length = (one_segment, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - one_segment) + (0, 1, 2, 4)[flags & 3]
    if length == 0:
        return None
    return int.from_bytes(packed[start : start + length], "little") + (256 if length == 2 else 0)


def _inflate(name: str, packed: bytes, size: int) -> bytes:
    """Decompress concatenated streams, to at most one byte more than `size`."""
    out = bytearray()
    while packed and len(out) <= size:
        stream: Any = bz2.BZ2Decompressor() if name == "bz2" else zlib.decompressobj(47)
        try:
            out += stream.decompress(packed, size + 1 - len(out))
        except (zlib.error, OSError) as error:
            raise ValueError(f"a {name} chunk cannot be decoded ({error})") from error
        if not stream.eof:
            break
        packed = stream.unused_data
    _check(len(out), size)
    return bytes(out)


def _check(decoded: int, size: int) -> None:
    if decoded != size:
        problem = "more" if decoded > size else f"{decoded} bytes"
        raise ValueError(f"a chunk decodes to {problem}, expected {size} bytes")


@dataclass(frozen=True)
class BoundedCodec(BytesBytesCodec):
    """A read-only compressor of Zarr 3 that decodes to a known size."""

    name: str
    size: int
    is_fixed_size: ClassVar[bool] = False  # type: ignore[misc]

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        import asyncio

        packed = chunk_bytes.to_bytes()
        decoded = await asyncio.to_thread(decode, self.name, packed, self.size)
        return chunk_spec.prototype.buffer.from_array_like(decoded)

    def compute_encoded_size(self, _input_byte_length: int, _chunk_spec: Any) -> int:
        """Raise NotImplementedError, as the size depends on the content."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the codec's entry in Zarr's metadata."""
        return {"name": self.name, "configuration": {}}


class BoundedCompressor(Codec):  # type: ignore[misc]
    """A read-only compressor of Zarr 2 (numcodecs) that decodes to a known size."""

    codec_id: str = "bounded"

    def __init__(self, codec_id: str, size: int) -> None:
        self.codec_id, self.size = codec_id, size

    def decode(self, packed: Any, out: Any = None) -> NDArray[np.uint8]:
        """Decompress one chunk."""
        return decode(self.codec_id, bytes(packed), self.size)

    def encode(self, content: Any) -> Any:
        """Raise NotImplementedError: it is read-only."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the codec's entry in Zarr's metadata."""
        return {"id": self.codec_id}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BoundedCompressor:
        """Raise NotImplementedError: it is never created from metadata."""
        raise NotImplementedError


def bounded(array: Any, max_chunk: int) -> Any:
    """Return a Zarr array that reads the same voxels through bounded decoders.

    Parameters
    ----------
    array
        As opened by Zarr.
    max_chunk
        Most bytes of a decoded chunk (an inner one of shards).

    Raises
    ------
    ValueError
        If its chunks are larger, or compressed by another codec than `COMPRESSORS`.
    """
    import zarr

    metadata, itemsize = array.metadata, int(np.dtype(array.dtype).itemsize)
    if metadata.zarr_format == 2:
        if metadata.filters:
            raise ValueError(f"its chunks have filters ({_names(metadata.filters)}), expected none")
        size = _chunk_size(metadata.chunks, itemsize, max_chunk)
        if metadata.compressor is not None:
            name = str(getattr(metadata.compressor, "codec_id", ""))
            metadata = replace(metadata, compressor=BoundedCompressor(_check_name(name), size))
    else:
        grid = getattr(metadata.chunk_grid, "chunk_shape", None)
        if grid is None:
            raise ValueError("its chunks are of different sizes, expected one size")
        if metadata.storage_transformers:
            raise ValueError("it has storage transformers, expected none")
        metadata = replace(metadata, codecs=_chain(metadata.codecs, grid, itemsize, max_chunk))
    inner: Any = zarr.AsyncArray
    return zarr.Array(inner(metadata, array._async_array.store_path))


def _chain(
    codecs: Iterable[Any], shape: tuple[int, ...], itemsize: int, max_chunk: int, deep: int = 0
) -> tuple[Any, ...]:
    """Return the codecs of a chunk of this shape, with bounded compressors."""
    checked: list[Any] = []
    last = ""
    for codec in codecs:
        name = _name(codec)
        if name == "sharding_indexed" and deep == 0:
            count = math.prod(
                -(-n // max(1, m)) for n, m in zip(shape, codec.chunk_shape, strict=True)
            )
            if count > MAX_INNER_CHUNKS:
                raise ValueError(f"a shard has {count} chunks, expected up to {MAX_INNER_CHUNKS}")
            if not {_name(c) for c in codec.index_codecs} <= {"bytes", "crc32c"}:
                raise ValueError("the index of its shards is packed, expected it plain")
            inner = _chain(codec.codecs, codec.chunk_shape, itemsize, max_chunk, 1)
            codec = replace(codec, codecs=inner)
        elif name in COMPRESSORS and last in ("bytes", "transpose"):
            codec = BoundedCodec(name, _chunk_size(shape, itemsize, max_chunk))
        elif name not in ("bytes", "transpose", "crc32c"):
            raise ValueError(
                f"its chunks are packed by {name or 'nothing known'}, expected one of "
                f"{', '.join(COMPRESSORS)}"
            )
        last = name
        checked.append(codec)
    if "sharding_indexed" not in [_name(codec) for codec in checked]:
        _chunk_size(shape, itemsize, max_chunk)
    return tuple(checked)


def _name(codec: Any) -> str:
    return str(codec.to_dict().get("name", ""))


def _names(codecs: Iterable[Any]) -> str:
    return ", ".join(str(getattr(codec, "codec_id", "?")) for codec in codecs)


def _check_name(name: str) -> str:
    if name not in COMPRESSORS:
        raise ValueError(
            f"its chunks are packed by {name or 'nothing known'}, expected one of "
            f"{', '.join(COMPRESSORS)}"
        )
    return name


def _chunk_size(shape: Iterable[int], itemsize: int, max_chunk: int) -> int:
    shape = tuple(shape)
    size = math.prod(shape) * itemsize
    if not 0 < size <= max_chunk:
        raise ValueError(
            f"a chunk of shape {' x '.join(map(str, shape))} has {size} bytes, expected 1 to "
            f"{max_chunk}"
        )
    return size
