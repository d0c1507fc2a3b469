"""The topology as a value: its text, its members, and what a configuration file may change of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.cluster import Group, Node, Topology, seed
from tests.unit.cluster.topologies import NODE_IDS, plain, topologies


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies())
def test_round_trip(topology: Topology) -> None:
    text = topology.to_json()
    again = Topology.from_json(text)
    assert again == topology
    assert again.to_json() == text
    # Looking at it leaves nothing behind that would be stored or compared.
    assert again.by_id == {node.id: node for node in topology.nodes}
    assert again == topology
    assert again.to_json() == text


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b'{"version":"1","replication_factor":1,"groups":[],"nodes":[]}',
        b'{"version":1,"replication_factor":1,"groups":[],"nodes":[{"id":"a"}]}',
        b'{"version":1,"replication_factor":1,"groups":[{"id":0,"state":"gone"}],"nodes":[]}',
    ],
)
def test_another_shape_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        Topology.from_json(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies())
def test_members_are_the_owners_of_shards(topology: Topology) -> None:
    for group in topology.groups:
        members = topology.members(group.id)
        assert list(members) == sorted(members)
        assert set(members) == {
            node.id for node in topology.nodes if node.replica_group == group.id and node.state != "joining"
        }
    assert topology.members(99) == ()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(), st.data())
def test_reconciled_takes_addresses_and_nothing_else(topology: Topology, data: st.DataObject) -> None:
    """The file may name nodes the store does not know, and leave out, regroup or rename states of those it does."""
    known = [node.id for node in topology.nodes]
    changed = data.draw(st.dictionaries(st.sampled_from(known), st.sampled_from(("http://new", "http://host:0"))))
    unknown = data.draw(st.sets(NODE_IDS.filter(lambda name: name not in known), max_size=2))
    file = [Node(node, address, 77, "draining") for node, address in changed.items()]
    file += [Node(node, "http://nobody", 0) for node in unknown]
    result = topology.reconciled(tuple(file))
    expected = tuple(replace(node, address=changed.get(node.id, node.address)) for node in topology.nodes)
    assert result.nodes == expected
    assert (result.groups, result.replication_factor) == (topology.groups, topology.replication_factor)
    assert result.version == topology.version + (expected != topology.nodes)
    if expected == topology.nodes:
        assert result is topology
    assert result.reconciled(tuple(file)) is result


def test_the_seed() -> None:
    nodes = (Node("b", "http://b", 1), Node("a", "http://a", 0), Node("c", "http://c", 0))
    assert seed(nodes, groups=2, replication_factor=1) == Topology(
        version=1, replication_factor=1, groups=(Group(0), Group(1)), nodes=(nodes[1], nodes[0], nodes[2])
    )


def test_values_do_not_change() -> None:
    topology = plain(1, 2, 1)
    with pytest.raises(AttributeError):
        topology.version = 2  # type: ignore[misc]  # the very thing that must fail
