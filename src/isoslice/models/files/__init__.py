"""A model on disk, read with care."""
