"""Planes in, volume out."""
