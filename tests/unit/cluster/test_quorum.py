"""When a write stands, and which groups fell short."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.cluster import Topology, place, quorums, short_groups
from miroir.cluster.quorum import beyond_reach
from miroir.store import Quorum
from tests.unit.cluster.topologies import plain, topologies


def test_in_sync_wants_one_copy_of_any_group() -> None:
    placement = place(plain(2, 3, 2), 8)
    assert quorums(placement, (1, 5), "in_sync") == {
        1: (Quorum(placement.owners[1], 1),),
        5: (Quorum(placement.owners[5], 1),),
    }
    assert len(placement.owners[1]) == 4


@settings(deadline=None)
@given(topologies())
def test_majority_wants_more_than_half_of_one_group(topology: Topology) -> None:
    placement = place(topology, 4)
    for shard, ways in quorums(placement, (0, 3), "majority").items():
        assert len(ways) == len(topology.groups)
        assert [way.nodes for way in ways] == [frozenset(owners[shard]) for owners in placement.by_group.values()]
        for way in ways:
            assert len(way.nodes) == topology.replication_factor
            assert 2 * way.needed > topology.replication_factor >= 2 * (way.needed - 1)


@settings(deadline=None)
@given(st.data(), topologies())
def test_short_groups_by_counting(data: st.DataObject, topology: Topology) -> None:
    placement = place(topology, 4)
    nodes = sorted(placement.node_ids)
    written = data.draw(st.sets(st.integers(0, 3)))
    accepted = {shard: data.draw(st.frozensets(st.sampled_from(nodes))) for shard in written}
    expected = []
    for group in topology.groups:
        took = [
            sum(node in accepted[shard] for node in placement.by_group[group.id][shard]) for shard in sorted(written)
        ]
        if any(count < {1: 1, 2: 2, 3: 2}[topology.replication_factor] for count in took):
            expected.append(group.id)
    assert list(short_groups(placement, accepted)) == expected


def test_what_is_beyond_reach() -> None:
    ways = {0: (Quorum(frozenset("abc"), 1),), 1: (Quorum(frozenset("ab"), 2), Quorum(frozenset("cd"), 2))}
    in_sync = {0: frozenset("a"), 1: frozenset("abc")}
    assert beyond_reach(ways, in_sync, "abcd") == ()
    assert beyond_reach(ways, in_sync, "bcd") == (0, 1)
    assert beyond_reach(ways, in_sync, "acd") == (1,), "a group that holds both is without one"
    assert beyond_reach(ways, {}, "") == (), "of what is not known nothing is said"
    assert beyond_reach(ways, {0: frozenset({"lost#1"})}, "abcd") == (0,)


def test_nobody_is_short_when_all_took_it() -> None:
    placement = place(plain(3, 4, 3), 16)
    assert short_groups(placement, placement.copies()) == ()
    assert short_groups(placement, {}) == ()
