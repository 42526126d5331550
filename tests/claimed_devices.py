"""Tensors that claim to be on a GPU, so that mistakes with devices show where there is none.

PyTorch computes everything on the CPU here, with the real numbers. But inside `ClaimedDevices`
each storage remembers which device it was made for or moved to, `tensor.device` says so, and what
a GPU's tensors refuse is refused:

- an operation on tensors of two devices (but for what PyTorch lets pass: copies, CPU indices, and
  CPU scalars in arithmetic);
- NumPy looking into a GPU's memory; a CPU's generator filling it;
- on MPS double precision, and the operations of `NOT_ON_MPS`.

What is copied to the host without blocking arrives only when its event is waited for; until then
there is something else. `ClaimedDevices.crossed` counts the bytes that went to and fro.

It sees what goes through PyTorch's Python interface, in the thread that entered it, which is all
that isoslice does on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Where a CPU tensor without dimensions may meet others (TensorIterator's binary operations).
ARITHMETIC = {
    *("add", "sub", "mul", "div", "pow", "where", "maximum", "minimum", "rsub", "true_divide"),
    *("floor_divide", "remainder", "eq", "ne", "lt", "le", "gt", "ge", "bitwise_and", "bitwise_or"),
    *("bitwise_xor", "logical_and", "logical_or"),
    *("foreach_mul", "foreach_div"),
}
#: Not on MPS in all versions of PyTorch that are promised.
NOT_ON_MPS = {
    *("cummax", "cummin", "searchsorted", "bucketize", "logcumsumexp", "erfinv", "histc"),
    *("bincount", "quantile", "unique_consecutive"),
}
#: May have tensors of several devices: copies, and what only looks.
COPIES = {"copy_", "__set__", "_has_compatible_shallow_copy_type", "is_same_size"}
#: Look at nothing but another tensor's shape.
SHAPES = {"expand_as", "view_as", "reshape_as"}


class WrongDeviceError(RuntimeError):
    """What a GPU would have refused."""


def claimed(tensor: Tensor) -> str:
    """Say which type of device a tensor claims to be on."""
    return getattr(tensor.untyped_storage(), "claimed", "cpu")


def _claim(tensor: Tensor, kind: str) -> None:
    tensor.untyped_storage().claimed = kind  # type: ignore[attr-defined]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _kind(device: Any) -> str:
    return torch.device(device).type


#: Copies to the host that no event was recorded for yet: where to, and what.
_under_way: list[tuple[Tensor, Tensor]] = []


class ClaimedEvent:
    """An event of a claimed GPU: copies that did not block are there once it is waited for."""

    def record(self, stream: object = None) -> None:
        """Stand for all copies that were begun."""
        self._copies = list(_under_way)
        _under_way.clear()

    def synchronize(self) -> None:
        """Wait for them."""
        for there, values in self._copies:
            there.copy_(values)


class ClaimedDevices(TorchFunctionMode):
    """While entered, tensors remember the device they were made for or moved to.

    Attributes
    ----------
    crossed
        Bytes of each copy between devices, to the host and from it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crossed: dict[str, list[int]] = {"to host": [], "from host": []}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self._attribute(func, args)
        if name in ("to", "cpu", "cuda") and args and isinstance(args[0], Tensor):
            return self._moved(name, *args, **kwargs)
        if name in ("numpy", "__array__", "__dlpack__") and claimed(args[0]) != "cpu":
            raise WrongDeviceError(
                f"can't convert a {claimed(args[0])} tensor to numpy; use .cpu()"
            )
        if name == "copy_" and claimed(args[0]) != claimed(args[1]):
            self._cross(claimed(args[0]), args[1])
            if kwargs.get("non_blocking") and claimed(args[0]) == "cpu":
                _under_way.append((args[0], args[1].clone()))
                return args[0].fill_(113)
        kwargs.pop("pin_memory", None)
        found = list(_tensors([args[:1] if name in SHAPES else args, kwargs]))
        self._check(name, args, kwargs, found)
        kinds = {claimed(t) for t in found if t.ndim} or {claimed(t) for t in found}
        kind = "cpu" if name in ("from_numpy", "load") else next(iter(kinds - {"cpu"}), "cpu")
        if kwargs.get("device") is not None and not isinstance(func, type):
            kind, kwargs["device"] = _kind(kwargs["device"]), "cpu"
        generator = kwargs.get("generator")
        if generator is not None and (of := getattr(generator, "claimed", "cpu")) != kind:
            raise WrongDeviceError(f"{name}: got a generator of {of} for {kind}")
        if kind == "mps" and name in NOT_ON_MPS:
            raise WrongDeviceError(f"{name} is not implemented on MPS")
        result = func(*args, **kwargs)
        if name not in COPIES and name != "__setitem__":
            before = {t.untyped_storage()._cdata for t in found}
            for made in _tensors(result):
                if made.untyped_storage()._cdata not in before:
                    _claim(made, kind)
                if claimed(made) == "mps" and made.dtype is torch.float64:
                    raise WrongDeviceError(f"{name}: MPS has no float64")
        return result

    def _attribute(self, func: Any, args: tuple[Any, ...]) -> Any:
        owner, which = args[0], getattr(func.__self__, "__name__", "")
        kind = claimed(owner)
        if which == "device":
            return torch.device(kind)
        if which in ("is_cuda", "is_mps", "is_cpu"):
            return which == f"is_{kind}"
        found = func(*args)
        if which == "grad" and found is not None:  # made by the backward pass, which nobody sees
            _claim(found, kind)
        return found

    def _cross(self, kind: str, values: Tensor) -> None:
        self.crossed["to host" if kind == "cpu" else "from host"].append(values.nbytes)

    def _moved(self, name: str, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        before, kind, dtype = claimed(tensor), None, kwargs.pop("dtype", None)
        if name != "to":
            kind = name
        elif "device" in kwargs:
            kind = _kind(kwargs.pop("device"))
        for value in args if name == "to" else ():
            if isinstance(value, Tensor):
                kind, dtype = claimed(value), value.dtype
            elif isinstance(value, torch.device | str):
                kind = _kind(value)
            elif isinstance(value, torch.dtype):
                dtype = value
        kind = kind or before
        kwargs = {k: value for k, value in kwargs.items() if k in ("memory_format", "copy")}
        found = tensor.to(dtype or tensor.dtype, **kwargs)
        if kind != before and found.untyped_storage()._cdata == tensor.untyped_storage()._cdata:
            found = found.clone()
        if kind == "mps" and found.dtype is torch.float64:
            raise WrongDeviceError("MPS has no float64")
        if kind != before:
            self._cross(kind, found)
        if kind != before or found is not tensor:
            _claim(found, kind)
        return found

    def _check(self, name: str, args: Any, kwargs: Any, found: list[Tensor]) -> None:
        if name in COPIES:
            return
        if name in ("__getitem__", "__setitem__"):
            # The index may be on the CPU; a value that is put may come from anywhere, but with
            # tensors in the index (other than slices) it has to be on the same device.
            own, indices = claimed(args[0]), list(_tensors(args[1:2]))
            strange = [t for t in indices if claimed(t) not in ("cpu", own)]
            if indices:
                strange += [t for t in _tensors(args[2:]) if t.ndim and claimed(t) != own]
        else:
            plain = name.strip("_").removeprefix("i").removeprefix("r")
            free = {name.strip("_"), plain} & ARITHMETIC
            judged = [t for t in found if not (free and t.ndim == 0 and claimed(t) == "cpu")]
            kinds = {claimed(t) for t in judged}
            strange = judged if len(kinds) > 1 else []
            if name.endswith("_") and found and strange == [] and kinds - {claimed(found[0])}:
                strange = found[:1]
        if strange:
            told = ", ".join(f"{tuple(t.shape)} on {claimed(t)}" for t in found)
            raise WrongDeviceError(f"{name}: expected all tensors on the same device, got {told}")


class ClaimedGenerator(torch.Generator):
    """A CPU's generator that claims to be another device's."""

    claimed: str

    def __new__(cls, device: torch.device | str = "cpu") -> ClaimedGenerator:
        """Make it for a device."""
        made = super().__new__(cls)
        made.claimed = _kind(device)
        return made

    def manual_seed(self, seed: int) -> ClaimedGenerator:
        """Seed it; the claim stays."""
        super().manual_seed(seed)
        return self


@contextmanager
def claimed_device(kind: str, free: int = 2**40) -> Iterator[torch.device]:
    """Let PyTorch say that there is a GPU, with so many free bytes, and watch over devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: kind == "cuda")
        patch.setattr(torch.backends.mps, "is_available", lambda: kind == "mps")
        # Of a GPU without bfloat16: autocast needs a real one.
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))
        patch.setattr(torch.cuda, "mem_get_info", lambda *_: (free, free))
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "get_device_name", lambda *_: "claimed")
        patch.setattr(torch.cuda, "current_stream", lambda *_: None)
        patch.setattr(torch.cuda, "Event", ClaimedEvent)
        patch.setattr(torch, "Generator", ClaimedGenerator)
        with ClaimedDevices():
            yield torch.device(kind)
