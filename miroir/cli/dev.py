"""`miroir dev`: real Meilisearch nodes on this machine with Miroir in front, for trying things out.

Everything listens on loopback only, runs as a child that cannot outlive this process, and is taken down on Ctrl-C or
SIGTERM; without `data` nothing stays on disk.
"""

from __future__ import annotations

import json
import shlex
import signal
from contextlib import nullcontext
from typing import Any

import httpx
import trio
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from miroir.cli.dev_fleet import DEFAULT_PORT, DevOptions, Fleet
from miroir.cli.dev_process import StartError
from miroir.cli.dev_sample import SEARCH, load_sample, search_sample
from miroir.cli.dev_status import node_statuses, status_table
from miroir.cli.sample import DEFAULT_COUNT, INDEX_UID

__all__ = ["DevOptions", "run_dev"]

_REFRESH_S = 1.0
_REQUEST_LIMIT_S = 60.0
_FAILED = 1
_USAGE = 2


def run_dev(options: DevOptions, console: Console | None = None) -> int:
    """Run it until Ctrl-C or SIGTERM (`options.once`: until it was shown to work); the exit status.

    0 done or asked to stop, 1 something did not start or ended by itself, 2 the options make no sense. Call it on the
    main thread.
    """
    console = console or Console(highlight=False)
    if problem := options.problem():
        console.print(f"[red]error:[/] {escape(problem)}")
        return _USAGE
    return trio.run(_run, options, console)


async def _run(options: DevOptions, console: Console) -> int:
    status = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_on_signal() -> None:
                async for _ in signals:
                    console.print("\nstopping ...")
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal)
            try:
                await _session(options, console)
            except* StartError as group:
                status = _FAILED
                for text in _leaves(group):
                    console.print(f"[red]error:[/] {escape(text)}")
            nursery.cancel_scope.cancel()
    return status


def _leaves(group: BaseExceptionGroup[StartError]) -> list[str]:
    """The texts in a group of any depth, each once: nodes that fail together often fail alike."""
    texts: dict[str, None] = {}
    for error in group.exceptions:
        texts.update(dict.fromkeys(_leaves(error) if isinstance(error, BaseExceptionGroup) else [str(error)]))
    return list(texts)


async def _session(options: DevOptions, console: Console) -> None:
    fleet = Fleet(options)
    async with fleet:
        if fleet.port != options.port == DEFAULT_PORT:
            console.print(f"[yellow]port {DEFAULT_PORT} is taken, using {fleet.port}[/]")
        with _progress(console) as progress:
            job = progress.add_task("Meilisearch nodes", total=len(fleet.nodes))
            await fleet.start_nodes(lambda: progress.advance(job))
            job = progress.add_task("Miroir", total=1)
            await fleet.start_server()
            progress.advance(job)
            if options.sample:
                job = progress.add_task("sample documents", total=DEFAULT_COUNT)
                async with _client(fleet.url, fleet.keys.master) as client:
                    await load_sample(client, lambda done: progress.advance(job, done))
        _print_access(fleet, console)
        if options.sample:
            async with _client(fleet.url, fleet.keys.master) as client:
                _print_search(await search_sample(client), console)
        if options.once:
            async with _client(fleet.url, fleet.keys.admin) as admin:
                console.print(status_table(await node_statuses(fleet, admin)))
            return
        await _watch(fleet, console)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _client(url: str, key: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=_REQUEST_LIMIT_S, trust_env=False)


async def _watch(fleet: Fleet, console: Console) -> None:
    """Show the live status until cancelled. Raises `StartError` when Miroir ends by itself."""
    console.print("\n[bold]Ctrl-C[/] takes everything down.\n")
    async with _client(fleet.url, fleet.keys.admin) as admin:
        # Without a terminal nobody would see the table move; then this only waits.
        with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
            while fleet.server.running:
                if live is not None:
                    live.update(status_table(await node_statuses(fleet, admin)), refresh=True)
                await trio.sleep(_REFRESH_S)
    raise StartError(f"Miroir ended with status {fleet.server.returncode}:\n{fleet.server.log_tail()}")


def _print_access(fleet: Fleet, console: Console) -> None:
    options, keys = fleet.options, fleet.keys
    console.print()
    console.print(
        f"[bold]Miroir[/] answers as one Meilisearch: {options.groups} x {options.nodes} nodes, "
        f"{options.shards} shards, {options.rf} {'copy' if options.rf == 1 else 'copies'} per group"
    )
    for name, value in (
        ("URL", fleet.url),
        ("master key", keys.master),
        ("topology", f"{fleet.url}/_miroir/topology"),
        ("admin key", keys.admin),
        ("metrics", f"http://127.0.0.1:{fleet.metrics_port}/metrics"),
        ("nodes' key", keys.node),
        ("data", f"{fleet.directory}{'' if options.data else '  (removed at the end)'}"),
    ):
        console.print(f"  {name:<11}{escape(str(value))}", soft_wrap=True)
    console.print("\n[bold]Try[/]")
    console.print(f"  {escape(_curl(fleet))}", soft_wrap=True)


def _curl(fleet: Fleet) -> str:
    words = ["curl", "-s"]
    if fleet.options.sample:
        words.append(f"{fleet.url}/indexes/{INDEX_UID}/search")
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(SEARCH)]
    else:
        words.append(f"{fleet.url}/version")
    words += ["-H", f"Authorization: Bearer {fleet.keys.master}"]
    return shlex.join(words)


def _print_search(found: dict[str, Any], console: Console) -> None:
    total, took_ms = found["estimatedTotalHits"], found["processingTimeMs"]
    console.print(
        f'\n[bold]Search[/] "{SEARCH["q"]}", {escape(SEARCH["filter"])}: {total:,} hits in {took_ms} ms; '
        f"the first {len(found['hits'])}:",
        soft_wrap=True,
    )
    for hit in found["hits"]:
        rating = hit.get("rating")
        console.print(
            f"  {hit['id']:>6}  {escape(hit['name']):<44} {hit['price']:>8.2f} EUR  "
            f"{'-' if rating is None else rating:>4}  {escape(hit['category'])}",
            soft_wrap=True,
        )
    facets = found["facetDistribution"]["category"]
    console.print(
        "  by category: " + ", ".join(f"{escape(name)} {count}" for name, count in facets.items()), soft_wrap=True
    )
