"""Examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import isoslice

ROOT = Path(isoslice.__file__).parent
PUBLIC: list[str] = vars(isoslice)["__all__"]
#: They are raised and not called; and the version, which is text.
ERRORS = [*(name for name in PUBLIC if name.endswith(("Error", "Warning"))), "__version__"]
WITH_EXAMPLES = [
    path for path in sorted(ROOT.rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings(path):
    if ">>> result = isoslice.Model" in path.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    outcome = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def documented(name: str) -> dict[str, str | None]:
    """Docstrings of what users call by a name: a function, or a class and its methods."""
    what = getattr(isoslice, name)
    if not isinstance(what, type):
        return {name: what.__doc__}
    methods = [
        each
        for base in what.__mro__
        if base.__module__.startswith("isoslice.")
        for each, value in vars(base).items()
        if not each.startswith("_") and (callable(value) or isinstance(value, classmethod))
    ]
    return {
        name: what.__doc__,
        **{f"{name}.{each}": getattr(what, each).__doc__ for each in methods},
    }


def test_methods_are_among_what_needs_an_example():
    assert {"Volume", "Volume.size", "Volume.tczyx"} <= set(documented("Volume"))
    assert {"Model.predict", "Model.load", "Model.save"} <= set(documented("Model"))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in ERRORS])
def test_every_public_function_has_an_example(name):
    assert [each for each, text in documented(name).items() if ">>> " not in (text or "")] == []


@pytest.mark.parametrize("name", PUBLIC[:-1])
def test_every_public_name_is_on_the_page(name):
    page = (ROOT.parents[1] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    if name in ERRORS:
        assert f"{name}," in page or f"{name}]" in page
    else:
        assert f"::: {getattr(isoslice, name).__module__}.{name}\n" in page


def test_the_version_is_the_last_public_name():
    assert PUBLIC[-1] == "__version__"
