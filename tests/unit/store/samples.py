"""Rows to test with, and a clock that a test may set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from miroir.store import (
    Begin,
    Commit,
    Committed,
    IndexRow,
    Intent,
    NewTask,
    NodeTask,
    Settle,
    ShardCopies,
    Store,
    TaskRow,
    TopologyRow,
)

NOW = "2026-03-01T12:00:00.5Z"
LATER = "2026-03-01T12:00:09Z"
NODES = frozenset({"a", "b", "c"})
SHARDS = 4


@dataclass
class Clock:
    """Microseconds, as set."""

    now_us: int = 1_770_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000


def index_row(uid: str = "books", physical_uid: str | None = None, **changes: Any) -> IndexRow:
    fields: dict[str, Any] = {
        "primary_key": None,
        "shards": SHARDS,
        "settings": b"{}",
        "settings_version": 0,
        "frozen": False,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return IndexRow(uid, physical_uid or uid, **(fields | changes))


def copies(nodes: Iterable[str] = NODES, shards: Iterable[int] = range(SHARDS)) -> ShardCopies:
    return dict.fromkeys(shards, frozenset(nodes))


def new_task(index_uid: str | None = "books", **changes: Any) -> NewTask:
    fields: dict[str, Any] = {
        "type": "documentAdditionOrUpdate",
        "details": {"receivedDocuments": 2},
        "enqueued_at": NOW,
    }
    return NewTask(index_uid, **(fields | changes))


async def found(store: Store, uid: str = "books", nodes: Iterable[str] = NODES) -> IndexRow:
    """A store with topology version 1 and one index whose copies on `nodes` are all in sync."""
    await store.save_topology(TopologyRow(1, b'{"nodes":[]}'))
    row, inserted = await store.insert_index(index_row(uid), copies(nodes))
    assert inserted
    return row


def announce(shards: tuple[int, ...] = (0,), uid: str = "books", **changes: Any) -> Begin:
    fields: dict[str, Any] = {"index_uid": uid, "physical_uid": uid, "topology_version": 1, "peer": "p1"}
    return Begin(shards=shards, **(fields | changes))


async def begun(store: Store, begin: Begin) -> Intent:
    """`begin`, seeing to it that its callback ran first."""
    seen: list[Intent] = []
    intent = await store.begin(begin, seen.append)
    assert seen == [intent]
    return intent


def outcome(intent: Intent, accepted: Iterable[str] = NODES, **changes: Any) -> Commit:
    """All of `NODES` own the intent's shards; `accepted` took it."""
    fields: dict[str, Any] = {
        "topology_version": 1,
        "owners": copies(NODES, intent.shards),
        "accepted": copies(accepted, intent.shards),
        "quorums": {},
        "task": new_task(
            intent.index_uid, node_tasks=tuple(NodeTask(n, "i1", 7, intent.shards) for n in sorted(accepted))
        ),
    }
    return Commit(stamp=intent.stamp, **(fields | changes))


async def written(store: Store, shards: tuple[int, ...] = (0,), accepted: Iterable[str] = NODES) -> Committed:
    return await store.commit(outcome(await begun(store, announce(shards)), accepted))


def settlement(task: TaskRow, lost: ShardCopies | None = None, **changes: Any) -> Settle:
    fields: dict[str, Any] = {
        "status": "succeeded",
        "node_tasks": tuple(NodeTask(t.node, t.incarnation, t.uid, t.shards, "succeeded") for t in task.node_tasks),
        "details": {"receivedDocuments": 2, "indexedDocuments": 2},
        "error": None,
        "started_at": NOW,
        "finished_at": LATER,
    }
    return Settle(task_uid=task.uid, lost=lost or {}, **(fields | changes))
