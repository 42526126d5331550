"""Import a package of bioimage.io that isoslice exported, without running anything in it.

Its program and its description are not even read: isoslice's own settings and the weights are, in
memory, each within what it may have.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from isoslice.errors import IsosliceError, ModelError
from isoslice.io.decode_errors import check_blame
from isoslice.io.limits import check_regular, parse_json
from isoslice.io.zip_entries import list_entries, read_whole
from isoslice.models.config import ModelConfig, read_config
from isoslice.models.exchange.layout import DESCRIPTION, PREFIX, WEIGHTS
from isoslice.models.files.bundle import CONFIG, RECORD, SPREAD, TRUST, ModelBundle
from isoslice.models.files.card import check_record
from isoslice.models.files.folder import (
    MAX_CONFIG_BYTES,
    MAX_RECORD_BYTES,
    MAX_TRUST_BYTES,
    Shapes,
    all_finite,
    first_difference,
    head_shapes,
    network_shapes,
    short,
    with_weights,
)
from isoslice.models.files.stored_tensors import check_archive, is_plain
from isoslice.models.networks.error_head import build_head
from isoslice.models.networks.factory import build_network
from isoslice.models.reliability.record import Trust
from isoslice.runtime.paths import at_home

#: Names that a description has had, of which a package has one.
DESCRIPTIONS = (DESCRIPTION, "rdf.yaml", "model.yaml")
#: Bytes that files of weights may have beyond those of their numbers, and how far they may be
#: compressed: trained ones hardly are.
OVERHEAD, MAX_RATIO = 2**20, 8

_EXPECTED = "expected one that 'isoslice export' wrote, whole"


def is_package(path: str | Path) -> bool:
    """Return whether a file is a ZIP archive with a description, as packages are."""
    try:
        return any(name in DESCRIPTIONS for name in list_entries(Path(path)))
    except Exception:
        return False


def read_package(path: str | Path) -> ModelBundle:
    """Read the model in a package.

    Raises
    ------
    ModelError
        If it is no package, a damaged or malicious one, or not isoslice's.
    """
    path = at_home(Path(path))
    try:
        check_regular(path)
        return _Package(path).model()
    except (ModelError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file, expected a package of bioimage.io") from error
    # A damaged pickle can surface as almost anything.
    except Exception as error:
        if not isinstance(error, IsosliceError):
            check_blame(path, error)
        raise ModelError(
            f"{path}: got a package that cannot be read ({short(error)}), {_EXPECTED}; download "
            "or export it again"
        ) from error


class _Package:
    """A package, its list of entries checked."""

    def __init__(self, path: Path) -> None:
        self.path, self.entries = path, list_entries(path)
        if not any(name in self.entries for name in DESCRIPTIONS):
            raise ModelError(
                f"{path}: got an archive without {DESCRIPTION}, {_EXPECTED}; a model folder needs "
                "no import"
            )
        if not {CONFIG, WEIGHTS} <= self.entries.keys():
            raise ModelError(
                f"{path}: got a package of another program (without {CONFIG} or {WEIGHTS}), "
                f"{_EXPECTED}; run it with bioimage.io's programs"
            )

    def content(self, name: str, limit: int) -> bytes:
        """Return a file of up to `limit` bytes."""
        return read_whole(self.path, name, self.entries[name], limit)

    def numbers(self, name: str, expected: Shapes) -> bytes:
        """Return a file that holds weights, and not much else."""
        entry = self.entries[name]
        if entry.size > MAX_RATIO * entry.packed + OVERHEAD:
            raise ValueError(f"{name} unpacks to {entry.size} bytes, far more than weights do")
        numbers = sum(math.prod(shape) * dtype.itemsize for shape, dtype in expected.values())
        return self.content(name, numbers + numbers // 8 + OVERHEAD)

    def model(self) -> ModelBundle:
        """Read the settings first: they say what weights there may be."""
        config = read_config(self.content(CONFIG, MAX_CONFIG_BYTES))
        if not isinstance(config, ModelConfig):
            raise ValueError(f"its recipe is {config.recipe}, which packages do not have")
        info: dict[str, Any] = {}
        trust = Trust()
        if RECORD in self.entries:
            record = parse_json(self.content(RECORD, MAX_RECORD_BYTES))
            info = record if isinstance(record, dict) else {}
            check_record(config, info)
        if TRUST in self.entries:
            trust = Trust.model_validate_json(self.content(TRUST, MAX_TRUST_BYTES))
        weights = self.weights(network_shapes(config))
        head = None
        if SPREAD in self.entries:
            shapes = head_shapes(config)
            stored = load(self.numbers(SPREAD, shapes))
            head = with_weights(build_head(config), _checked(SPREAD, stored, shapes))
        network = with_weights(build_network(config), weights)
        return ModelBundle(config, network, info, head, trust)

    def weights(self, expected: Shapes) -> dict[str, Tensor]:
        """Read the network's weights with PyTorch's restricted loader."""
        content = self.numbers(WEIGHTS, expected)
        check_archive(io.BytesIO(content), len(content))
        read = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(read, dict) or not all(isinstance(name, str) for name in read):
            raise ValueError(f"{WEIGHTS} is no dictionary of tensors by name")
        if not all(isinstance(each, Tensor) and is_plain(each) for each in read.values()):
            raise ValueError(f"{WEIGHTS} holds something that is no plain array of numbers")
        named = {name.removeprefix(PREFIX): each.contiguous() for name, each in read.items()}
        return _checked(WEIGHTS, named, expected)


def _checked(name: str, stored: Mapping[str, Tensor], expected: Shapes) -> dict[str, Tensor]:
    """Return weights, if they are those that the settings describe."""
    shapes = {key: (tuple(each.shape), each.dtype) for key, each in stored.items()}
    wrong = first_difference(shapes, expected)
    if wrong:
        raise ValueError(f"{name} does not fit {CONFIG}, first in {wrong}")
    if not all_finite(stored):
        raise ValueError(f"{name} holds numbers that are not finite")
    return dict(stored)
