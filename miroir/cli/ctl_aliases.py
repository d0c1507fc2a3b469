"""`miroir-ctl alias`: names that stand for indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import RenderableType
from rich.table import Table

from miroir.cli.ctl_calls import AsJson, call_admin, print_json, show

alias_commands = typer.Typer(no_args_is_help=True, help="Names that stand for indexes: make them, flip them.")

Name = Annotated[str, typer.Argument(help="The alias.")]
Indexes = Annotated[list[str], typer.Argument(help="The index it is to stand for; several can only be read.")]
Multi = Annotated[bool, typer.Option("--multi", help="For several indexes, to read, though one is named.")]

_PATH = "/_miroir/aliases"


@alias_commands.command("list")
def list_aliases(context: typer.Context, as_json: AsJson = False) -> None:
    """Every alias and what it stands for."""
    answer = call_admin(context, _PATH)
    if as_json:
        print_json(answer)
    else:
        show(_table(("name", "target_uids", "version", "updated_at"), answer["results"]))


@alias_commands.command()
def create(context: typer.Context, name: Name, indexes: Indexes, multi: Multi = False, as_json: AsJson = False) -> None:
    """A new alias."""
    answer = call_admin(context, _PATH, method="POST", body={"name": name, **_standing(indexes, multi)})
    if as_json:
        print_json(answer)
        return
    use = "Reads" if answer["kind"] == "multi" else "Reads and writes"
    typer.echo(
        f"{_stands(answer)}. {use} may name it from now on; `miroir-ctl alias flip {name} ...` turns it elsewhere"
    )


@alias_commands.command()
def flip(
    context: typer.Context,
    name: Name,
    indexes: Indexes,
    multi: Multi = False,
    version: Annotated[int | None, typer.Option(help="Only if this is its version now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let it stand for another index, or other indexes."""
    body = _standing(indexes, multi)
    if version is not None:
        body["version"] = version
    answer = call_admin(context, _path(name), method="PUT", body=body)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{_stands(answer)}; `miroir-ctl alias history {name}` shows what it stood for")


@alias_commands.command()
def delete(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Forget it. The index stays."""
    answer = call_admin(context, _path(name), method="DELETE")
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"deleted {answer['name']}, which stood for {', '.join(answer['target_uids'])}")


@alias_commands.command()
def history(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """What it stood for, newest first."""
    answer = call_admin(context, _path(name))
    if as_json:
        print_json(answer["history"])
        return
    show(_table(("version", "target_uids", "at"), answer["history"]))


def _standing(indexes: list[str], multi: bool) -> dict[str, Any]:
    return {"target_uids": indexes} if multi or len(indexes) > 1 else {"current_uid": indexes[0]}


def _path(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"


def _stands(alias: Mapping[str, Any]) -> str:
    return f"{alias['name']} stands for {', '.join(alias['target_uids'])} now, version {alias['version']}"


def _table(members: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> RenderableType:
    heads = {"target_uids": "index", "updated_at": "since", "at": "since"}
    table = Table(*(heads.get(member, member) for member in members), box=None, header_style="bold")
    for row in rows:
        table.add_row(*(_text(row.get(member, "-")) for member in members))
    return table


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
