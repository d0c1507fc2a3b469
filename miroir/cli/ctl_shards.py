"""`miroir-ctl shard`: what is done to single shards."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from miroir.cli.ctl_calls import USAGE, AsJson, call_admin, fail, print_json

shard_commands = typer.Typer(no_args_is_help=True, help="Single shards: when every trusted copy of one is lost.")


@shard_commands.callback()
def _shard() -> None:
    """A group, although it has but one command so far."""


@shard_commands.command("allocate-stale")
def allocate_stale(
    context: typer.Context,
    index: Annotated[str, typer.Argument(help="The index.")],
    node: Annotated[str, typer.Argument(help="The node whose copy shall be trusted, such as it is.")],
    shard: Annotated[
        list[int] | None, typer.Option(help="A shard; may be given several times. Without: all that are unavailable.")
    ] = None,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Say that what only the lost copies had is given up.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the index's name once more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Trust a copy that may be old or empty, because no trusted one will come back.

    What it lacks is lost for good: the other copies are made equal to it, those too that come back after all.
    """
    if not accept_data_loss:
        fail(
            f"{node} may lack documents that were acknowledged, and they would be lost for good. If no trusted copy "
            "will come back, say --accept-data-loss.",
            USAGE,
        )
    if not yes:
        which = "every unavailable shard" if not shard else f"shard {', '.join(map(str, shard))}"
        asked = f"{which} of {index} will be what {node} has of it. Type the name of the index to go on"
        if typer.prompt(asked, default="", show_default=False, err=True) != index:
            fail("that is another name; nothing was done", USAGE)
    body: dict[str, Any] = {"index": index, "node": node, "accept_data_loss": True}
    if shard:
        body["shards"] = shard
    answer = call_admin(context, "/_miroir/shards/allocate-stale", method="POST", body=body)
    if as_json:
        print_json(answer)
        return
    shards = ", ".join(map(str, answer["shards"]))
    typer.echo(
        f"shard {shards} of {index}: trusted on {node} now, with {answer['documents']} documents. The other copies are "
        f"made equal to it; `miroir-ctl shards {index}` shows which are"
    )
