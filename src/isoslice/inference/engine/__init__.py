"""Restoration of volumes of any size: planned once, in tasks, resumable."""
