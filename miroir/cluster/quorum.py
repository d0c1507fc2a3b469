"""When a write stands, as data the store can judge inside its transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from miroir.cluster.placement import Placement
from miroir.store import Quorum, ShardCopies

QuorumPolicy = Literal["in_sync", "majority"]


def quorums(placement: Placement, shards: tuple[int, ...], policy: QuorumPolicy) -> dict[int, tuple[Quorum, ...]]:
    """Shard -> the ways its write can stand.

    `in_sync`: one in-sync copy anywhere took it. `majority`: floor(RF/2)+1 in-sync copies of some group did.
    """
    if policy == "in_sync":
        return {shard: (Quorum(placement.owners[shard], 1),) for shard in shards}
    needed = placement.replication_factor // 2 + 1
    return {
        shard: tuple(Quorum(frozenset(owners[shard]), needed) for owners in placement.by_group.values())
        for shard in shards
    }


def beyond_reach(
    ways: Mapping[int, tuple[Quorum, ...]], in_sync: ShardCopies, nodes: Collection[str]
) -> tuple[int, ...]:
    """The shards whose write cannot stand if nobody but `nodes` takes it.

    One whose trusted copies are not known is left to the store, which knows them.
    """
    return tuple(
        shard
        for shard, each in ways.items()
        if (trusted := in_sync.get(shard))
        and not any(len(trusted.intersection(way.nodes, nodes)) >= way.needed for way in each)
    )


def short_groups(placement: Placement, accepted: Mapping[int, frozenset[str]]) -> tuple[int, ...]:
    """Groups in which some written shard has fewer than floor(RF/2)+1 copies that took the write."""
    needed = placement.replication_factor // 2 + 1
    return tuple(
        group
        for group, owners in placement.by_group.items()
        if any(len(taken.intersection(owners[shard])) < needed for shard, taken in accepted.items())
    )


def groups_short_of(placement: Placement, nodes: Collection[str]) -> tuple[int, ...]:
    """The same of a change of the whole index, which these nodes took."""
    taken = frozenset(nodes)
    return short_groups(placement, dict.fromkeys(range(placement.shards), taken))
