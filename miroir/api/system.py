"""`/health`, `/version`, `/stats`, `/_miroir/ready`: how the whole is; `/_miroir/errors`: what our errors mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias

import trio

from miroir.api.document_routes import degraded_shards
from miroir.api.errors_page import errors_page
from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import no_node
from miroir.api.routing import Router
from miroir.api.statistics import IndexStatistics, index_statistics, total
from miroir.cluster import Cluster
from miroir.errors import ERRORS_PATH, ApiError
from miroir.http import ExchangeError
from miroir.indexes import Index, Registry, check_uid
from miroir.nodes import NodeAnswerError
from miroir.search import DocumentReader

_VERSION_KEPT_S: Final = 60.0
_COUNTED_AT_ONCE: Final = 8
"""Indexes whose documents are counted side by side; for each of them every node is asked."""


_Counted: TypeAlias = tuple[IndexStatistics, tuple[int, ...]]
"""And the shards whose documents are missing from it."""


def _degraded(found: Sequence[_Counted]) -> list[tuple[bytes, bytes]]:
    return degraded_shards(tuple(shard for _, shards in found for shard in shards))


class SystemResource:
    """Answers for the cluster as one server."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        documents: DocumentReader,
        *,
        default_shards: int,
        node_timeout_s: float,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._documents = documents
        self._default_shards = default_shards
        self._node_timeout_s = node_timeout_s
        self._version: bytes | None = None
        self._version_until = 0.0

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/", self.greeting, action=None)
        router.add("GET", "/health", self.health, action=None)
        router.add("GET", "/_miroir/ready", self.ready, action=None)
        router.add("GET", ERRORS_PATH, self.errors, action=None)
        router.add("GET", "/version", self.version, action="version")
        router.add("GET", "/stats", self.stats, action="stats.get")
        router.add("GET", "/indexes/{uid}/stats", self.index_stats, action="stats.get")

    async def greeting(self, _: Request) -> Response:
        """What a node in production says to who asks for nothing; one in development shows a page."""
        return Response(200, b'{"status":"Meilisearch is running"}')

    async def health(self, _: Request) -> Response:
        """That this process answers; nothing of the nodes."""
        return Response(200, b'{"status":"available"}')

    async def ready(self, _: Request) -> Response:
        """200 once some group covers every shard with nodes that answer, 503 until then."""
        usable = self._cluster.usable_nodes()
        for group in self._cluster.topology.groups:
            if self._covers(group.id, usable):
                return json_response(200, {"ready": True, "replica_group": group.id})
        answer: dict[str, Any] = {"ready": False, "waiting_for": sorted(set(self._cluster.clients) - usable)}
        locked = sorted(node for node, health in self._cluster.health.items() if health.refuses_key)
        if locked:
            answer["key_refused_by"] = locked
        return json_response(503, answer)

    def _covers(self, group: int, usable: frozenset[str]) -> bool:
        """Whether the group can answer for every shard there is, and for those of an index to be created."""
        empty = self._cluster.placement(self._default_shards).by_group[group]
        if not all(not usable.isdisjoint(owners) for owners in empty):
            return False
        for index in self._registry.all():
            in_sync = self._cluster.in_sync(index.physical_uid)
            for shard, owners in enumerate(self._cluster.placement(index.row.shards).by_group[group]):
                if usable.isdisjoint(in_sync.get(shard, frozenset()).intersection(owners)):
                    return False
        return True

    async def errors(self, _: Request) -> Response:
        """The page that errors of ours point at."""
        page = await trio.to_thread.run_sync(errors_page)
        return Response(200, page, content_type=b"text/html; charset=utf-8")

    async def version(self, _: Request) -> Response:
        """A node's, kept for a minute."""
        if self._version is None or monotonic() >= self._version_until:
            self._version = await self._ask_version()
            self._version_until = monotonic() + _VERSION_KEPT_S
        return Response(200, self._version)

    async def _ask_version(self) -> bytes:
        for node in self._cluster.readiest():
            with trio.move_on_after(self._node_timeout_s), suppress(ExchangeError, NodeAnswerError):
                return await self._cluster.clients[node].version()
        raise no_node("its version")

    async def stats(self, request: Request) -> Response:
        """Every index the key covers in documents, not copies; sizes as they are on the disks."""
        by_node = await self._node_stats()
        shown = [index for index in self._registry.all_for_reads() if request.access.covers(index.uid)]
        updates = [stats["lastUpdate"] or "" for stats in by_node.values()]
        if request.access.visible is not None:
            updates = [index.row.updated_at for index in shown]
        found = await self._counted(shown, by_node)
        return json_response(
            200,
            {
                "databaseSize": sum(stats["databaseSize"] for stats in by_node.values()),
                "usedDatabaseSize": sum(stats["usedDatabaseSize"] for stats in by_node.values()),
                "lastUpdate": max(updates, default="") or None,
                "indexes": {index.uid: each.view() for index, (each, _) in zip(shown, found, strict=True)},
            },
            _degraded(found),
        )

    async def index_stats(self, request: Request) -> Response:
        """One index."""
        uid = request.params[0]
        check_uid(uid)
        self._registry.get_for_reads(uid)
        by_node = await self._node_stats()
        index = self._registry.get_for_reads(uid)
        found = await self._counted(index.members or (index,), by_node)
        return json_response(200, total([each for each, _ in found]).view(), _degraded(found))

    async def _counted(self, indexes: Sequence[Index], by_node: Mapping[str, Mapping[str, Any]]) -> list[_Counted]:
        """Of each index, in their order. The first `ApiError` ends it."""
        found: dict[int, _Counted] = {}
        refusals: list[ApiError] = []
        waiting = iter(enumerate(indexes))

        async def work() -> None:
            try:
                for place, index in waiting:
                    found[place] = await self._index(index, by_node)
            except ApiError as refusal:
                refusals.append(refusal)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(min(_COUNTED_AT_ONCE, len(indexes))):
                nursery.start_soon(work)
        if refusals:
            raise refusals[0]
        return [found[place] for place in range(len(indexes))]

    async def _index(self, index: Index, by_node: Mapping[str, Mapping[str, Any]]) -> _Counted:
        documents, uncounted = await self._documents.count(index)
        placement = self._cluster.placement(index.row.shards)
        said = {
            node: stats["indexes"][index.physical_uid]
            for node, stats in by_node.items()
            if index.physical_uid in stats["indexes"]
        }
        return index_statistics(said, placement, documents), uncounted

    async def _node_stats(self) -> dict[str, dict[str, Any]]:
        gathered: dict[str, dict[str, Any]] = {}

        async def ask(node: str) -> None:
            with trio.move_on_after(self._node_timeout_s), suppress(ExchangeError, NodeAnswerError):
                gathered[node] = await self._cluster.clients[node].stats()

        async with trio.open_nursery() as nursery:
            for node in sorted(self._cluster.usable_nodes()):
                nursery.start_soon(ask, node)
        if not gathered:
            raise no_node("its statistics")
        return gathered
