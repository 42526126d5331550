"""Help of commands as plain text: options in groups by purpose, and an example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from isoslice.runtime.paths import at_home

# Groups of options (typer's ``rich_help_panel``), in the order in which they are shown.
INPUT = "The input"
MODEL = "The model"
RESULT = "The result"
TRUST = "Trust"
SCORES = "Scores"
MACHINE = "Time and machine"
LARGE = "Large volumes"
PAPER = "The paper's recipes and ablations"
GENERAL = "General"
GROUPS = (INPUT, MODEL, RESULT, TRUST, SCORES, MACHINE, LARGE, PAPER, GENERAL)

#: Range of a number, as click appends it: ``[x>=1]``, ``[default: 0; x>=0]``.
_BOUNDS = r"(?:[\d.]+<=)?x[<>]=[\d.]+"
_RANGE = re.compile(rf" *\[{_BOUNDS}\]|; {_BOUNDS}(?=\])")


class GroupedCommand(TyperCommand):
    """A command whose help shows its options by group, in plain text; it knows ``~/``.

    typer draws groups with rich only, whose import would double the time that help takes.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with ``~/`` of its paths expanded; nothing else begins so."""
        ctx.params = {name: _expanded(value) for name, value in ctx.params.items()}
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by group."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        sections |= {group: [] for group in GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            name, text = record[0], record[1].replace("\\[", "[")  # typer escapes it for rich
            if param.param_type_name == "argument":
                metavar = getattr(param, "metavar", None) or name
                text = text.replace("[required]", "").rstrip()
                sections["Arguments"].append((metavar, text))
            else:
                group = getattr(param, "rich_help_panel", None) or GENERAL
                sections[group].append((name, _RANGE.sub("", text).replace("  [", " [")))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example without wrapping, so that it can be copied."""
        if self.epilog:
            formatter.write_paragraph()
            formatter.write(f"Example: {self.epilog}\n")


def _expanded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_expanded(each) for each in value)
    if isinstance(value, Path):
        return at_home(value)
    return at_home(value) if isinstance(value, str) else value
