"""Formats: images in, volumes out; each library is imported only when its format is used."""

from __future__ import annotations

from isoslice.io.image_collection import read_images
from isoslice.io.reading import read_volume, require_voxel_size
from isoslice.io.writing import check_suffix, write_volume

__all__ = ["check_suffix", "read_images", "read_volume", "require_voxel_size", "write_volume"]
