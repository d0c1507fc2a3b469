"""Placement: who owns what, that everybody agrees on it, and how little moves."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.cluster import Node, Placement, Topology, place
from tests.unit.cluster.topologies import NODE_IDS, plain, topologies, with_node, without_node

_SHARDS = st.integers(1, 96)

_ELSEWHERE = """
import sys
from hashlib import sha256
from miroir.cluster import Topology, place
placement = place(Topology.from_json(sys.stdin.buffer.read()), 512)
owners = list(map(sorted, placement.owners))
told = [sorted(placement.by_group.items()), owners, sorted(placement.shards_of_node.items())]
print(sha256(repr(told).encode()).hexdigest())
"""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(), _SHARDS)
def test_every_shard_lives_rf_times_in_every_group(topology: Topology, shards: int) -> None:
    placement = place(topology, shards)
    assert set(placement.by_group) == {group.id for group in topology.groups}
    for group, owners in placement.by_group.items():
        members = set(topology.members(group))
        assert len(owners) == shards
        for of_shard in owners:
            assert len(of_shard) == len(set(of_shard)) == topology.replication_factor
            assert set(of_shard) <= members


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(), _SHARDS)
def test_the_views_agree(topology: Topology, shards: int) -> None:
    placement = place(topology, shards)
    assert len(placement.owners) == shards
    for shard, owners in enumerate(placement.owners):
        assert owners == {node for group in placement.by_group.values() for node in group[shard]}
        assert len(owners) == len(topology.groups) * topology.replication_factor
    held = placement.shards_of_node
    assert placement.node_ids == tuple(sorted(held))
    for node, own in held.items():
        assert list(own) == sorted(set(own))
        assert set(own) == {shard for shard, owners in enumerate(placement.owners) if node in owners}
    assert sum(map(len, held.values())) == sum(map(len, placement.owners))
    assert placement.copies() == dict(enumerate(placement.owners))
    assert (placement.topology_version, placement.shards) == (topology.version, shards)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), topologies(), _SHARDS)
def test_only_names_and_groups_count(data: st.DataObject, topology: Topology, shards: int) -> None:
    """Neither the order of the nodes, nor their addresses, nor whether they are being drained."""
    shuffled = data.draw(st.permutations(topology.nodes))
    other = tuple(
        replace(node, address="http://elsewhere", state="joining" if node.state == "joining" else "active")
        for node in shuffled
    )
    assert place(replace(topology, nodes=other), shards) == place(topology, shards)


@pytest.mark.parametrize("shards", [1, 7, 64])
def test_shards_do_not_depend_on_their_number(shards: int) -> None:
    topology = plain(2, 4, 2)
    many, few = place(topology, 128), place(topology, shards)
    assert all(few.by_group[group] == many.by_group[group][:shards] for group in (0, 1))


def _same_but(before: Placement, after: Placement, group: int) -> None:
    for other in before.by_group.keys() - {group}:
        assert after.by_group[other] == before.by_group[other]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), topologies(), _SHARDS)
def test_a_new_node_only_takes(data: st.DataObject, topology: Topology, shards: int) -> None:
    group = data.draw(st.sampled_from([group.id for group in topology.groups]))
    name = data.draw(NODE_IDS.filter(lambda name: name not in topology.by_id))
    before = place(topology, shards)
    joining = place(with_node(topology, Node(name, "http://new", group, "joining")), shards)
    assert joining.by_group == before.by_group
    after = place(with_node(topology, Node(name, "http://new", group)), shards)
    _same_but(before, after, group)
    for old, new in zip(before.by_group[group], after.by_group[group], strict=True):
        if name in new:
            # The others keep their order, and only the least preferred of them goes.
            assert [node for node in new if node != name] == list(old[:-1])
        else:
            assert new == old


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), topologies(spare=1), _SHARDS)
def test_only_what_a_removed_node_held_moves(data: st.DataObject, topology: Topology, shards: int) -> None:
    owning = [node for node in topology.nodes if node.state != "joining"]
    gone = data.draw(st.sampled_from(owning))
    before, after = place(topology, shards), place(without_node(topology, gone.id), shards)
    _same_but(before, after, gone.replica_group)
    for old, new in zip(before.by_group[gone.replica_group], after.by_group[gone.replica_group], strict=True):
        if gone.id in old:
            assert list(new[:-1]) == [node for node in old if node != gone.id]
            assert new[-1] not in old
        else:
            assert new == old


@pytest.mark.parametrize(("nodes", "copies"), [(2, 1), (3, 1), (3, 2), (5, 2), (7, 3)])
def test_how_much_moves(nodes: int, copies: int) -> None:
    """Of 4,096 shards a new node gets RF/(Ng+1), and nothing else moves; what is removed had RF/Ng."""
    shards = 4096
    topology = plain(2, nodes, copies)
    before = place(topology, shards)
    after = place(with_node(topology, Node("meili-new", "http://new", 0)), shards)
    moved = sum(len(set(new) - set(old)) for old, new in zip(before.by_group[0], after.by_group[0], strict=True))
    assert moved == len(after.shards_of_node["meili-new"])
    assert moved == pytest.approx(shards * copies / (nodes + 1), rel=0.1)
    assert after.by_group[1] == before.by_group[1]
    if nodes > copies:
        left = place(without_node(topology, "meili-0"), shards)
        moved = sum(len(set(new) - set(old)) for old, new in zip(before.by_group[0], left.by_group[0], strict=True))
        assert moved == len(before.shards_of_node["meili-0"])
        assert moved == pytest.approx(shards * copies / nodes, rel=0.1)


def test_two_processes_agree() -> None:
    """Python hashes texts differently in every process; placements must not."""
    text = plain(3, 5, 2).to_json()

    def told(hash_seed: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE],
            input=text,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        return result.stdout.decode()

    one = told("0")
    assert len(one.strip()) == 64
    assert told("4242") == one
