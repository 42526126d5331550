"""Import the authors' MSDSR checkpoints, without executing anything in them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isoslice import __version__
from isoslice.errors import ModelError
from isoslice.io.decode_errors import check_blame, reason
from isoslice.models.config import MsdsrConfig, UNetSettings
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.files.folder import all_finite, network_shapes, with_weights
from isoslice.models.files.stored_tensors import check_archive, is_plain
from isoslice.models.networks.factory import build_network
from isoslice.runtime.paths import at_home

#: Prefixes of the trained weights, and of their average (names without dots).
RAW, AVERAGED = "model.diffusion_model.", "model_ema.diffusion_model"
_FIRST = "input_blocks.0.0.weight"


class _Ignored:
    """Inert stand-in for any object in a checkpoint that is not a tensor."""

    def __init__(self, *_: object, **__: object) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


def import_msdsr(
    path: str | Path, *, averaged: bool = True, srh: bool | None = None
) -> ModelBundle:
    """Convert a checkpoint of the released MSDSR code to a model.

    Parameters
    ----------
    path
        Lightning checkpoint: a dictionary whose ``state_dict`` has keys ``model.diffusion_model.*``
        and (averaged weights) ``model_ema.*``. Width and channels are read from the weights; the
        rest must be the released network's.
    averaged
        Use the averaged weights, as the released inference code does.
    srh
        Whether the model expects the three channels of SRH, intensities divided by 65536; by
        default, whether it has three channels.

    Returns
    -------
    A model of the recipe ``msdsr``.

    Raises
    ------
    ModelError
        If the file is not a checkpoint, or has another layout.
    """
    path = at_home(Path(path))
    stored = _state_dict(path)
    if not any(name.startswith(RAW) for name in stored):
        parts = ", ".join(sorted({name.split(".")[0] for name in stored})[:5]) or "nothing"
        raise ModelError(
            f"{path}: got a checkpoint of another layout (it holds {parts}), expected weights "
            f"named {RAW}* as the released MSDSR code saves them"
        )
    raw = {n.removeprefix(RAW): t for n, t in stored.items() if n.startswith(RAW)}
    first = raw.get(_FIRST)
    shape = () if first is None else tuple(first.shape)
    if len(shape) != 4 or shape[0] not in range(8, 513, 8) or shape[1] not in range(1, 65):
        raise ModelError(
            f"{path}: got a checkpoint of another layout (no usable {RAW}{_FIRST}), expected the "
            "released MSDSR network"
        )
    width, channels = shape[:2]
    srh = channels == 3 if srh is None else srh
    config = MsdsrConfig(
        network=UNetSettings(channels=channels, width=width),
        intensities=(0.0, 1.0) if srh else None,
        srh=srh,
        channel_names=("CH3-CH2", "CH2", "CH3") if srh and channels == 3 else None,
    )
    expected = {name: torch.Size(shape) for name, (shape, _) in network_shapes(config).items()}
    weights = _weights(path, stored, raw, averaged, expected)
    network = with_weights(build_network(config), weights)
    info = {
        "isoslice": __version__,
        "torch": torch.__version__,
        "device": "imported",
        "sources": [path.name],
        "imported": "averaged weights" if averaged else "last weights",
        "parameters": sum(p.numel() for p in network.parameters()),
        "validation": {},
    }
    return ModelBundle(config, network, info)


def _weights(
    path: Path,
    stored: Mapping[str, Tensor],
    raw: Mapping[str, Tensor],
    averaged: bool,
    expected: Mapping[str, torch.Size],
) -> dict[str, Tensor]:
    """Return weights under the network's own names, checked against the expected shapes."""
    weights = {}
    for name, shape in expected.items():
        key = AVERAGED + name.replace(".", "") if averaged else name
        weight = (stored if averaged else raw).get(key)
        if weight is None or weight.shape != shape:
            got = "nothing" if weight is None else f"shape {tuple(weight.shape)}"
            hint = "; take the last weights with --last" if averaged and name in raw else ""
            raise ModelError(
                f"{path}: got {got} for {key}, expected shape {tuple(shape)} as in the released "
                f"MSDSR network{hint}"
            )
        if not is_plain(weight):
            raise ModelError(f"{path}: got {key} as no plain array of numbers, expected one")
        weights[name] = weight.float()
    unknown = sorted(raw.keys() - expected.keys())
    if unknown:
        raise ModelError(
            f"{path}: got weights that the released MSDSR network doesn't have (first: "
            f"{RAW}{unknown[0]}), expected its layout"
        )
    if not all_finite(weights):
        raise ModelError(f"{path}: got weights that are not finite, expected numbers")
    return weights


def _state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint with PyTorch's restricted unpickler."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file, expected a Lightning checkpoint (.ckpt)")
    try:
        check_archive(path, path.stat().st_size)
        with _without_code(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged pickle can surface as almost anything.
    except Exception as e:
        check_blame(path, e)
        raise ModelError(
            f"{path}: got a file that cannot be read safely ({reason(e)}), expected a Lightning "
            "checkpoint of the released MSDSR code, whole"
        ) from e
    tensors = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not isinstance(tensors, dict):
        tensors = {}
    return {n: t for n, t in tensors.items() if isinstance(n, str) and isinstance(t, Tensor)}


def _without_code(path: Path) -> AbstractContextManager[object]:
    """Allow classes that a checkpoint names to be unpickled, as inert stand-ins."""
    find = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    if find is None:  # PyTorch before 2.6: a checkpoint that names classes is refused
        return nullcontext()
    names = find(path)
    stand_ins: list[Any] = [(type("Ignored", (_Ignored,), {}), name) for name in names]
    context: AbstractContextManager[object] = torch.serialization.safe_globals(stand_ins)
    return context
