"""`miroir`: run the server, try it on a laptop, look at its configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from miroir import __version__
from miroir.cli import config as config_command
from miroir.config import ConfigError, load_secrets

app = typer.Typer(
    name="miroir",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A fleet of Meilisearch Community Edition nodes that looks like one Meilisearch.",
)
app.add_typer(config_command.app, name="config")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"miroir {__version__}")
        raise typer.Exit


@app.callback()
def _miroir(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    file: Annotated[Path | None, typer.Option("--config", help="The configuration file; none: defaults.")] = None,
    overrides: config_command.Overrides = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C. Secrets come from the environment, see docs/configuration.md."""
    config = config_command.load_or_exit(file, overrides or ())
    try:
        secrets = load_secrets(config, environ=os.environ)
    except ConfigError as error:
        config_command.refuse(error)
    from miroir.app import run  # the whole program; nothing else here needs it

    raise typer.Exit(run(config, secrets))


@app.command()
def dev(
    nodes: Annotated[int, typer.Option(min=1, help="Meilisearch nodes in each group.")] = 3,
    groups: Annotated[int, typer.Option(min=1, help="Replica groups; each holds all data.")] = 1,
    rf: Annotated[int, typer.Option(min=1, help="Copies of a shard within each group.")] = 1,
    shards: Annotated[int, typer.Option(min=1, help="Shards of a new index.")] = 12,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Miroir.")] = 7700,
    master_key: Annotated[str | None, typer.Option(help="Key of the data plane; none: one is made.")] = None,
    admin_key: Annotated[str | None, typer.Option(help="Key of /_miroir; none: one is made.")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory to keep data in; none: a temporary one.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Load a generated catalogue of 10,000 products.")] = False,
    config: Annotated[Path | None, typer.Option(help="A configuration file for everything else.")] = None,
) -> None:
    """Start real Meilisearch nodes on this machine and Miroir in front of them, until Ctrl-C."""
    from miroir.cli.dev import DevOptions, run_dev  # starts the whole program

    options = DevOptions(
        nodes=nodes,
        groups=groups,
        rf=rf,
        shards=shards,
        port=port,
        master_key=master_key,
        admin_key=admin_key,
        data=data,
        sample=sample,
        config=config,
    )
    try:
        raise typer.Exit(run_dev(options))
    except ConfigError as error:
        config_command.refuse(error)


def main() -> None:
    """Entry point of `miroir`."""
    app()
