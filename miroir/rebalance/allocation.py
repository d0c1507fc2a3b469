"""Allocation of stale copies: the last way out when every trusted copy of a shard is lost.

A shard whose trusted copies cannot be reached is unavailable, for whatever another copy holds may be old, or nothing at
all. Only an operator can know that those copies will not come back. Then a copy of his choice is made the trusted one,
what it lacks is lost, and the others are made equal to it, those too that come back after all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.errors import ApiError, miroir_error
from miroir.http import ExchangeError
from miroir.indexes import Index, Registry
from miroir.nodes import NodeAnswerError
from miroir.rebalance.node_copy import NodeCopies, RepairFailed
from miroir.stamps import shard_filter
from miroir.store import MappingChanged, Store
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_CALL_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Allocated:
    """`shards` are read from `node` now, which holds `documents` of them. `before`: whose copies were trusted."""

    index_uid: str
    node: str
    shards: tuple[int, ...]
    documents: int
    before: Mapping[int, frozenset[str]]


class StaleAllocation:
    """Makes copies trusted that are not, where none that is can be reached."""

    def __init__(self, cluster: Cluster, store: Store, registry: Registry, copies: NodeCopies) -> None:
        self._cluster = cluster
        self._store = store
        self._registry = registry
        self._copies = copies

    async def allocate(self, uid: str, node: str, shards: Sequence[int] | None) -> Allocated:
        """Trust the node's copies of these shards; None: of all that are unavailable and that it has copies of.

        `index_not_found`; 409 `miroir_topology_conflict` where a shard is not unavailable, or the node no owner of it
        or away; 503 `miroir_shard_unavailable` where the node does not get so far as to answer for it.
        """
        index = self._registry.get(uid)
        chosen = self._chosen(index, node, shards)
        try:
            with trio.fail_after(_CALL_S):
                await self._copies.ensure_index(index.physical_uid, node)
                await self._cluster.confirmed(node)
                client = self._cluster.clients[node]
                documents = await client.count_documents(index.physical_uid, shard_filter(tuple(chosen)))
            changed = await self._store.allocate_stale(index.physical_uid, chosen, node, self._others(index, node))
        except (RepairFailed, ExchangeError, NodeAnswerError, msgspec.DecodeError, trio.TooSlowError) as failure:
            raise miroir_error("miroir_shard_unavailable", f"Node `{node}` cannot take the shards: {failure}") from None
        except MappingChanged:
            raise _conflict("The copies of these shards changed meanwhile. Look at them again.") from None
        allocated = Allocated(uid, node, tuple(sorted(changed)), documents, chosen)
        _log.warning(
            "stale copy allocated, data loss accepted",
            index=uid,
            physical_uid=index.physical_uid,
            node_id=node,
            shards=list(allocated.shards),
            documents=documents,
            given_up={shard: sorted(nodes) for shard, nodes in chosen.items()},
        )
        return allocated

    def _chosen(self, index: Index, node: str, shards: Sequence[int] | None) -> dict[int, frozenset[str]]:
        """Shard -> whose copies are trusted so far."""
        owners = self._cluster.placement(index.row.shards).owners
        in_sync = self._cluster.in_sync(index.physical_uid)
        if node not in self._cluster.clients:
            raise _conflict(f"There is no node `{node}`.")
        if not self._cluster.usable(node):
            raise _conflict(f"Node `{node}` cannot be reached.")
        if shards is None:
            wanted = [
                shard for shard, nodes in enumerate(owners) if node in nodes and not self._reachable(index, shard)
            ]
        else:
            wanted = sorted(set(shards))
        for shard in wanted:
            if shard not in in_sync or node not in owners[shard]:
                raise _conflict(f"Node `{node}` has no copy of shard {shard} of index `{index.uid}`.")
            if reachable := self._reachable(index, shard):
                raise _conflict(
                    f"Shard {shard} is not lost: its copy on `{reachable[0]}` is trusted and can be reached."
                )
        if not wanted:
            raise _conflict(f"No shard of index `{index.uid}` that node `{node}` has a copy of is unavailable.")
        return {shard: in_sync[shard] for shard in wanted}

    def _reachable(self, index: Index, shard: int) -> list[str]:
        trusted = self._cluster.in_sync(index.physical_uid).get(shard, frozenset())
        return sorted(node for node in trusted if node in self._cluster.clients and self._cluster.usable(node))

    def _others(self, index: Index, node: str) -> dict[int, frozenset[str]]:
        return {shard: nodes - {node} for shard, nodes in enumerate(self._cluster.placement(index.row.shards).owners)}


def _conflict(message: str) -> ApiError:
    return miroir_error("miroir_topology_conflict", message)
