"""The planner: makes plans from the cluster as it is, and keeps them until it changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from miroir.cluster import Cluster
from miroir.search.plan import Plan, Target, make_plan

_VARIANTS = 8
"""Plans kept per index, rounded up to whole turns of the groups: each gets as many. Copies of equal cost take turns."""


class Planner:
    """Plans reads of a whole index, and of the shards that a failed node leaves open."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._turns = count()
        self._generation = -1
        self._variants = _VARIANTS
        self._plans: dict[tuple[str, int], Plan] = {}

    def plan(self, physical_uid: str, shards: int) -> Plan:
        """A plan for every shard; groups take turns from call to call."""
        cluster = self._cluster
        if cluster.generation != self._generation:
            self._plans.clear()
            self._generation = cluster.generation
            groups = max(len(self._groups()), 1)
            self._variants = -(-_VARIANTS // groups) * groups
        key = (physical_uid, next(self._turns) % self._variants)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._make(physical_uid, shards, range(shards), frozenset(), key[1])
        return plan

    def plan_rest(self, physical_uid: str, shards: int, rest: Sequence[int], avoid: frozenset[str]) -> Plan:
        """A plan for some shards, without the nodes that just failed."""
        return self._make(physical_uid, shards, rest, avoid, 0)

    def plan_everywhere(self, physical_uid: str, shards: int) -> Plan:
        """A plan for every copy that may be read: for what is of a node, not of its documents."""
        usable = self._cluster.usable_nodes() - self._cluster.stale(physical_uid)
        in_sync = self._cluster.in_sync(physical_uid)
        held: dict[str, list[int]] = {}
        unavailable = []
        for shard in range(shards):
            readers = usable.intersection(in_sync.get(shard, ()))
            for node in readers:
                held.setdefault(node, []).append(shard)
            if not readers:
                unavailable.append(shard)
        targets = tuple(Target(node, tuple(held[node])) for node in sorted(held))
        return Plan(targets, None, "every copy", unavailable=tuple(unavailable))

    def _make(self, physical_uid: str, shards: int, wanted: Sequence[int], avoid: frozenset[str], turn: int) -> Plan:
        cluster = self._cluster
        placement = cluster.placement(shards)
        groups = self._groups()
        start = turn % len(groups) if groups else 0
        members = sorted(cluster.clients)

        def cost(node: str) -> float:
            # Whole milliseconds: small differences must not send every read of an index to the same copy.
            rank = (members.index(node) + turn // max(len(groups), 1)) % len(members)
            return round(cluster.latency[node].mean_ms) + rank / len(members)

        return make_plan(
            placement,
            wanted,
            cluster.in_sync(physical_uid),
            cluster.usable_nodes() - avoid - cluster.stale(physical_uid),
            group_order=groups[start:] + groups[:start],
            cost=cost,
        )

    def _groups(self) -> list[int]:
        return [group.id for group in self._cluster.topology.groups if group.state == "active"]
