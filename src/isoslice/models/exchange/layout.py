"""Name what is in a package: its files, beside those of a model folder, and its tensors."""

from __future__ import annotations

DESCRIPTION = "bioimageio.yaml"
README = "README.md"
PROGRAM = "architecture.py"
WEIGHTS = "weights.pt"
COVER = "cover.png"
INPUT, OUTPUT = "test_input.npy", "test_output.npy"
SAMPLE_INPUT, SAMPLE_OUTPUT = "sample_input.tif", "sample_output.tif"
#: Before the names of the network's weights.
PREFIX = "denoiser."
#: Tensors that go in and come out.
STACK, VOLUME = "stack", "volume"
