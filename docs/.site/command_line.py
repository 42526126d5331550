"""Write docs/reference/command-line.md from the commands: ``python docs/.site/command_line.py``.

By the functions' own annotations: versions of typer differ in how they put these into words.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from isoslice.cli.app import COMMANDS
from isoslice.cli.help import GENERAL, GROUPS

PAGE = Path(__file__).parents[1] / "reference" / "command-line.md"
HEAD = """# Command line

<!-- Written by docs/.site/command_line.py from the commands themselves: change these. -->

`isoslice COMMAND --help` prints the same. What goes with what: [how to](../how-to/index.md).
`isoslice --version` prints the version.
"""

#: Why examples are not run by the tests of the pages.
NOT_RUN = {
    "benchmark": "takes an hour; tests/evaluation/test_benchmark_run.py runs small ones",
    "import-msdsr": "needs the authors' file; tests/models/test_msdsr_checkpoint.py writes one",
}


def words(text: str | None) -> str:
    """Make a cell of a table."""
    return re.sub(r"\s+", " ", (text or "").replace("\\[", "[")).strip()


def choices(kind: Any) -> tuple[str, ...]:
    """List the words that a type allows, if it is one of words.

    >>> choices(Literal["auto", "cpu"] | None)
    ('auto', 'cpu')
    """
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next(filter(None, map(choices, get_args(kind))), ())


def option_name(name: str, info: Any, kind: Any) -> str:
    """Name an option and its value: ``-o, --output PATH``, ``--device {auto,cpu}``."""
    # The first of an annotation's names lies where a default would.
    given = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    given = given or [f"--{name.replace('_', '-')}"]
    named = ", ".join(sorted(given, key=len))
    if kind is bool or bool in get_args(kind):
        return named
    allowed = choices(kind)
    value = "{" + ",".join(allowed) + "}" if allowed else info.metavar
    return f"{named} {value or name.upper()}"


def told(info: Any, default: object) -> str:
    """Say what an option does, and what is taken without it."""
    parts = [words(info.help)]
    if default is inspect.Parameter.empty:
        parts.append("[required]")
    elif default is not None and not isinstance(default, bool) and info.show_default:
        parts.append(f"[default: {default}]")
    return " ".join(filter(None, parts))


def records(command: Callable[..., None]) -> Iterator[tuple[str, str, str]]:
    """List a command's arguments and options: group, name, what it is."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind, info = get_args(hints[name])[:2]
        if info.hidden:
            continue
        if isinstance(info, ArgumentInfo):
            yield "Arguments", info.metavar or name.upper(), words(info.help)
        else:
            group = info.rich_help_panel or GENERAL
            yield group, option_name(name, info, kind), told(info, parameter.default)


def section(command: Callable[..., None], example: str) -> str:
    """Describe a command."""
    found, name = list(records(command)), example.split()[1]
    why = f"<!-- not run: {NOT_RUN[name]} -->\n" if name in NOT_RUN else ""
    parts = [f"## isoslice {name}", words(command.__doc__), f"{why}```sh\n{example}\n```"]
    for group in ("Arguments", *GROUPS):
        rows = [f"| `{option}` | {text} |" for title, option, text in found if title == group]
        if rows:
            parts.append("\n".join((f"| {group} | |", "|---|---|", *rows)))
    return "\n\n".join(parts)


def page() -> str:
    """Describe all commands."""
    return "\n\n".join([HEAD.rstrip(), *(section(*each) for each in COMMANDS)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
