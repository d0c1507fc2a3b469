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
    """`GET /_miroir/topology`: a summary, a line for each node, and what is wrong with which."""
    summary = Table.grid(padding=(0, 2))
    for name, value in (
        ("fully covered", _covered(topology)),
        ("indexes", _indexes(topology)),
        ("a new index", _new_index(topology)),
        ("nodes", _nodes(topology)),
        ("rebalance", "in progress" if topology.get("rebalance_in_progress") else "none"),
    ):
        summary.add_row(Text(name, "dim"), value)
    yield summary
    nodes = Table("node", "group", "status", "copies", "last seen", "address", box=None, header_style="bold")
    for node in topology.get("nodes") or ():
        state = _plain(node.get("status"))
        nodes.add_row(
            _plain(node.get("id")),
            _plain(node.get("replica_group")),
            Text(state, _STYLES.get(state, "")),
            _plain(node.get("shard_count")),
            _age(node.get("last_seen_ms")),
            _plain(node.get("address")),
        )
    yield nodes
    for node in topology.get("nodes") or ():
        if node.get("error"):
            yield Text(f"{_plain(node.get('id'))}: {node['error']}", "red")


def _covered(topology: Mapping[str, Any]) -> Text:
    if topology.get("fully_covered"):
        return Text("yes", "green")
    uncovered = topology.get("uncovered_shards")
    if uncovered is None:
        return Text("no", "bold red")
    if topology.get("indexes") == 0:
        return Text(f"no: a new index would be without {_count(uncovered, 'shard')}", "bold red")
    return Text(f"no: {_count(uncovered, 'shard')} cannot be read", "bold red")


def _indexes(topology: Mapping[str, Any]) -> str:
    indexes = topology.get("indexes")
    if not indexes:
        return _plain(indexes)
    short = topology.get("degraded_shards")
    whole = "all with every copy" if short == 0 else f"{_plain(short)} of them short of copies"
    return f"{indexes}, of {_count(topology.get('total_shards'), 'shard')} together, {whole}"


def _new_index(topology: Mapping[str, Any]) -> str:
    shards, copies = topology.get("shards"), topology.get("replication_factor")
    groups = _count(topology.get("replica_groups"), "replica group")
    return f"{_count(shards, 'shard')}, {'1 copy' if copies == 1 else f'{_plain(copies)} copies'} of each in {groups}"


def _nodes(topology: Mapping[str, Any]) -> str:
    sick = topology.get("degraded_node_count")
    return f"{len(topology.get('nodes') or ())}, {'all' if sick == 0 else f'{_plain(sick)} not'} healthy"


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


def _count(value: object, noun: str) -> str:
    return f"{_plain(value)} {noun}{'' if value == 1 else 's'}"


def _age(last_seen_ms: object) -> str:
    """`last_seen_ms`: how long ago a node last answered."""
    if not isinstance(last_seen_ms, int | float):
        return "never"
    seconds = last_seen_ms / 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.1f} s ago"
