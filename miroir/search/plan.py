"""The plan of a read: which node is asked for which shards, and why. A value, made without any I/O.

Each node is asked only for the shards it answers for, so nothing is counted twice whatever the replication factor, and
a copy that is not trusted is never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from miroir.cluster import Placement


@dataclass(frozen=True, slots=True)
class Target:
    """One node and the shards it is asked for, ascending."""

    node: str
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for what.

    `group` is the replica group that was chosen, None when no group was wanted or usable; `reason` says why in words.
    `borrowed`: shards answered from another group. `unavailable`: shards nobody can answer for.
    """

    targets: tuple[Target, ...]
    group: int | None
    reason: str
    borrowed: tuple[int, ...] = ()
    unavailable: tuple[int, ...] = ()


def make_plan(
    placement: Placement,
    shards: Sequence[int],
    in_sync: Mapping[int, frozenset[str]],
    usable: Collection[str],
    *,
    group_order: Sequence[int],
    cost: Callable[[str], float],
) -> Plan:
    """Plan a read of `shards`.

    `group_order`: groups by preference; the first that covers every shard by itself is taken, else the first of all,
    with what it lacks borrowed from the others in turn. `cost(node)`: what asking that node costs, in any unit.
    """
    readers = {
        group: {shard: _readers(owners[shard], in_sync.get(shard), usable) for shard in shards}
        for group, owners in placement.by_group.items()
        if group in group_order
    }
    whole = next((group for group in group_order if all(readers[group].values())), None)
    chosen = whole if whole is not None else (group_order[0] if group_order else None)
    candidates: dict[int, tuple[str, ...]] = {}
    borrowed = []
    unavailable = []
    for shard in shards:
        own = readers[chosen][shard] if chosen is not None else ()
        if own:
            candidates[shard] = own
            continue
        other = next((readers[group][shard] for group in group_order if readers[group][shard]), ())
        if other:
            candidates[shard] = other
            borrowed.append(shard)
        else:
            unavailable.append(shard)
    if whole is None:
        reason = "no group covers every shard"
    elif whole == group_order[0]:
        reason = "its turn"
    else:
        reason = "the first in turn that covers every shard"
    return Plan(cover(candidates, cost), chosen, reason, tuple(borrowed), tuple(unavailable))


def cover(candidates: Mapping[int, Sequence[str]], cost: Callable[[str], float]) -> tuple[Target, ...]:
    """Few nodes that together answer for every shard: greedily the one that covers most, the cheaper of equals.

    The greedy set cover; at most ln(n) + 1 times as many nodes as the best one (Chvátal 1979). Ties beyond cost go to
    the smaller id, so the same inputs give the same plan.
    """
    open_shards = dict(candidates)
    taken: dict[str, tuple[int, ...]] = {}
    while open_shards:
        covers: dict[str, list[int]] = {}
        for shard, nodes in open_shards.items():
            for node in nodes:
                covers.setdefault(node, []).append(shard)
        best = min(covers, key=lambda node: (-len(covers[node]), cost(node), node))
        taken[best] = tuple(sorted(covers[best]))
        for shard in covers[best]:
            del open_shards[shard]
    return tuple(Target(node, taken[node]) for node in sorted(taken))


def _readers(owners: Sequence[str], trusted: frozenset[str] | None, usable: Collection[str]) -> tuple[str, ...]:
    if not trusted:
        return ()
    return tuple(node for node in owners if node in trusted and node in usable)
