"""The command line. `main` is the entry point; every command has its own file.

Nothing here may import torch, zarr or scikit-image at the top: ``isoslice --help`` must be quick.
"""

from isoslice.cli.entry import main

__all__ = ["main"]
