"""What operators see, over the state of a cluster whose nodes are stand-ins."""

from __future__ import annotations

import pytest

from miroir.admin import shards_view, topology_view
from miroir.admin.overview import coverage, shard_counts
from miroir.cluster import Cluster
from miroir.indexes import Registry
from tests.unit.store.samples import index_row
from tests.unit.tasks.stand_ins import stand_in_cluster

SHARDS = 4


def cluster_with(*uids: str, groups: int = 2, nodes: int = 2, rf: int = 1) -> tuple[Cluster, Registry]:
    """A healthy cluster with these indexes, all of their copies in sync."""
    cluster, _ = stand_in_cluster(groups, nodes, rf)
    registry = Registry(exact_ties=True)
    registry.load([index_row(uid, f"{uid}-1") for uid in uids])
    cluster.load_in_sync({f"{uid}-1": cluster.placement(SHARDS).copies() for uid in uids})
    return cluster, registry


def test_a_healthy_cluster_at_a_glance() -> None:
    cluster, registry = cluster_with("books")
    view = topology_view(cluster, registry, 16)
    assert {name: view[name] for name in view if name not in ("nodes", "groups")} == {
        "version": 1,
        "shards": 16,
        "replication_factor": 1,
        "replica_groups": 2,
        "degraded_node_count": 0,
        "indexes": 1,
        "total_shards": SHARDS,
        "degraded_shards": 0,
        "uncovered_shards": 0,
        "rebalance_in_progress": False,
        "fully_covered": True,
    }
    assert view["groups"] == [
        {"id": 0, "state": "active", "nodes": ["a", "b"]},
        {"id": 1, "state": "active", "nodes": ["c", "d"]},
    ]
    assert [node["id"] for node in view["nodes"]] == ["a", "b", "c", "d"]
    first = view["nodes"][0]
    assert {**first, "last_seen_ms": 0} == {
        "id": "a",
        "address": "http://127.0.0.1:1",
        "replica_group": 0,
        "state": "active",
        "status": "healthy",
        "shard_count": len(cluster.placement(SHARDS).shards_of_node["a"]),
        "last_seen_ms": 0,
    }
    assert 0 <= first["last_seen_ms"] < 60_000
    assert sum(node["shard_count"] for node in view["nodes"]) == 2 * SHARDS


def test_a_node_that_is_away_shows_why_and_what_it_costs() -> None:
    cluster, registry = cluster_with("books", "films")
    cluster.node_missed("a", "timeout")
    view = topology_view(cluster, registry, 16)
    shown = view["nodes"][0]
    assert (shown["status"], shown["error"]) == ("failed", "timeout")
    assert all("error" not in node for node in view["nodes"][1:])
    held = len(cluster.placement(SHARDS).shards_of_node["a"])
    assert (view["degraded_node_count"], view["degraded_shards"]) == (1, 2 * held)
    assert view["fully_covered"], "the other group has everything"


def test_shards_without_any_reader_are_not_covered() -> None:
    cluster, registry = cluster_with("books", groups=1)
    cluster.node_missed("a", "timeout")
    held = len(cluster.placement(SHARDS).shards_of_node["a"])
    assert coverage(cluster, registry, 16) == (SHARDS, held, held)
    assert not topology_view(cluster, registry, 16)["fully_covered"]


def test_a_copy_that_is_not_trusted_makes_its_shard_degraded() -> None:
    cluster, registry = cluster_with("books", groups=1, rf=2)
    assert coverage(cluster, registry, 16) == (SHARDS, 0, 0)
    cluster.apply_in_sync("books-1", {2: frozenset("a")})
    assert coverage(cluster, registry, 16) == (SHARDS, 1, 0)


def test_an_empty_cluster_counts_the_shards_an_index_would_have() -> None:
    cluster, registry = cluster_with()
    assert sum(shard_counts(cluster, registry, 16).values()) == 32
    assert coverage(cluster, registry, 16) == (16, 0, 0)


def test_an_empty_cluster_without_its_nodes_is_not_covered() -> None:
    cluster, registry = cluster_with(groups=1)
    for node in cluster.clients:
        cluster.node_missed(node, "timeout")
    assert coverage(cluster, registry, 16) == (16, 16, 16)
    view = topology_view(cluster, registry, 16)
    assert (view["indexes"], view["uncovered_shards"], view["fully_covered"]) == (0, 16, False)


@pytest.mark.parametrize("uids", [["books"], ["books", "films", "songs"]])
def test_shard_counts_are_over_all_indexes(uids: list[str]) -> None:
    cluster, registry = cluster_with(*uids)
    assert sum(shard_counts(cluster, registry, 16).values()) == 2 * SHARDS * len(uids)


def test_shards_of_an_index_with_who_writes_and_who_may_be_read() -> None:
    cluster, registry = cluster_with("books", rf=2)
    cluster.apply_in_sync("books-1", {1: frozenset("acd")})
    cluster.node_missed("c", "timeout")
    view = shards_view(cluster, registry.get("books"))
    assert (view["index"], view["physical_uid"]) == ("books", "books-1")
    assert [shard["shard"] for shard in view["shards"]] == list(range(SHARDS))
    by_group = {group["replica_group"]: group for group in view["shards"][1]["groups"]}
    assert {group: set(shown["write_owners"]) for group, shown in by_group.items()} == {0: {"a", "b"}, 1: {"c", "d"}}
    assert by_group[0]["read_owners"] == ["a"], "b is not trusted"
    assert by_group[1]["read_owners"] == ["d"], "c is away"
    assert view["shards"][1]["in_sync"] == ["a", "c", "d"]
    assert view["shards"][0]["in_sync"] == ["a", "b", "c", "d"]
