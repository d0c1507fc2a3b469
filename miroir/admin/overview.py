"""The cluster at a glance: nodes, groups, coverage. Pure views of the cluster's state."""

from __future__ import annotations

from time import time
from typing import Any

from miroir.cluster import Cluster
from miroir.indexes import Index, Registry


def topology_view(cluster: Cluster, registry: Registry, default_shards: int) -> dict[str, Any]:
    """`GET /_miroir/topology`. `shard_count` is over all indexes; an empty cluster counts what an index would place."""
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
        nodes.append(shown)
    degraded, uncovered = coverage(cluster, registry)
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
        "degraded_shards": degraded,
        "rebalance_in_progress": False,
        "fully_covered": uncovered == 0,
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


def coverage(cluster: Cluster, registry: Registry) -> tuple[int, int]:
    """Shards (over all indexes) with fewer readable copies than they should have, and shards with none."""
    usable = cluster.usable_nodes()
    degraded = uncovered = 0
    for index in registry.all():
        in_sync = cluster.in_sync(index.physical_uid)
        for shard, owners in enumerate(cluster.placement(index.row.shards).owners):
            readable = len((in_sync.get(shard, frozenset()) & usable) - cluster.stale(index.physical_uid))
            degraded += readable < len(owners)
            uncovered += readable == 0
    return degraded, uncovered
