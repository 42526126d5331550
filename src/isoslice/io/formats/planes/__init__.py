"""Stacks stored as one file a plane."""
