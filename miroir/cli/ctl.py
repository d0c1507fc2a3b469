"""`miroir-ctl`: operator commands over the admin API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from miroir.cli.credentials import CREDENTIALS_FILE, VARIABLE, CredentialsError, NoCredentials, find_credentials
from miroir.cli.ctl_aliases import alias_commands
from miroir.cli.ctl_calls import USAGE, AsJson, Target, call_admin, fail, print_json, show
from miroir.cli.ctl_dumps import dump_commands
from miroir.cli.ctl_shards import shard_commands
from miroir.cli.ctl_tables import shards_tables, status_tables

app = typer.Typer(
    name="miroir-ctl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Operate a running Miroir. The admin key is --admin-key, else {VARIABLE}, else in ~/{CREDENTIALS_FILE}.",
)

_DEFAULT_URL: Final = "http://127.0.0.1:7700"

app.add_typer(alias_commands, name="alias")
app.add_typer(dump_commands, name="dump")
app.add_typer(shard_commands, name="shard")


@app.callback()
def _ctl(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="MIROIR_URL", help="Where Miroir answers.")] = _DEFAULT_URL,
    admin_key: Annotated[
        str | None, typer.Option(help="The admin key. It shows in the list of processes: prefer the environment.")
    ] = None,
) -> None:
    context.obj = Target(url, admin_key)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Nodes, groups, coverage, and whether data is moving."""
    topology = call_admin(context, "/_miroir/topology")
    if as_json:
        print_json(topology)
        return
    show(*status_tables(topology))


@app.command()
def shards(
    context: typer.Context,
    index: Annotated[str, typer.Argument(help="The index.")],
    as_json: AsJson = False,
) -> None:
    """Which nodes write and read each shard of an index."""
    answer = call_admin(context, "/_miroir/shards", {"index": index})
    if as_json:
        print_json(answer)
        return
    show(*shards_tables(answer))


@app.command()
def config(context: typer.Context, as_json: AsJson = False) -> None:
    """Which server these commands talk to, and where the admin key was found, if there is one. Asks nobody."""
    target: Target = context.obj
    source: str | None = None
    missing = ""
    try:
        source = find_credentials(environ=os.environ, home=Path.home(), option=target.option_key).source
    except NoCredentials as error:
        missing = str(error)
    except CredentialsError as error:
        fail(str(error), USAGE)
    if as_json:
        print_json({"url": target.url, "admin_key_from": source})
    else:
        typer.echo(f"url:            {target.url}\nadmin key from: {source or f'nowhere ({missing})'}")


def main() -> None:
    """Entry point of `miroir-ctl`."""
    app()
