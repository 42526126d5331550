"""Do OME-Zarr's attributes have the types that the format gives them? Files may hold any JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_types(ome: object) -> None:
    """Raise `ValueError` if a part that is read has another type than the format gives it.

    Parameters
    ----------
    ome
        Attributes of a group: those of OME-Zarr 0.4, or what is under ``ome`` in 0.5.
    """
    for multiscale in _list(_mapping(ome, "attributes"), "multiscales"):
        _mapping(multiscale, "an entry of multiscales")
        datasets = _list(multiscale, "datasets")
        if not datasets:
            raise ValueError("it has no datasets, expected at least one")
        for dataset in datasets:
            _check_transforms(_mapping(dataset, "a dataset"))
        _check_transforms(multiscale)
        for axis in _list(multiscale, "axes"):
            if not isinstance(axis, str):
                _mapping(axis, "an axis")
    if isinstance(ome, Mapping) and "multiscales" in ome and not ome["multiscales"]:
        raise ValueError("it has no multiscales, expected at least one")
    display = _mapping(_value(ome, "omero") or {}, "omero")
    for channel in _list(display, "channels"):
        _mapping(channel, "a channel")


def _check_transforms(part: Mapping[str, Any]) -> None:
    for transform in _list(part, "coordinateTransformations"):
        for name in ("scale", "translation"):
            for number in _list(_mapping(transform, "a transformation"), name):
                if isinstance(number, bool) or not isinstance(number, int | float):
                    raise ValueError(f"its {name} holds {_kind(number)}, expected numbers")


def _list(part: object, name: str) -> list[Any]:
    """Return a list, empty where there is none or null."""
    found = _value(part, name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"its {name} are {_kind(found)}, expected a list")
    return found


def _value(part: object, name: str) -> object:
    return part.get(name) if isinstance(part, Mapping) else None


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: got {_kind(value)}, expected a JSON object")
    return value


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
