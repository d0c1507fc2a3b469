"""What every `miroir-ctl` command does: call the admin API, print, and end with a status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console, RenderableType

from miroir.cli.credentials import CredentialsError, find_credentials

FAILED: Final = 1
USAGE: Final = 2

_WIDE: Final = 10_000
"""Columns, more than any table has."""

AsJson = Annotated[bool, typer.Option("--json", help="Print what the API said.")]


@dataclass(frozen=True, slots=True)
class Target:
    """The server that a command talks to, and the key it was given, if any."""

    url: str
    option_key: str | None


def call_admin(
    context: typer.Context,
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
) -> Any:
    """What the server said; a failure ends the command."""
    from miroir.cli.admin_client import AdminCallFailed, call  # httpx is slow to import, and `--help` needs none

    target: Target = context.obj
    try:
        return call(method, target.url, path, admin_key=admin_key(target), params=params, body=body)
    except AdminCallFailed as error:
        fail(str(error), FAILED)


def admin_key(target: Target) -> str:
    """The key to send; the command ends where there is none."""
    try:
        return find_credentials(environ=os.environ, home=Path.home(), option=target.option_key).admin_key
    except CredentialsError as error:
        fail(str(error), USAGE)


def print_json(value: Any) -> None:
    """For `--json`."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show(*renderables: RenderableType) -> None:
    """Print tables, each row on one line, whatever the terminal's width: a cut address or number is of no use."""
    console = Console(highlight=False, width=_WIDE)
    for renderable in renderables:
        console.print(renderable)


def fail(message: str, code: int) -> NoReturn:
    """End the command, having said why."""
    print(f"miroir-ctl: {message}", file=sys.stderr)
    raise typer.Exit(code)
