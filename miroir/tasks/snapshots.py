"""Snapshots: every node makes one of itself, and one task says when all are there.

Each node leaves its file where its own `--snapshot-dir` is; together they are the cluster at about one moment. A copy
that is not trusted, or a node that is away, is not missed as long as the others hold every shard.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from miroir.cluster import Cluster
from miroir.errors import miroir_error
from miroir.nodes import Accepted, NodeCall, Outcome, Refused, error_of
from miroir.store import NewTask, NodeTask, Store, TaskRow
from miroir.tasks.clock import now_text
from miroir.tasks.tracker import TaskTracker

_CALL_S = 10.0


class Snapshots:
    """Has snapshots made."""

    def __init__(self, cluster: Cluster, store: Store, tracker: TaskTracker) -> None:
        self._cluster = cluster
        self._store = store
        self._tracker = tracker

    async def create(self) -> TaskRow:
        """One on every node that is there; the task that follows them.

        503 `miroir_shard_unavailable` when those nodes do not hold everything, or the `ApiError` of a node's refusal.
        The nodes are asked before the task is registered: a crash in between leaves files that nobody was told of, and
        no task without an end.
        """
        nodes = sorted(self._cluster.usable_nodes())
        self._check_coverage(nodes)
        outcomes: dict[str, Outcome] = {}
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(self._ask, node, outcomes)
        for outcome in outcomes.values():
            error = error_of(outcome.status, outcome.body) if isinstance(outcome, Refused) else None
            if error is not None:
                raise error
        # Each stands for itself, so to the settlement each is a shard of its own.
        node_tasks = tuple(
            NodeTask(node, self._cluster.incarnations.get(node, ""), outcome.task_uid, (number,))
            for number, (node, outcome) in enumerate(sorted(outcomes.items()))
            if isinstance(outcome, Accepted)
        )
        taken = [part.node for part in node_tasks]
        self._check_coverage(taken)
        task = NewTask(None, "snapshotCreation", {"nodes": taken}, now_text(), node_tasks=node_tasks)
        with trio.CancelScope(shield=True):
            row = await self._store.add_task(task)
            self._tracker.follow(row)
        return row

    async def _ask(self, node: str, outcomes: dict[str, Outcome]) -> None:
        with trio.move_on_after(_CALL_S):
            await self._cluster.confirmed(node)
            outcomes[node] = await self._cluster.clients[node].enqueue(NodeCall("snapshot", "POST", "/snapshots"))

    def _check_coverage(self, nodes: Collection[str]) -> None:
        if not nodes or not self._cluster.covers(nodes):
            raise miroir_error(
                "miroir_shard_unavailable",
                "No snapshot: the nodes that answer do not hold every shard. Try again when the others are back.",
            )
