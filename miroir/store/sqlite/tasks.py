"""Tasks: registering, following, settling and forgetting them. Listing is `task_listing`."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Final

from miroir.store.rfc3339 import nanoseconds
from miroir.store.rows import NewTask, Settle, TaskRow
from miroir.store.sqlite import copies, idempotency, task_names
from miroir.store.sqlite.encoding import SELECT_TASK, json_text, mapping_text, node_tasks_text, task_row
from miroir.store.sqlite.writer import Tx

OPEN: Final = ("enqueued", "processing")


def register(tx: Tx, task: NewTask, *, stamp: int | None = None, physical_uid: str | None = None) -> TaskRow:
    """Give the task its uid and keep it, under the claim there may be.

    `stamp` and `physical_uid` of a write prevail over what the task says.
    """
    if task.status not in OPEN and task.finished_at is None:
        raise ValueError(f"a task that is born {task.status} has a time it finished at")
    row = TaskRow(
        uid=tx.next("task"),
        index_uid=task.index_uid,
        type=task.type,
        status=task.status,
        node_tasks=task.node_tasks,
        details=task.details,
        error=task.error,
        enqueued_at=task.enqueued_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        session=task.session,
        origin=task.origin,
        physical_uid=task.physical_uid if physical_uid is None else physical_uid,
        stamp=task.stamp if stamp is None else stamp,
    )
    tx.db.execute(
        "INSERT INTO tasks (uid, index_uid, type, status, node_tasks, details, error, enqueued_at, started_at, "
        "finished_at, canceled_by, session, origin, physical_uid, stamp, enqueued_ns, started_ns, finished_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.uid,
            row.index_uid,
            row.type,
            row.status,
            node_tasks_text(row.node_tasks),
            json_text(dict(row.details)),
            mapping_text(row.error),
            row.enqueued_at,
            row.started_at,
            row.finished_at,
            row.canceled_by,
            row.session,
            row.origin,
            row.physical_uid,
            row.stamp,
            nanoseconds(row.enqueued_at),
            _instant(row.started_at),
            _instant(row.finished_at),
        ),
    )
    if tx.claim is not None and row.origin == "client":
        idempotency.bind(tx, tx.claim, row, begun=stamp is not None)
    return row


def get_task(db: sqlite3.Connection, uid: int) -> TaskRow | None:
    """`Store.get_task`."""
    row = db.execute(SELECT_TASK + " WHERE uid = ?", (uid,)).fetchone()
    return None if row is None else task_row(row)


def open_tasks(db: sqlite3.Connection) -> list[TaskRow]:
    """`Store.open_tasks`."""
    rows = db.execute(SELECT_TASK + " WHERE status IN ('enqueued', 'processing') ORDER BY uid")
    return [task_row(row) for row in rows]


def update_open_task(tx: Tx, task: TaskRow) -> None:
    """`Store.update_open_task`."""
    if task.status not in OPEN:
        raise ValueError(f"task {task.uid} is closed by settle, not by an update to {task.status}")
    tx.db.execute(
        "UPDATE tasks SET status = ?, node_tasks = ?, details = ?, started_at = ?, started_ns = ? "
        "WHERE uid = ? AND status IN ('enqueued', 'processing')",
        (
            task.status,
            node_tasks_text(task.node_tasks),
            json_text(dict(task.details)),
            task.started_at,
            _instant(task.started_at),
            task.uid,
        ),
    )


def settle(tx: Tx, settle: Settle) -> tuple[TaskRow, dict[int, frozenset[str]]]:
    """`Store.settle`."""
    task = get_task(tx.db, settle.task_uid)
    if task is None:
        raise KeyError(settle.task_uid)
    if task.status not in OPEN:
        return task, {}
    if _untrusted(tx, task, settle):
        settle = replace(settle, status="failed", error=settle.doubt)
    canceled_by = task.canceled_by if settle.status == "canceled" else None
    tx.db.execute(
        "UPDATE tasks SET status = ?, node_tasks = ?, details = ?, error = ?, started_at = ?, started_ns = ?, "
        "finished_at = ?, finished_ns = ?, canceled_by = ? WHERE uid = ?",
        (
            settle.status,
            node_tasks_text(settle.node_tasks),
            json_text(dict(settle.details)),
            mapping_text(settle.error),
            settle.started_at,
            _instant(settle.started_at),
            settle.finished_at,
            nanoseconds(settle.finished_at),
            canceled_by,
            settle.task_uid,
        ),
    )
    settled = replace(
        task,
        status=settle.status,
        node_tasks=settle.node_tasks,
        details=settle.details,
        error=settle.error,
        started_at=settle.started_at,
        finished_at=settle.finished_at,
        canceled_by=canceled_by,
    )
    task_names.rename(tx, settle.names, settle.task_uid)
    if task.physical_uid is None:
        return settled, {}
    if settled.status != "succeeded":
        tx.db.execute("INSERT INTO follow_ups (task_uid) VALUES (?)", (task.uid,))
    return settled, copies.leave_in_sync(tx, task.physical_uid, settle.lost, "lost a write", since=task.stamp)


def _untrusted(tx: Tx, task: TaskRow, settle: Settle) -> bool:
    """Whether some shard was applied only by copies that are not trusted: they will be made like those that are."""
    if task.physical_uid is None or settle.status != "succeeded":
        return False
    in_sync = copies.in_sync_of(tx.db, task.physical_uid, settle.applied)
    return any(not trusted & settle.applied[shard] for shard, trusted in in_sync.items())


def list_follow_ups(db: sqlite3.Connection) -> list[TaskRow]:
    """`Store.list_follow_ups`."""
    wanted = [uid for (uid,) in db.execute("SELECT task_uid FROM follow_ups ORDER BY task_uid")]
    tasks = [get_task(db, uid) for uid in wanted]
    return [task for task in tasks if task is not None]


def finish_follow_up(tx: Tx, task_uid: int) -> None:
    """`Store.finish_follow_up`."""
    tx.db.execute("DELETE FROM follow_ups WHERE task_uid = ?", (task_uid,))


def prune_tasks(tx: Tx, finished_before: str, limit: int) -> int:
    """`Store.prune_tasks`: how many were forgotten."""
    return tx.db.execute(
        "DELETE FROM tasks WHERE uid IN (SELECT uid FROM tasks "
        "WHERE status IN ('succeeded', 'failed', 'canceled') AND finished_ns < ? "
        "AND uid NOT IN (SELECT task_uid FROM follow_ups) ORDER BY finished_ns, uid LIMIT ?)",
        (nanoseconds(finished_before), limit),
    ).rowcount


def count_tasks(db: sqlite3.Connection) -> dict[str, int]:
    """`Store.count_tasks`: every status, even of no tasks."""
    return dict(db.execute("SELECT status, tasks FROM task_counts").fetchall())


def _instant(text: str | None) -> int | None:
    return None if text is None else nanoseconds(text)
