"""Write docs/reference/command-line.md from the commands: ``python docs/.site/command_line.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from isoslice.cli.app import COMMANDS, app
from isoslice.cli.help import GENERAL, GROUPS, RANGE

PAGE = Path(__file__).parents[1] / "reference" / "command-line.md"
HEAD = """# Command line

<!-- Written by docs/.site/command_line.py from the commands themselves: change these. -->

`isoslice COMMAND --help` prints the same. What goes with what: [how to](../how-to/index.md).
"""


def plain(text: str) -> str:
    """Make a cell of a table."""
    return re.sub(r"\s+", " ", RANGE.sub("", text.replace("\\[", "["))).strip()


def choices(name: str) -> str:
    """Write choices without the mark that ends a table's cell: ``{auto,cpu}``."""
    return re.sub(r"<([^<>]*)>", lambda found: "{" + found[1].replace("|", ",") + "}", name)


def records(command: Any, context: Any) -> Iterator[tuple[str, str, str]]:
    """List a command's arguments and options: group, name, what it is."""
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is None:
            continue
        if param.param_type_name == "argument":
            name = getattr(param, "metavar", None) or record[0]
            yield "Arguments", name, plain(record[1].replace("[required]", ""))
        else:
            group = getattr(param, "rich_help_panel", None) or GENERAL
            yield group, choices(record[0]), plain(record[1])


def section(name: str, command: Any) -> str:
    """Describe a command."""
    context = typer.Context(command, info_name=f"isoslice {name}")
    found = list(records(command, context))
    parts = [f"## isoslice {name}", " ".join((command.help or "").split())]
    parts.append(f"```sh\n{command.epilog}\n```")
    for group in ("Arguments", *GROUPS):
        rows = [f"| `{option}` | {text} |" for title, option, text in found if title == group]
        if rows:
            parts.append("\n".join((f"| {group} | |", "|---|---|", *rows)))
    return "\n\n".join(parts)


def page() -> str:
    """Describe all commands."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = [example.split()[1] for _, example in COMMANDS]
    return "\n\n".join([HEAD.rstrip(), *(section(name, commands[name]) for name in names)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
