"""Check files that PyTorch wrote, and tensors in them, before they are trusted with memory."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor

#: Largest size in bytes of the pickle that lists the tensors, which are stored beside it.
MAX_PICKLE_BYTES = 64 * 2**20


def check_archive(file: Path | BinaryIO, size: int) -> None:
    """Raise ValueError unless `file`, of `size` bytes, is an uncompressed archive of PyTorch's."""
    with ZipFile(file) as archive:
        parts = archive.infolist()
    if any(part.compress_type != ZIP_STORED for part in parts):
        raise ValueError("parts of it are compressed, expected none")
    if sum(part.file_size for part in parts) > size:
        raise ValueError("it declares more than it holds")
    if any(part.file_size > MAX_PICKLE_BYTES for part in parts if part.filename.endswith(".pkl")):
        raise ValueError(f"its description is longer than {MAX_PICKLE_BYTES} bytes")


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor stores all its elements; with strides of 0 it repeats some."""
    if tensor.layout != torch.strided or not tensor.is_floating_point() or tensor.is_quantized:
        return False
    stored = tensor.untyped_storage().nbytes()
    return tensor.device.type == "cpu" and stored >= tensor.numel() * tensor.element_size()
