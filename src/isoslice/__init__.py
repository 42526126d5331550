"""Isotropic volumes from anisotropic z-stacks, learned from 2D images alone."""

import lazy_loader

# Imported on first use, as `__init__.pyi` lists them, so that `import isoslice` loads no PyTorch.
_attribute, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_lazy, "__version__"]


def __getattr__(name: str) -> object:
    """Return a public name, imported on first use; the version is that of the installed package."""
    if name != "__version__":
        return _attribute(name)
    from importlib.metadata import PackageNotFoundError, version  # slower than all else here

    try:
        globals()[name] = version(__name__)
    except PackageNotFoundError:  # not installed: run from its sources, or from a frozen program
        globals()[name] = "unknown"
    return globals()[name]
