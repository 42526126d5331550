"""Volumes restored block by block, out of memory: what is to be done, what is done, who does it."""
