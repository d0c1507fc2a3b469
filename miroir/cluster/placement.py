"""Placement: which nodes own each shard, computed once per topology version and number of shards."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from miroir.cluster.hashing import preferred
from miroir.cluster.topology import Topology


@dataclass(frozen=True)
class Placement:
    """Owners of every shard, group by group: `by_group[group][shard]` lists node ids, best first."""

    topology_version: int
    shards: int
    replication_factor: int
    by_group: dict[int, tuple[tuple[str, ...], ...]]

    @cached_property
    def owners(self) -> tuple[frozenset[str], ...]:
        """Shard -> every node that must take its writes, over all groups."""
        return tuple(
            frozenset(node for owners in self.by_group.values() for node in owners[shard])
            for shard in range(self.shards)
        )

    @cached_property
    def shards_of_node(self) -> dict[str, tuple[int, ...]]:
        """Node -> its shards, ascending."""
        held: defaultdict[str, list[int]] = defaultdict(list)
        for shard, owners in enumerate(self.owners):
            for node in owners:
                held[node].append(shard)
        return {node: tuple(shards) for node, shards in held.items()}

    @cached_property
    def node_ids(self) -> tuple[str, ...]:
        """Every node that owns a shard, in the order of their ids."""
        return tuple(sorted(self.shards_of_node))

    def copies(self) -> dict[int, frozenset[str]]:
        """Shard -> owners, as the first in-sync sets of a new index."""
        return dict(enumerate(self.owners))


def place(topology: Topology, shards: int) -> Placement:
    """Put every shard on the `replication_factor` nodes of each group that score highest, group by group."""
    by_group = {}
    for group in topology.groups:
        members = topology.members(group.id)
        by_group[group.id] = tuple(preferred(shard, members, topology.replication_factor) for shard in range(shards))
    return Placement(topology.version, shards, topology.replication_factor, by_group)
