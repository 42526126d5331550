"""``isoslice env``: versions and hardware for a bug report."""

from __future__ import annotations

from dataclasses import asdict

import typer

from isoslice.cli.options import JsonFlag
from isoslice.runtime.text import as_json, as_lines


def env(json: JsonFlag = False) -> None:
    """Show versions and hardware, for a bug report."""
    from isoslice.runtime.environment import environment

    described = asdict(environment())
    typer.echo(as_json(described) if json else as_lines(described))
