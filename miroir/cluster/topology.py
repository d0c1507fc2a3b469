"""The topology: groups, nodes and their states, as one immutable value under a version that only grows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import msgspec

NodeState = Literal["joining", "active", "draining"]
GroupState = Literal["initializing", "active", "draining"]


@dataclass(frozen=True)
class Node:
    """One Meilisearch node. Its id is never given to another; its address may change."""

    id: str
    address: str
    replica_group: int
    state: NodeState = "active"


@dataclass(frozen=True)
class Group:
    """A replica group: nodes that together hold every shard `replication_factor` times."""

    id: int
    state: GroupState = "active"


@dataclass(frozen=True)
class Topology:
    """Who is in the cluster. Health is no part of it: that is each process's own view."""

    version: int
    replication_factor: int
    groups: tuple[Group, ...]
    nodes: tuple[Node, ...]

    @cached_property
    def by_id(self) -> dict[str, Node]:
        """Node id -> node."""
        return {node.id: node for node in self.nodes}

    def members(self, group: int) -> tuple[str, ...]:
        """Ids of the group's nodes that own shards, in the order of their ids."""
        return tuple(sorted(node.id for node in self.nodes if node.replica_group == group and node.state != "joining"))

    def reconciled(self, nodes: tuple[Node, ...]) -> Self:
        """This topology with the addresses of `nodes`: what a changed configuration file may change of a stored one."""
        addresses = {node.id: node.address for node in nodes}
        moved = tuple(replace(node, address=addresses.get(node.id, node.address)) for node in self.nodes)
        return self if moved == self.nodes else replace(self, version=self.version + 1, nodes=moved)

    def to_json(self) -> bytes:
        """The text kept in the store."""
        return msgspec.json.encode(
            {
                "version": self.version,
                "replication_factor": self.replication_factor,
                "groups": self.groups,
                "nodes": self.nodes,
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The value `to_json` wrote; `msgspec.ValidationError` if it is another shape."""
        return msgspec.json.decode(text, type=cls)


def seed(nodes: tuple[Node, ...], *, groups: int, replication_factor: int) -> Topology:
    """The first topology, from the configuration: every node and group active, version 1."""
    return Topology(
        version=1,
        replication_factor=replication_factor,
        groups=tuple(Group(number) for number in range(groups)),
        nodes=tuple(sorted(nodes, key=lambda node: node.id)),
    )
