"""`miroir-ctl dump`: import a dump of Meilisearch, and see how far it has come."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from miroir.cli.ctl_calls import FAILED, AsJson, Target, admin_key, call_admin, fail, print_json, show

dump_commands = typer.Typer(no_args_is_help=True, help="Import dumps of Meilisearch.")

_PATH: Final = "/_miroir/dumps/import"
_POLL_S: Final = 0.5
_ENDED: Final = frozenset({"completed", "failed", "canceled"})
_COLUMNS: Final = ("id", "state", "phase", "pct_complete", "documents")

_GOES_ON: Final = "It goes on by itself; `miroir-ctl dump status {id} --watch` stays until it has ended"
_NEXT: Final = {
    "queued": _GOES_ON,
    "in_progress": _GOES_ON,
    "failed": "`miroir-ctl dump resume {id}` goes on where it failed, once the cause is gone; "
    "`miroir-ctl dump cancel {id}` gives it up",
}
"""State -> what whoever imports can do next."""

Id = Annotated[str, typer.Argument(help="The import, as `dump status` lists it.")]


@dump_commands.command("import")
def import_dump(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The dump.")],
    if_exists: Annotated[
        Literal["fail", "merge"],
        typer.Option(help="An index that is here already: refuse the dump, or put the dump's on top."),
    ] = "fail",
    wait: Annotated[bool, typer.Option(help="Stay until it is imported.")] = True,
    as_json: AsJson = False,
) -> None:
    """Upload a dump and have it imported."""
    taken = _upload(context, file, if_exists, quiet=as_json)
    if wait:
        taken = _follow(context, taken["id"], quiet=as_json)
    _show(taken, as_json=as_json)


@dump_commands.command()
def status(
    context: typer.Context,
    id: Annotated[str | None, typer.Argument(help="One import; all are listed without.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """How far imports have come."""
    if id is not None:
        found = _follow(context, id, quiet=as_json) if watch else call_admin(context, _path(id, "/status"))
        _show(found, as_json=as_json)
        return
    answer = call_admin(context, _PATH)
    if as_json:
        print_json(answer)
        return
    table = Table(*_COLUMNS, box=None, header_style="bold")
    for each in answer["results"]:
        table.add_row(*(str(each.get(name, "-")) for name in _COLUMNS))
    show(table)
    for each in answer["results"]:
        if "error" in each:
            typer.echo(f"{each['id']}: {_error(each)}")


@dump_commands.command()
def resume(context: typer.Context, id: Id, wait: bool = True, as_json: AsJson = False) -> None:
    """Go on with an import that failed, from where it failed."""
    found = call_admin(context, _path(id, "/resume"), method="POST")
    _show(_follow(context, id, quiet=as_json) if wait else found, as_json=as_json)


@dump_commands.command()
def cancel(context: typer.Context, id: Id, as_json: AsJson = False) -> None:
    """Stop an import and forget its dump. What was imported stays."""
    found = call_admin(context, _path(id, ""), method="DELETE")
    if as_json:
        print_json(found)
    else:
        typer.echo(f"canceled {found['id']}; {found['documents']} documents were imported, and stay")


def _path(id: str, rest: str) -> str:
    return f"{_PATH}/{quote(id, safe='')}{rest}"


def _bar(console: Console, *columns: Any) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, TimeElapsedColumn(), console=console)


def _upload(context: typer.Context, file: Path, if_exists: str, *, quiet: bool) -> Any:
    from miroir.cli.admin_client import AdminCallFailed, upload

    target: Target = context.obj
    console = Console(stderr=True, quiet=quiet)
    with file.open("rb") as dump, _bar(console, DownloadColumn()) as bar:
        shown = bar.add_task("uploading", total=file.stat().st_size)
        try:
            return upload(
                target.url,
                _PATH,
                admin_key=admin_key(target),
                params={"if_exists": if_exists},
                file=dump,
                sent=lambda size: bar.advance(shown, size),
            )
        except AdminCallFailed as error:
            bar.stop()
            fail(str(error), FAILED)


def _follow(context: typer.Context, id: str, *, quiet: bool) -> Any:
    """Wait until it has ended; what it has come to."""
    with _bar(Console(stderr=True, quiet=quiet), TextColumn("{task.percentage:>5.1f} %")) as bar:
        shown = bar.add_task("importing", total=100.0)
        while True:
            found = call_admin(context, _path(id, "/status"))
            doing = found.get("waiting_for") or f"{found['phase']}, {found['documents']} documents"
            bar.update(shown, completed=found["pct_complete"], description=doing)
            if found["state"] in _ENDED:
                return found
            time.sleep(_POLL_S)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What it has come to; the command fails with the import."""
    if as_json:
        print_json(found)
    else:
        typer.echo(f"import {found['id']}: {found['state']}, {found['documents']} documents")
        for uid, documents in found["indexes"].items():
            typer.echo(f"  {uid}: {documents}")
        for remark in found["remarks"]:
            typer.echo(f"  note: {remark}")
        if next_step := _NEXT.get(found["state"]):
            typer.echo(next_step.format(id=found["id"]))
    if found["state"] == "failed":
        fail(_error(found), FAILED)


def _error(found: Mapping[str, Any]) -> str:
    """Why it failed, with the code that `docs/errors.md` explains."""
    return f"{found['error']['message']} ({found['error']['code']})"
