"""Write the program of a package: one file that needs PyTorch alone, from our own sources.

`ExpectedVolume` and all that it needs are gathered, definition by definition, whenever a model is
exported, so that the program never lags behind.
"""

from __future__ import annotations

import ast
import importlib
import inspect

from isoslice import __version__
from isoslice.models.exchange.expected import ExpectedVolume

_HEAD = '''"""Restore the expected volume of a coarse stack; needs PyTorch alone.

`ExpectedVolume`, at the end, is what the package runs. Made by isoslice {version} of its sources.

SPDX-License-Identifier: MIT
SPDX-FileCopyrightText: The isoslice developers
"""

from __future__ import annotations

{imports}
'''


class _Source:
    """A module of ours: its definitions and imports by name."""

    def __init__(self, module: str) -> None:
        text = inspect.getsource(importlib.import_module(module))
        self.lines = text.splitlines()
        self.definitions: dict[str, ast.stmt] = {}
        #: Where a name is from, and what it is called there (if it is not the module itself).
        self.imports: dict[str, tuple[str, str | None]] = {}
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom):
                names = {each.asname or each.name: each.name for each in node.names}
                self.imports |= {name: (node.module or "", own) for name, own in names.items()}
            elif isinstance(node, ast.Import):
                self.imports |= {each.asname or each.name: (each.name, None) for each in node.names}
            for name in _defined(node):
                self.definitions[name] = node

    def text_of(self, node: ast.stmt) -> str:
        """Return a definition as it is written, with comments before it."""
        first = min(each.lineno for each in (node, *getattr(node, "decorator_list", []))) - 1
        while first and self.lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : node.end_lineno])


class _Program:
    """What has been gathered: names by module, and imports of other libraries."""

    def __init__(self) -> None:
        self.sources: dict[str, _Source] = {}
        self.needed: dict[str, set[str]] = {}
        self.imports: set[str] = set()

    def gather(self, module: str, name: str) -> None:
        """Add a name that a module uses, and all that it needs."""
        source = self.sources.get(module) or _Source(module)
        self.sources[module] = source
        if name in source.imports:
            where, own = source.imports[name]
            if where.startswith("isoslice.") and own is not None:
                self.gather(where, own)
            elif own is None:
                self.imports.add(f"import {where}")
            else:
                self.imports.add(f"from {where} import {own}" + f" as {name}" * (own != name))
        elif name in source.definitions and name not in self.needed.setdefault(module, set()):
            self.needed[module].add(name)
            for node in ast.walk(source.definitions[name]):
                if isinstance(node, ast.Name):
                    self.gather(module, node.id)

    def parts(self, module: str, done: set[str]) -> list[str]:
        """List the definitions of a module behind those of modules that it imports."""
        if module in done or module not in self.sources:
            return []
        done.add(module)
        source = self.sources[module]
        listed = [part for where, _ in source.imports.values() for part in self.parts(where, done)]
        needed = [source.definitions[name] for name in self.needed.get(module, ())]
        ordered = sorted(set(needed), key=lambda node: node.lineno)
        return listed + [source.text_of(node) for node in ordered]


def architecture_source() -> str:
    """Return the program as text."""
    program, start = _Program(), ExpectedVolume.__module__
    program.gather(start, ExpectedVolume.__name__)
    names = [name for needed in program.needed.values() for name in needed]
    assert len(set(names)) == len(names)  # else one would hide the other
    body = "\n\n\n".join(program.parts(start, set()))
    imports = sorted(program.imports, key=lambda line: ("torch" in line, line[0] == "f", line))
    head = _HEAD.format(version=__version__, imports="\n".join(imports))
    return f"{head}\n\n{body}\n"


def _defined(node: ast.stmt) -> list[str]:
    """List the names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    named = (each for target in targets for each in ast.walk(target))
    return [each.id for each in named if isinstance(each, ast.Name)]
