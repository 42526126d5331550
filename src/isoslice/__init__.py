"""Isotropic volumes from anisotropic z-stacks, learned from 2D images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from isoslice.checking import check
    from isoslice.errors import DataError, IsosliceError, ModelError, OutputError, SettingsError
    from isoslice.io import read_images, read_volume, write_volume
    from isoslice.model import Model
    from isoslice.prediction import Prediction
    from isoslice.report import write_report
    from isoslice.report.of_predict import prediction_report
    from isoslice.training import train
    from isoslice.volume import Volume, VoxelSize

# Imported on first use, so that `import isoslice` costs no torch.
_HOMES = {
    "DataError": "errors",
    "IsosliceError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "SettingsError": "errors",
    "Model": "model",
    "Prediction": "prediction",
    "Volume": "volume",
    "VoxelSize": "volume",
    "check": "checking",
    "distill": "distillation",
    "prediction_report": "report.of_predict",
    "read_images": "io",
    "read_volume": "io",
    "train": "training",
    "write_report": "report",
    "write_volume": "io",
}

__all__ = [
    "DataError",
    "IsosliceError",
    "Model",
    "ModelError",
    "OutputError",
    "Prediction",
    "SettingsError",
    "Volume",
    "VoxelSize",
    "__version__",
    "check",
    "distill",
    "prediction_report",
    "read_images",
    "read_volume",
    "train",
    "write_report",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"isoslice.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isoslice' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
