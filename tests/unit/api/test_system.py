"""Statistics while indexes come and go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import orjson

from miroir.api import SystemResource
from miroir.api.messages import Request
from miroir.cluster import Cluster, Placement
from miroir.indexes import Index, Registry
from miroir.search import DocumentReader
from miroir.store import IndexRow


class Node:
    """A node that has no index yet."""

    async def stats(self) -> dict[str, Any]:
        return {"databaseSize": 1, "usedDatabaseSize": 1, "lastUpdate": None, "indexes": {}}


class Documents:
    """Counts nothing, and has the next index deleted while it counts."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def count(self, _: Index) -> tuple[int, tuple[int, ...]]:
        self.registry.remove("second")
        return 0, ()


async def test_an_index_deleted_meanwhile_does_not_spoil_the_statistics_of_the_others() -> None:
    registry = Registry(exact_ties=True)
    registry.load(IndexRow(uid, uid, "id", 1, b"{}", 1, False, "", "") for uid in ("first", "second"))
    cluster = SimpleNamespace(
        usable_nodes=lambda: frozenset({"a"}),
        clients={"a": Node()},
        placement=lambda _: Placement(1, 1, 1, {0: (("a",),)}),
    )
    system = SystemResource(
        cast(Cluster, cluster), registry, cast(DocumentReader, Documents(registry)), default_shards=1, node_timeout_s=5
    )
    response = await system.stats(Request("GET", "/stats", b"", {}, b""))
    assert response.status == 200
    assert orjson.loads(response.body)["indexes"]["first"]["numberOfDocuments"] == 0
