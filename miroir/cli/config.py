"""`miroir config`: look at a configuration before, or instead of, running with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from miroir.config import Config, ConfigError, cautions, load_config, load_secrets, not_servable, secret_names

app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one knob, such as server.port=7800.")
]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration file.")],
    overrides: Overrides = None,
) -> None:
    """Check a file, with the environment and --set laid over it. Exit 1 names every problem.

    What `miroir serve` would warn of is said too, on standard error.
    """
    config = load_or_exit(file, overrides or ())
    try:
        secrets = load_secrets(config, environ=os.environ)
    except ConfigError as error:
        refuse(error)
    for caution in cautions(config, secrets):
        typer.echo(f"{file}: warning: {caution}", err=True)
    refused = not_servable(config)
    for reason in refused:
        typer.echo(f"{file}: {reason}", err=True)
    if refused:
        raise typer.Exit(1)
    typer.echo(f"{file}: fine")


@app.command()
def show(
    file: Annotated[Path | None, typer.Option("--config", help="The configuration file; none: defaults.")] = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the effective values of all layers. Secrets are named as set or unset, never shown."""
    config = load_or_exit(file, overrides or ())
    secrets = {name: "set" if os.environ.get(name) else "unset" for name in secret_names(config)}
    if as_json:
        typer.echo(json.dumps({"miroir": config.dump(), "secrets": secrets}, indent=2, ensure_ascii=False))
        return
    lines = [f"#   {name}: {state}" for name, state in secrets.items()]
    typer.echo(config.to_yaml() + "\n".join(["# secrets, from the environment:", *lines]))


def load_or_exit(file: Path | None, overrides: Sequence[str]) -> Config:
    """The configuration of this process's environment; on problems, prints them and exits with 1."""
    try:
        return load_config(file, environ=os.environ, overrides=overrides)
    except ConfigError as error:
        refuse(error)


def refuse(error: ConfigError) -> NoReturn:
    """Print a refused configuration to standard error and exit with 1."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    count = len(error.problems)
    console.print(Text(f"Configuration refused: {count} problem{'' if count == 1 else 's'}", style="bold red"))
    for problem in error.problems:
        place = Text(problem.path or problem.source, style="bold")
        if problem.path and problem.source and problem.source != problem.path:
            place.append(f"  {problem.source}", style="dim")
        console.print(Padding(place, (1, 0, 0, 2), expand=False))
        console.print(Padding(Text(problem.wrong), (0, 0, 0, 4), expand=False))
        console.print(Padding(Text(problem.instead, style="green"), (0, 0, 0, 4), expand=False))
    raise typer.Exit(1)
