"""The `cluster` fixture: shared while whole, thrown away when hurt, and the road through it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tests.nodes import Cluster


def test_the_road_and_the_sharing(cluster: Callable[..., Cluster], index_name: str) -> None:
    shared = cluster(groups=1, nodes=3, rf=1)
    assert cluster() is shared
    assert cluster(shards=8, nodes=1) is not shared
    shared.client.add_documents(index_name, [{"id": number, "word": "ape"} for number in range(30)], "id")
    assert shared.client.search(index_name, "ape")["estimatedTotalHits"] == 30
    assert {node["id"] for node in shared.topology()["nodes"]} == {"meili-0", "meili-1", "meili-2"}


def test_a_hurt_cluster_is_replaced(cluster: Callable[..., Cluster]) -> None:
    first = cluster(nodes=1, shards=8)
    first.nodes[0].pause()
    first.nodes[0].resume()
    assert not first.usable


def test_after_that_another_one_stands(cluster: Callable[..., Cluster]) -> None:
    assert cluster(nodes=1, shards=8).usable


def test_miroir_can_be_killed_and_brought_back(cluster: Callable[..., Cluster], index_name: str) -> None:
    own = cluster(nodes=2, shards=8, fresh=True)
    own.client.add_documents(index_name, [{"id": 1, "word": "ape"}])
    pids = [own.server.pid]
    own.server.kill()
    own.server.restart()
    pids.append(own.server.pid)
    own.server.restart()
    pids.append(own.server.pid)
    assert all(one != other for one, other in pairwise(pids))
    assert own.client.search(index_name, "ape")["estimatedTotalHits"] == 1


def test_groups_and_failures_are_seen(cluster: Callable[..., Cluster]) -> None:
    own = cluster(groups=2, nodes=1, shards=8, fresh=True)
    assert [node.node_id for node in own.group(1)] == ["meili-1"]
    own.node("meili-1").stop()
    own.wait_failed(1)
    own.node("meili-1").restart()
    own.wait_all_healthy()
