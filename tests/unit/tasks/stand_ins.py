"""A real cluster state over clients that stand in for nodes: in memory, doing what a test tells them to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from miroir.cluster import Cluster, Node, Thresholds, Topology, seed
from miroir.http import ConnectionLost, Pool
from miroir.nodes import NodeClient, NodeTaskView, Observer

INCARNATION = "i1"


class StandInNode(NodeClient):
    """Stands in for a node's client as far as tasks go."""

    def __init__(self, node_id: str, observe: Observer) -> None:
        super().__init__(node_id, Pool("http://127.0.0.1:1"), observe)  # never used
        self.known: dict[int, NodeTaskView] = {}
        self.polls: list[list[int]] = []
        self.polls_for_ended: list[list[int]] = []
        self.failures: list[Exception] = []

    async def tasks(self, uids: Sequence[int]) -> list[NodeTaskView]:
        await trio.lowlevel.checkpoint()
        self.polls.append(list(uids))
        if self.failures:
            raise self.failures.pop(0)
        return [self.known[uid] for uid in uids if uid in self.known]

    async def ended_tasks(self, uids: Sequence[int]) -> list[NodeTaskView]:
        await trio.lowlevel.checkpoint()
        self.polls_for_ended.append(list(uids))
        views = [self.known[uid] for uid in uids if uid in self.known]
        return [view for view in views if view.status not in ("enqueued", "processing")]

    def shows(self, uid: int, status: str, **members: Any) -> None:
        """From now on the node says this of its task."""
        times = {"enqueued": (None, None), "processing": ("2026-03-01T12:00:01Z", None)}.get(
            status, ("2026-03-01T12:00:01Z", "2026-03-01T12:00:02Z")
        )
        view = {"uid": uid, "status": status, "startedAt": times[0], "finishedAt": times[1], **members}
        self.known[uid] = msgspec.convert(view, NodeTaskView)

    def breaks(self, times: int = 1) -> None:
        """The connection is lost so many times."""
        self.failures += [ConnectionLost("cut", sent=True)] * times


def topology_of(groups: int, nodes: int, rf: int) -> Topology:
    """`nodes` per group, called a, b, c ... through all groups."""
    names = "abcdefghijklmnopqrstuvwxyz"
    members = tuple(
        Node(names[number], f"http://127.0.0.1:{number + 1}", number // nodes) for number in range(groups * nodes)
    )
    return seed(members, groups=groups, replication_factor=rf)


def stand_in_cluster(
    groups: int = 1, nodes: int = 3, rf: int = 3, *, client: type[NodeClient] = StandInNode
) -> tuple[Cluster, dict[str, Any]]:
    """The state of a cluster all of whose nodes are healthy, and the clients by node."""
    clients: dict[str, Any] = {}

    def connect(node: str, _: str, observe: Observer) -> NodeClient:
        made: NodeClient = client(node, observe)  # type: ignore[call-arg]  # stand-ins make their own pool
        clients[node] = made
        return made

    cluster = Cluster(topology_of(groups, nodes, rf), connect, thresholds=Thresholds(1, 1), latency_half_life_ms=1000.0)
    for node in clients:
        come_back(cluster, node)
    return cluster, clients


def come_back(cluster: Cluster, node: str, incarnation: str = INCARNATION) -> None:
    """The node answers its probe."""
    cluster.node_identified(node, incarnation)
    cluster.node_answered(node)
