"""The cluster as this process sees it: topology, placement, trusted copies, health and clients, in one place.

It is the one owner of that state; everybody else takes values from it. `generation` grows with every change, so that
what was computed from it (plans) can be kept until it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from time import time

import trio

from miroir.cluster.health import Health, Thresholds, answered, condemned, missed
from miroir.cluster.latency import LatencyMeter
from miroir.cluster.placement import Placement, place
from miroir.cluster.topology import Topology
from miroir.nodes import NodeClient, Observer
from miroir.store import ShardCopies
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_ALIVE_ERRORS = frozenset({None, "cancelled"})
_NO_VERDICT = frozenset({"probe", "verdict"})
"""Operations that say nothing of a node's health: probes speak for themselves, verdicts carry what clients sent."""


class Cluster:
    """Snapshots of everything a plan needs. All methods are synchronous and cheap."""

    def __init__(
        self,
        topology: Topology,
        connect: Callable[[str, str, Observer], NodeClient],
        *,
        thresholds: Thresholds,
        latency_half_life_ms: float,
    ) -> None:
        self._connect = connect
        self._thresholds = thresholds
        self._half_life_ms = latency_half_life_ms
        self.generation = 0
        self.topology = topology
        self.clients: dict[str, NodeClient] = {}
        self.health: dict[str, Health] = {}
        self.latency: dict[str, LatencyMeter] = {}
        self.incarnations: dict[str, str] = {}
        self._suspects: dict[str, trio.Event] = {}
        self._cleared: dict[str, trio.Event] = {}
        self._suspicions: Counter[str] = Counter()
        self._in_sync: dict[str, dict[int, frozenset[str]]] = {}
        self._stale: dict[str, frozenset[str]] = {}
        self._placements: dict[int, Placement] = {}
        self.adopt(topology)

    # -- topology ----------------------------------------------------------------------------------------------------

    def adopt(self, topology: Topology) -> None:
        """Go on with another topology: clients for new nodes, no placement of the old one left."""
        self.topology = topology
        self._placements.clear()
        for node in topology.nodes:
            if node.id not in self.clients:
                client = self.clients[node.id] = self._connect(node.id, node.address, self.observe)
                client.when_lost(partial(self.suspect, node.id))
                self.health[node.id] = Health()
                self.latency[node.id] = LatencyMeter(self._half_life_ms)
                self._suspects[node.id] = trio.Event()
                self._cleared[node.id] = trio.Event()
        self.generation += 1

    def placement(self, shards: int) -> Placement:
        """Owners of an index with that many shards, under the present topology."""
        placement = self._placements.get(shards)
        if placement is None:
            placement = self._placements[shards] = place(self.topology, shards)
        return placement

    # -- copies ------------------------------------------------------------------------------------------------------

    def load_in_sync(self, in_sync: Mapping[str, Mapping[int, frozenset[str]]]) -> None:
        """Take over what the store says of every index."""
        self._in_sync = {physical_uid: dict(copies) for physical_uid, copies in in_sync.items()}
        self.generation += 1

    def apply_in_sync(self, physical_uid: str, changed: ShardCopies) -> None:
        """Some shards' sets changed in the store (`Store.watch_in_sync`)."""
        if changed:
            self._in_sync.setdefault(physical_uid, {}).update(changed)
            self.generation += 1

    def forget_index(self, physical_uid: str) -> None:
        """No name stands for it any more."""
        self._in_sync.pop(physical_uid, None)
        self._stale.pop(physical_uid, None)
        self.generation += 1

    def in_sync(self, physical_uid: str) -> Mapping[int, frozenset[str]]:
        """Shard -> nodes whose copy has everything that was ever acknowledged."""
        return self._in_sync.get(physical_uid, {})

    def covers(self, nodes: Collection[str]) -> bool:
        """Whether these nodes together hold a trusted copy of every shard of every index."""
        return all(not trusted.isdisjoint(nodes) for copies in self._in_sync.values() for trusted in copies.values())

    def set_stale(self, physical_uid: str, nodes: frozenset[str]) -> None:
        """These nodes do not have the index's settings, or nobody knows: they must not answer reads of it."""
        if nodes != self._stale.get(physical_uid, frozenset()):
            self._stale[physical_uid] = nodes
            self.generation += 1

    def stale(self, physical_uid: str) -> frozenset[str]:
        """Nodes whose settings of that index are behind."""
        return self._stale.get(physical_uid, frozenset())

    # -- health ------------------------------------------------------------------------------------------------------

    def usable(self, node: str) -> bool:
        """Whether requests are sent to it: it answers, and is who it should be."""
        return self.health[node].usable and node in self.incarnations

    def usable_nodes(self) -> frozenset[str]:
        """All such nodes."""
        return frozenset(node for node in self.clients if self.usable(node))

    def suspicions(self, node: str) -> int:
        """How often it was suspected so far."""
        return self._suspicions[node]

    def node_identified(self, node: str, incarnation: str, *, looked_at: int | None = None) -> None:
        """Its disk is the one of this incarnation; whoever waited for that (`confirmed`) goes on.

        `looked_at`: its suspicions when the look began. One that came later is not answered by it.
        """
        if self.incarnations.get(node) != incarnation:
            self.incarnations[node] = incarnation
            self.generation += 1
        if looked_at is None or looked_at == self._suspicions[node]:
            self._cleared[node].set()

    def suspect(self, node: str) -> None:
        """A connection to it broke: it may have restarted on another disk. The prober looks at once."""
        self._suspicions[node] += 1
        if self._cleared[node].is_set():
            self._cleared[node] = trio.Event()
        self._suspects[node].set()

    async def suspected(self, node: str) -> None:
        """Wait until the node is suspected, and take note of it: the prober's wait."""
        await self._suspects[node].wait()
        self._suspects[node] = trio.Event()

    async def confirmed(self, node: str) -> None:
        """Wait until no suspicion is on the node. A write must not reach a disk nobody has looked at."""
        cleared = None
        while cleared is not self._cleared[node]:  # it may be suspected again before this task has its turn
            cleared = self._cleared[node]
            await cleared.wait()

    async def confirmed_or_lost(self, node: str) -> None:
        """`confirmed`, or until the node is not `usable`: nobody need wait for one that has been given up."""
        while self.usable(node):
            cleared = self._cleared[node]
            await cleared.wait()
            if cleared is self._cleared[node]:
                return

    def readiest(self) -> list[str]:
        """Usable nodes, those without suspicion first, then by their latency: whom to ask what any node can say."""
        return sorted(
            self.usable_nodes(),
            key=lambda node: (not self._cleared[node].is_set(), self.latency[node].mean_ms, node),
        )

    def node_answered(self, node: str) -> None:
        """A probe found it in order."""
        self._turn(node, answered(self.health[node], _now_ms(), self._thresholds))

    def node_missed(self, node: str, reason: str) -> None:
        """A probe or a request did not get through."""
        self._turn(node, missed(self.health[node], reason, self._thresholds))

    def node_condemned(self, node: str, reason: str) -> None:
        """Its disk is not the one we know."""
        self.incarnations.pop(node, None)
        self._turn(node, condemned(self.health[node], reason))

    def node_locked(self, node: str, reason: str) -> None:
        """It refuses our key. At once: its refusals must not reach clients, whose keys are in order."""
        self._turn(node, condemned(self.health[node], reason, refuses_key=True))

    def observe(self, node: str, operation: str, seconds: float, error: str | None) -> None:
        """Told of every exchange with a node: latency statistics, and health from live traffic.

        A whole answer is a sign of life whatever its status; only a missing or broken one counts against the node.
        """
        if error is None:
            self.latency[node].record(seconds * 1000.0, _now_ms())
        elif error not in _ALIVE_ERRORS and operation not in _NO_VERDICT and not error.startswith("status_"):
            self.node_missed(node, error)
            self.suspect(node)

    def _turn(self, node: str, health: Health) -> None:
        before = self.health[node]
        self.health[node] = health
        if before.status != health.status:
            self.generation += 1
        if health.refuses_key and not before.refuses_key:
            _log.error("node refuses our key", node_id=node, before=before.status, reason=health.reason)
        elif before.status != health.status:
            log = _log.warning if health.status == "failed" else _log.info
            log("node health changed", node_id=node, before=before.status, status=health.status, reason=health.reason)
        if not self.usable(node) and not self._cleared[node].is_set():
            # Whoever waits for it looks again: some have nothing to wait for any more.
            waited_for, self._cleared[node] = self._cleared[node], trio.Event()
            waited_for.set()


def _now_ms() -> int:
    return int(time() * 1000)
