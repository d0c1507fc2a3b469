"""Topologies to test with: any shape that a configuration may have."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from miroir.cluster import Group, Node, Topology

NODE_IDS = st.text("abcdefgh-0123456789", min_size=1, max_size=8)


def plain(groups: int, nodes: int, replication_factor: int, version: int = 1) -> Topology:
    """`nodes` nodes in each of `groups` groups, named as deployments name them."""
    members = tuple(
        Node(f"meili-{group * nodes + number}", f"http://meili-{group * nodes + number}:7700", group)
        for group in range(groups)
        for number in range(nodes)
    )
    return Topology(version, replication_factor, tuple(map(Group, range(groups))), members)


def with_node(topology: Topology, node: Node) -> Topology:
    return replace(topology, version=topology.version + 1, nodes=(*topology.nodes, node))


def without_node(topology: Topology, node_id: str) -> Topology:
    nodes = tuple(node for node in topology.nodes if node.id != node_id)
    return replace(topology, version=topology.version + 1, nodes=nodes)


@st.composite
def topologies(draw: st.DrawFn, *, spare: int = 0) -> Topology:
    """Every group has at least RF + `spare` nodes that own shards; joining ones come on top."""
    replication_factor = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    sizes = [draw(st.integers(replication_factor + spare, 6)) for _ in range(groups)]
    joining = [draw(st.integers(0, 1)) for _ in range(groups)]
    ids = iter(draw(st.lists(NODE_IDS, min_size=sum(sizes + joining), max_size=sum(sizes + joining), unique=True)))
    nodes = [
        Node(next(ids), f"http://host:{group}", group, draw(st.sampled_from(("active", "active", "draining"))))
        for group, size in enumerate(sizes)
        for _ in range(size)
    ]
    nodes += [
        Node(next(ids), "http://new", group, "joining") for group, size in enumerate(joining) for _ in range(size)
    ]
    return Topology(
        draw(st.integers(1, 100)),
        replication_factor,
        tuple(Group(number) for number in range(groups)),
        tuple(draw(st.permutations(nodes))),
    )
