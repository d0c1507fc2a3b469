"""What the admin API says, as tables. Pure: JSON in, renderables out; members a server does not send show as `-`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_STYLES: Final = {
    "healthy": "green",
    "active": "green",
    "degraded": "yellow",
    "joining": "yellow",
    "failed": "bold red",
}


def status_tables(topology: Mapping[str, Any]) -> Iterator[RenderableType]:
    """`GET /_miroir/topology`: a summary, then a line for each node."""
    covered = bool(topology.get("fully_covered"))
    summary = Table.grid(padding=(0, 2))
    for name, value in (
        ("shards", _plain(topology.get("shards"))),
        ("replication factor", _plain(topology.get("replication_factor"))),
        ("replica groups", _plain(topology.get("replica_groups"))),
        ("fully covered", Text("yes", "green") if covered else Text("no", "bold red")),
        ("degraded shards", _plain(topology.get("degraded_shards"))),
        ("nodes not healthy", _plain(topology.get("degraded_node_count"))),
        ("rebalance", "in progress" if topology.get("rebalance_in_progress") else "none"),
    ):
        summary.add_row(Text(name, "dim"), value)
    yield summary
    nodes = Table("node", "group", "status", "shards", "last seen", "address", "error", box=None, header_style="bold")
    for node in topology.get("nodes") or ():
        state = _plain(node.get("status"))
        nodes.add_row(
            _plain(node.get("id")),
            _plain(node.get("replica_group")),
            Text(state, _STYLES.get(state, "")),
            _plain(node.get("shard_count")),
            _age(node.get("last_seen_ms")),
            _plain(node.get("address")),
            Text(node.get("error") or "", "red"),
        )
    yield nodes


def shards_tables(answer: Mapping[str, Any]) -> Iterator[RenderableType]:
    """`GET /_miroir/shards`: a line for each shard of each group."""
    table = Table("shard", "group", "writes", "reads", box=None, header_style="bold")
    for shard in answer.get("shards") or ():
        for group in shard.get("groups") or ():
            table.add_row(
                _plain(shard.get("shard")),
                _plain(group.get("replica_group")),
                _names(group.get("write_owners")),
                _names(group.get("read_owners")),
            )
    if answer.get("index"):
        yield Text(f"index {answer['index']}", "bold")
    yield table


def _plain(value: object) -> str:
    return "-" if value is None else str(value)


def _names(values: Sequence[object] | None) -> Text:
    return Text(", ".join(map(str, values))) if values else Text("none", "bold red")


def _age(last_seen_ms: object) -> str:
    """`last_seen_ms`: how long ago a node last answered."""
    return f"{last_seen_ms / 1000:.1f} s ago" if isinstance(last_seen_ms, int | float) else "never"
