"""What the terminal shows while `miroir dev` runs: one row a node, from Miroir's topology, metrics and the nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from miroir.cli.dev_fleet import Fleet
from miroir.cli.dev_nodes import MeilisearchNode

_COLOURS = {"healthy": "green", "active": "green", "degraded": "yellow", "draining": "yellow", "joining": "yellow"}
_PATIENCE_S = 2.0
_OUR_INDEX = "_miroir_meta"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node as seen now; None is what could not be learnt."""

    node_id: str
    address: str
    group: int
    status: str
    shards: int | None
    documents: int | None
    requests: int | None


async def node_statuses(fleet: Fleet, admin: httpx.AsyncClient) -> list[NodeStatus]:
    """The state of every node. Never raises because something is down: showing that is the point."""
    seen: dict[str, Any] = {}
    requests: Counter[str] = Counter()
    documents: dict[str, int] = {}
    answering: set[str] = set()

    async def topology() -> None:
        for row in (await _json(admin, f"{fleet.url}/_miroir/topology") or {}).get("nodes", []):
            seen[row["id"]] = row

    async def metrics() -> None:
        requests.update(node_requests(await _text(admin, f"http://127.0.0.1:{fleet.metrics_port}/metrics") or ""))

    async def count(node: MeilisearchNode) -> None:
        response = await _get(admin, f"{node.address}/stats", fleet.keys.node)
        if response is None:
            return
        answering.add(node.node_id)
        if response.is_success:
            stats = response.json()
            documents[node.node_id] = sum(
                index["numberOfDocuments"] for uid, index in stats["indexes"].items() if uid != _OUR_INDEX
            )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(topology)
        nursery.start_soon(metrics)
        for node in fleet.nodes:
            nursery.start_soon(count, node)

    statuses = []
    for number, node in enumerate(fleet.nodes):
        row = seen.get(node.node_id, {})
        # One that ended may have been started again by hand.
        is_there = node.running or node.node_id in answering
        statuses.append(
            NodeStatus(
                node_id=node.node_id,
                address=node.address,
                group=number // fleet.options.nodes,
                status=row.get("status", "unknown") if is_there else "ended",
                shards=row.get("shard_count"),
                documents=documents.get(node.node_id),
                requests=requests.get(node.node_id),
            )
        )
    return statuses


def node_requests(metrics: str) -> Counter[str]:
    """How many calls Miroir made to each node, from the text of its metrics."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "miroir_node_request_duration_seconds_count":
                found[sample.labels["node_id"]] += int(sample.value)
    return found


def status_table(statuses: Sequence[NodeStatus]) -> Table:
    """The table of the live view."""
    table = Table(title_justify="left", expand=False)
    for column, right in (
        ("node", False),
        ("group", True),
        ("address", False),
        ("health", False),
        ("shards", True),
        ("documents", True),
        ("requests", True),
    ):
        table.add_column(column, justify="right" if right else "left")
    for row in statuses:
        colour = _COLOURS.get(row.status, "red")
        table.add_row(
            row.node_id,
            str(row.group),
            row.address.removeprefix("http://"),
            f"[{colour}]{row.status}[/]",
            *("-" if value is None else f"{value:,}" for value in (row.shards, row.documents, row.requests)),
        )
    return table


async def _get(client: httpx.AsyncClient, url: str, key: str | None) -> httpx.Response | None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return await client.get(url, headers=headers, timeout=_PATIENCE_S)
    except httpx.HTTPError:
        return None


async def _json(client: httpx.AsyncClient, url: str) -> Any:
    response = await _get(client, url, None)
    return response.json() if response is not None and response.is_success else None


async def _text(client: httpx.AsyncClient, url: str) -> str | None:
    response = await _get(client, url, None)
    return response.text if response is not None and response.is_success else None
