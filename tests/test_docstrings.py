"""Examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import isoslice

ROOT = Path(isoslice.__file__).parent
PUBLIC: list[str] = vars(isoslice)["__all__"]
WITH_EXAMPLES = [
    path for path in sorted(ROOT.rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings(path):
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    outcome = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def public() -> dict[str, str | None]:
    """Docstrings of what users call: functions, classes but for errors, and their methods."""
    found: dict[str, str | None] = {}
    for name in PUBLIC:
        what = getattr(isoslice, name)
        if isinstance(what, str) or (isinstance(what, type) and issubclass(what, Exception)):
            continue
        found[name] = what.__doc__
        if isinstance(what, type):
            methods = [
                each
                for base in what.__mro__
                if base.__module__.startswith("isoslice.")
                for each, value in vars(base).items()
                if not each.startswith("_") and (callable(value) or isinstance(value, classmethod))
            ]
            found |= {f"{name}.{each}": getattr(what, each).__doc__ for each in methods}
    return found


def test_there_are_public_names():
    assert {"train", "Model.predict", "Model.load", "Volume.tczyx"} <= set(public())


@pytest.mark.parametrize("name", public())
def test_every_public_function_has_an_example(name):
    assert ">>> " in (public()[name] or "")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_the_page(name):
    what = getattr(isoslice, name)
    page = (ROOT.parents[1] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    if isinstance(what, type) and issubclass(what, Exception):
        assert f"{name}," in page or f"{name}]" in page
    elif not isinstance(what, str):
        assert f"::: {what.__module__}.{name}\n" in page
