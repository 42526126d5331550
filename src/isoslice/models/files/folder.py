"""Read the files of a model folder, which may come from the internet and are not trusted.

Nothing in them is executed, and shapes that settings declare are compared with those of the stored
weights before a network is built: settings of a kilobyte can describe one that fills the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from isoslice.errors import DataError, ModelError
from isoslice.io.decode_errors import check_blame, reason
from isoslice.io.limits import check_regular, parse_json, read_small
from isoslice.models.config import AnyConfig, ModelConfig, read_config
from isoslice.models.networks.error_head import build_head
from isoslice.models.networks.factory import build_network
from isoslice.models.networks.undrawn import undrawn
from isoslice.models.reliability.record import Trust

#: Largest sizes in bytes; a training record lists sources and validations.
MAX_CONFIG_BYTES, MAX_TRUST_BYTES, MAX_RECORD_BYTES = 2**20, 2**22, 16 * 2**20
Network = TypeVar("Network", bound=nn.Module)
Shapes = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read_settings(path: Path) -> AnyConfig:
    """Parse a model's config.json.

    Raises
    ------
    ValueError
        If it is too large or not valid settings (pydantic's ``ValidationError``).
    """
    return read_config(_content(path, MAX_CONFIG_BYTES))


def read_record(path: Path) -> dict[str, Any]:
    """Parse a model's training.json; empty if there is none.

    Raises
    ------
    ValueError
        If it is too large or not JSON.
    """
    record = parse_json(_content(path, MAX_RECORD_BYTES)) if path.exists() else {}
    return record if isinstance(record, dict) else {}


def read_trust(path: Path) -> Trust:
    """Parse a model's trust.json.

    Raises
    ------
    ModelError
        If it is too large or invalid.
    """
    try:
        return Trust.model_validate_json(_content(path, MAX_TRUST_BYTES))
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{path}: got a file that cannot be read ({short(error)}), expected what isoslice "
            "wrote; restore it, or remove it to predict without knowing where to doubt"
        ) from error


def read_weights(path: Path, expected: Shapes) -> dict[str, Tensor]:
    """Read a safetensors file, which has to contain exactly the expected weights.

    Those of single precision may be stored in half.

    Raises
    ------
    ModelError
        If it is damaged, has other names, shapes or types, or values that are not finite.
    """
    advice = "restore the folder or train the model again"
    try:
        wrong = first_difference(_widened(stored_shapes(path), expected), expected)
        stored = {} if wrong else load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        check_blame(path, error)  # a NotImplementedError is a RuntimeError, too
        raise ModelError(
            f"{path}: got weights that cannot be read ({short(error)}), expected a whole "
            f"safetensors file; {advice}"
        ) from error
    if wrong:
        raise ModelError(
            f"{path}: got weights that do not fit config.json (first: {wrong}), expected both "
            f"from one training; {advice}"
        )
    if not all_finite(stored):
        raise ModelError(f"{path}: got weights that are not finite, expected numbers; {advice}")
    return stored


def with_weights(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """Put weights into a network, and make it ready for use."""
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def head_shapes(config: ModelConfig) -> Shapes:
    """Return names, shapes and types of the error head's weights, without allocating them."""
    with undrawn():
        return _shapes(build_head(config))


def network_shapes(config: AnyConfig) -> Shapes:
    """Return names, shapes and types of a network's weights, without allocating them."""
    with undrawn():
        return _shapes(build_network(config))


def stored_shapes(path: Path) -> Shapes:
    """Return names, shapes and types of the weights in a safetensors file, without reading them.

    Raises
    ------
    SafetensorError, OSError, ValueError
        If it is no such file, or a truncated one.
    """
    _regular(path)
    shapes = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 (no dictionary)
            part = file.get_slice(name)
            dtype = _DTYPES.get(str(part.get_dtype()), torch.uint8)
            shapes[name] = (tuple(part.get_shape()), dtype)
    return shapes


def first_difference(stored: Shapes, expected: Shapes) -> str | None:
    """Return the alphabetically first weight that differs or is missing in one; None if none."""
    for name in sorted(stored.keys() | expected.keys()):
        if stored.get(name) != expected.get(name):
            return name
    return None


def _widened(stored: Shapes, expected: Shapes) -> Shapes:
    """Take half precision for single where that is expected: models may be stored in it."""
    halves, single = (torch.float16, torch.bfloat16), torch.float32
    return {
        name: (shape, single)
        if dtype in halves and expected.get(name, (shape, dtype))[1] == single
        else (shape, dtype)
        for name, (shape, dtype) in stored.items()
    }


def all_finite(weights: Mapping[str, Tensor]) -> bool:
    """Return whether all weights are finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def short(error: BaseException) -> str:
    """Return the start of a message on one line."""
    return reason(ValueError(" ".join(str(error).splitlines()[:3])))


def _shapes(network: nn.Module) -> Shapes:
    return {name: (tuple(t.shape), t.dtype) for name, t in network.state_dict().items()}


def _content(path: Path, limit: int) -> bytes:
    try:
        return read_small(path, limit)
    except DataError as error:
        raise ValueError(str(error)) from error


def _regular(path: Path) -> None:
    try:
        check_regular(path)
    except DataError as error:
        raise ValueError(str(error)) from error
