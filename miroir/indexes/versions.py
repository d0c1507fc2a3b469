"""Which version of an index's settings each node has, as far as we have seen with our own eyes.

A node that is behind, or that nobody has looked at since it may have gone its own way, is *stale*: it is left out of
every read of that index until it was brought into line. What was seen is kept in the store; doubts are not, for a
process that starts looks at every node anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from miroir.cluster import Cluster
from miroir.indexes.registry import Index, Registry
from miroir.store import NodeSettings, Store
from miroir.tasks import now_text

NEVER_SEEN: Final = 0


class NodeVersions:
    """What is known of every node's settings; tells the cluster who is stale."""

    def __init__(self, cluster: Cluster, store: Store, registry: Registry) -> None:
        self._cluster = cluster
        self._store = store
        self._registry = registry
        self._seen: dict[str, dict[str, NodeSettings]] = {}
        self._doubted: defaultdict[str, set[str]] = defaultdict(set)
        self._questioned: defaultdict[str, set[str]] = defaultdict(set)
        self._questions: Callable[[], None] = _nobody

    def load(self, rows: Iterable[NodeSettings], doubted: Iterable[str]) -> None:
        """Start with what the store holds. `doubted`: physical indexes of which no node can be believed."""
        for row in rows:
            self._seen.setdefault(row.physical_uid, {})[row.node] = row
        for physical_uid in doubted:
            self._doubted[physical_uid] |= set(self._cluster.clients)
        for index in self._registry.all():
            self.refresh(index)

    def of(self, index: Index, node: str) -> int:
        """The version the node is known to have.

        An index is made with its settings: as long as no change was committed, who has it has them.
        """
        seen = self._seen.get(index.physical_uid)
        if not seen:
            return index.row.settings_version
        return seen[node].version if node in seen else NEVER_SEEN

    def is_known(self, index: Index, fingerprint: str) -> bool:
        """Whether a node that showed this was found to have what is committed now.

        A node spells some words its own way (`miroir.indexes.words`), so what it shows for a wish need not be what we
        expect of it.
        """
        version = index.row.settings_version
        seen = self._seen.get(index.physical_uid, {}).values()
        return any((row.version, row.fingerprint) == (version, fingerprint) for row in seen)

    def stale(self, index: Index) -> frozenset[str]:
        """Owners of the index that must not answer for it."""
        owners = self._cluster.placement(index.row.shards).node_ids
        doubted = self._doubted.get(index.physical_uid, ())
        return frozenset(
            node for node in owners if node in doubted or self.of(index, node) < index.row.settings_version
        )

    def to_look_at(self, index: Index) -> frozenset[str]:
        """Owners that are stale, or questioned."""
        questioned = self._questioned.get(index.physical_uid, ())
        return self.stale(index) | {
            node for node in questioned if node in self._cluster.placement(index.row.shards).node_ids
        }

    def on_question(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when there is a node to be looked at."""
        self._questions = listener

    def question(self, physical_uid: str, nodes: Iterable[str]) -> None:
        """These nodes are to be looked at soon; they are read meanwhile, as while any change is on its way."""
        self._questioned[physical_uid] |= set(nodes)
        self._questions()

    def doubt(self, physical_uid: str, nodes: Iterable[str]) -> None:
        """These nodes may have other settings than they should: to be looked at before they are read again."""
        self._doubted[physical_uid] |= set(nodes)
        self._refresh(physical_uid)
        self._questions()

    async def confirm(self, index: Index, node: str, fingerprint: str) -> None:
        """The node was just seen to have what is committed, or more."""
        self._questioned[index.physical_uid].discard(node)
        self._doubted[index.physical_uid].discard(node)
        if not self._seen.get(index.physical_uid):
            self.refresh(index)
            return
        row = self.row(index, node, index.row.settings_version, fingerprint)
        if self._seen.get(index.physical_uid, {}).get(node) != row:
            await self._store.save_node_settings([row])
        self.keep([row])

    def row(self, index: Index, node: str, version: int, fingerprint: str) -> NodeSettings:
        """The row that says so; the one there is if it says so already."""
        seen = self._seen.get(index.physical_uid, {}).get(node)
        if seen is not None and (seen.version, seen.fingerprint) == (version, fingerprint):
            return seen
        return NodeSettings(index.physical_uid, node, version, fingerprint, now_text())

    def keep(self, rows: Iterable[NodeSettings]) -> None:
        """The store has these rows now; their nodes are above doubt."""
        for row in rows:
            self._seen.setdefault(row.physical_uid, {})[row.node] = row
            self._doubted[row.physical_uid].discard(row.node)
            self._questioned[row.physical_uid].discard(row.node)
            self._refresh(row.physical_uid)

    def forget_all_but(self, physical_uids: Collection[str]) -> None:
        """No name stands for the others any more."""
        for known in (self._seen, self._doubted, self._questioned):
            for physical_uid in known.keys() - physical_uids:
                del known[physical_uid]

    def refresh(self, index: Index) -> None:
        """Tell the cluster who is stale now."""
        self._cluster.set_stale(index.physical_uid, self.stale(index))

    def _refresh(self, physical_uid: str) -> None:
        index = self._registry.behind(physical_uid)
        if index is not None:
            self.refresh(index)


def _nobody() -> None:
    """Nobody wants to know."""
