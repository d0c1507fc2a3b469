"""Statistics: while indexes come and go, of many indexes side by side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
import trio
import trio.testing

from miroir.api import SystemResource
from miroir.api.messages import Request
from miroir.cluster import Cluster, Placement
from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index, Registry
from miroir.search import DocumentReader
from miroir.store import IndexRow

STATS = Request("GET", "/stats", b"", {}, b"")


class Node:
    """A node that has no index yet."""

    async def stats(self) -> dict[str, Any]:
        return {"databaseSize": 1, "usedDatabaseSize": 1, "lastUpdate": None, "indexes": {}}


def system(registry: Registry, documents: object) -> SystemResource:
    cluster = SimpleNamespace(
        usable_nodes=lambda: frozenset({"a"}),
        clients={"a": Node()},
        placement=lambda _: Placement(1, 1, 1, {0: (("a",),)}),
    )
    reader = cast(DocumentReader, documents)
    return SystemResource(cast(Cluster, cluster), registry, reader, default_shards=1, node_timeout_s=5)


def with_indexes(*uids: str) -> Registry:
    registry = Registry(exact_ties=True)
    registry.load(IndexRow(uid, uid, "id", 1, b"{}", 1, False, "", "") for uid in uids)
    return registry


class Documents:
    """Counts nothing, and has the next index deleted while it counts."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def count(self, _: Index) -> tuple[int, tuple[int, ...]]:
        self.registry.remove("second")
        return 0, ()


async def test_an_index_deleted_meanwhile_does_not_spoil_the_statistics_of_the_others() -> None:
    registry = with_indexes("first", "second")
    response = await system(registry, Documents(registry)).stats(STATS)
    assert response.status == 200
    assert orjson.loads(response.body)["indexes"]["first"]["numberOfDocuments"] == 0


class Crowd:
    """Counts once so many are being counted together: each has its name for a number, and `0-bad` cannot be."""

    def __init__(self, together: int) -> None:
        self.running = self.most = self.asked = 0
        self._together = together
        self._enough = trio.Event()

    async def count(self, index: Index) -> tuple[int, tuple[int, ...]]:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.running == self._together:
                self._enough.set()
            await self._enough.wait()
            await trio.testing.wait_all_tasks_blocked()  # so that whoever may run beside this one does
            if index.uid == "0-bad":
                raise miroir_error("miroir_shard_unavailable", "Nobody there.")
            return int(index.uid), ()
        finally:
            self.running -= 1


@pytest.mark.parametrize(("indexes", "together"), [(0, 0), (1, 1), (3, 3), (8, 8), (50, 8)])
async def test_indexes_are_counted_side_by_side_but_not_all_at_once(indexes: int, together: int) -> None:
    crowd = Crowd(together)
    uids = [str(number) for number in range(indexes)]
    with trio.fail_after(30):
        response = await system(with_indexes(*uids), crowd).stats(STATS)
    counted = orjson.loads(response.body)["indexes"]
    assert {uid: each["numberOfDocuments"] for uid, each in counted.items()} == {uid: int(uid) for uid in uids}
    assert list(counted) == [index.uid for index in with_indexes(*uids).all_for_reads()]
    assert (crowd.most, crowd.running) == (together, 0)


async def test_an_index_that_cannot_be_counted_ends_it_with_its_own_error() -> None:
    crowd = Crowd(8)
    uids = [str(number) for number in range(40)]
    with pytest.raises(ApiError) as refused:
        await system(with_indexes("0-bad", *uids), crowd).stats(STATS)
    assert refused.value.code == "miroir_shard_unavailable"
    assert crowd.running == 0
    assert crowd.asked < 40, "the rest is not asked for"
