"""Write the program of a package: one file that needs PyTorch alone, from our own sources.

It is made of them whenever a model is exported, so that it never lags behind.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

from isoslice import __version__
from isoslice.models.exchange import expected
from isoslice.models.networks import denoiser

_HEAD = '''"""Restore the expected volume of a coarse stack; needs PyTorch alone.

`ExpectedVolume`, at the end, is what the package runs; before it, its network. Made by isoslice
{version} of its models/networks/denoiser.py and models/exchange/expected.py.

SPDX-License-Identifier: MIT
SPDX-FileCopyrightText: The isoslice developers
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

'''


def architecture_source() -> str:
    """Return the program as text."""
    bodies = (_body(module) for module in (denoiser, expected))
    return _HEAD.format(version=__version__) + "\n\n".join(bodies)


def _body(module: ModuleType) -> str:
    """Return what follows the imports of a module."""
    source = inspect.getsource(module)
    imports = [
        node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    last = imports[-1].end_lineno or 0
    return "\n".join(source.splitlines()[last:]).strip() + "\n"
