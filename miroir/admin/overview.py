"""The cluster at a glance: nodes, groups, coverage. Pure views of the cluster's state."""

from __future__ import annotations

from time import time
from typing import Any, NamedTuple

from miroir.cluster import Cluster
from miroir.indexes import Index, Registry


def topology_view(cluster: Cluster, registry: Registry, default_shards: int) -> dict[str, Any]:
    """`GET /_miroir/topology`. Shards are counted over all indexes; an empty cluster counts those an index would have.

    `shards` alone is of a new index; a node's `shard_count` are the copies it holds.
    """
    topology = cluster.topology
    now_ms = int(time() * 1000)
    counts = shard_counts(cluster, registry, default_shards)
    nodes = []
    for node in topology.nodes:
        health = cluster.health[node.id]
        shown = {
            "id": node.id,
            "address": node.address,
            "replica_group": node.replica_group,
            "state": node.state,
            "status": health.status if node.state == "active" else node.state,
            "shard_count": counts.get(node.id, 0),
            "last_seen_ms": None if health.last_seen_ms is None else max(now_ms - health.last_seen_ms, 0),
        }
        if health.reason is not None:
            shown["error"] = health.reason
        if health.refuses_key:
            shown["refuses_key"] = True
        nodes.append(shown)
    covered = coverage(cluster, registry, default_shards)
    return {
        "version": topology.version,
        "shards": default_shards,
        "replication_factor": topology.replication_factor,
        "replica_groups": len(topology.groups),
        "nodes": nodes,
        "groups": [
            {"id": group.id, "state": group.state, "nodes": list(topology.members(group.id))}
            for group in topology.groups
        ],
        "degraded_node_count": sum(1 for node in topology.nodes if cluster.health[node.id].status != "healthy"),
        "indexes": len(registry.all()),
        "total_shards": covered.shards,
        "degraded_shards": covered.degraded,
        "uncovered_shards": covered.uncovered,
        "rebalance_in_progress": False,
        "fully_covered": covered.uncovered == 0,
    }


def shards_view(cluster: Cluster, index: Index) -> dict[str, Any]:
    """`GET /_miroir/shards?index=`: per shard and group, who takes its writes and whose copy may be read now."""
    placement = cluster.placement(index.row.shards)
    in_sync = cluster.in_sync(index.physical_uid)
    stale = cluster.stale(index.physical_uid)
    shards = []
    for shard in range(index.row.shards):
        trusted = in_sync.get(shard, frozenset())
        shards.append(
            {
                "shard": shard,
                "groups": [
                    {
                        "replica_group": group,
                        "write_owners": list(owners[shard]),
                        "read_owners": [
                            node for node in owners[shard] if node in trusted - stale and cluster.usable(node)
                        ],
                    }
                    for group, owners in placement.by_group.items()
                ],
                "in_sync": sorted(trusted),
            }
        )
    return {"index": index.uid, "physical_uid": index.physical_uid, "shards": shards}


def shard_counts(cluster: Cluster, registry: Registry, default_shards: int) -> dict[str, int]:
    """Node -> shards it owns, over all indexes."""
    sizes = [index.row.shards for index in registry.all()] or [default_shards]
    counts: dict[str, int] = {}
    for shards in sizes:
        for node, held in cluster.placement(shards).shards_of_node.items():
            counts[node] = counts.get(node, 0) + len(held)
    return counts


class Coverage(NamedTuple):
    """Shards over all indexes; those with fewer readable copies than they should have, and those with none."""

    shards: int
    degraded: int
    uncovered: int


def coverage(cluster: Cluster, registry: Registry, default_shards: int) -> Coverage:
    """How far the copies of every shard can be read; without any index, those of an index that would be made now."""
    held = [
        (cluster.placement(index.row.shards), cluster.in_sync(index.physical_uid), cluster.stale(index.physical_uid))
        for index in registry.all()
    ]
    if not held:
        placement = cluster.placement(default_shards)
        held = [(placement, placement.copies(), frozenset())]
    usable = cluster.usable_nodes()
    shards = degraded = uncovered = 0
    for placement, in_sync, stale in held:
        for shard, owners in enumerate(placement.owners):
            readable = len((in_sync.get(shard, frozenset()) & usable) - stale)
            shards += 1
            degraded += readable < len(owners)
            uncovered += readable == 0
    return Coverage(shards, degraded, uncovered)
