"""``isoslice env``: what a bug report needs."""

from __future__ import annotations

from dataclasses import asdict

import typer

from isoslice.cli.options import JsonFlag
from isoslice.runtime.text import as_json, as_lines


def env(json: JsonFlag = False) -> None:
    """Show versions and hardware, for a bug report."""
    from isoslice.runtime.environment import environment

    found = asdict(environment())
    typer.echo(as_json(found) if json else as_lines(found))
