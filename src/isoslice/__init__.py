"""Isotropic volumes from anisotropic z-stacks, learned from 2D images alone."""

import lazy_loader

__version__ = "0.1.0"

# Imported on first use, as `__init__.pyi` lists them, so that `import isoslice` loads no PyTorch.
__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_lazy, "__version__"]
