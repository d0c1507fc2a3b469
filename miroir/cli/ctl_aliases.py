"""`miroir-ctl alias`: names that stand for indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from miroir.cli.ctl_calls import AsJson, call_admin, print_json

alias_commands = typer.Typer(no_args_is_help=True, help="Names that stand for indexes: make them, flip them.")

Name = Annotated[str, typer.Argument(help="The alias.")]
Index = Annotated[str, typer.Argument(help="The index it is to stand for.")]

_PATH = "/_miroir/aliases"


@alias_commands.command("list")
def list_aliases(context: typer.Context, as_json: AsJson = False) -> None:
    """Every alias and the index it stands for."""
    answer = call_admin(context, _PATH)
    _show(answer, answer["results"] if not as_json else (), as_json=as_json)


@alias_commands.command()
def create(context: typer.Context, name: Name, index: Index, as_json: AsJson = False) -> None:
    """A new alias."""
    answer = call_admin(context, _PATH, method="POST", body={"name": name, "current_uid": index})
    _show(answer, [answer], as_json=as_json)


@alias_commands.command()
def flip(
    context: typer.Context,
    name: Name,
    index: Index,
    version: Annotated[int | None, typer.Option(help="Only if this is its version now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let it stand for another index."""
    body: dict[str, Any] = {"current_uid": index}
    if version is not None:
        body["version"] = version
    answer = call_admin(context, _path(name), method="PUT", body=body)
    _show(answer, [answer], as_json=as_json)


@alias_commands.command()
def delete(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Forget it. The index stays."""
    answer = call_admin(context, _path(name), method="DELETE")
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"deleted {answer['name']}, which stood for {answer['current_uid']}")


@alias_commands.command()
def history(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """What it stood for, newest first."""
    answer = call_admin(context, _path(name))
    if as_json:
        print_json(answer["history"])
        return
    Console(highlight=False).print(_table(("version", "current_uid", "at"), answer["history"]))


def _path(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"


def _show(answer: Any, aliases: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        Console(highlight=False).print(_table(("name", "current_uid", "version", "updated_at"), aliases))


def _table(members: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> RenderableType:
    heads = {"current_uid": "index", "updated_at": "since", "at": "since"}
    table = Table(*(heads.get(member, member) for member in members), box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(row.get(member, "-")) for member in members))
    return table
