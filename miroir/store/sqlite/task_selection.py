"""Tasks that work on other tasks: cancelations, which mark what they match, and deletions."""

# ruff: noqa: S608 - statements are put together from constants of `task_listing` only; every value is bound.

from __future__ import annotations

import sqlite3
from dataclasses import replace

from miroir.store.rows import NewTask, TaskQuery, TaskRow
from miroir.store.sqlite.encoding import SELECT_TASK, set_text, task_row
from miroir.store.sqlite.task_listing import matching_shown
from miroir.store.sqlite.tasks import register
from miroir.store.sqlite.writer import Tx

_IS_OPEN = "status IN ('enqueued', 'processing')"
_IS_OVER = "status IN ('succeeded', 'failed', 'canceled') AND uid NOT IN (SELECT task_uid FROM follow_ups)"


def add_cancelation(tx: Tx, task: NewTask, query: TaskQuery, types: frozenset[str]) -> TaskRow:
    """`Store.add_cancelation`."""
    where, values = matching_shown(query)
    cancelation = _register(tx, task, where, values)
    tx.db.execute(
        f"UPDATE tasks SET canceled_by = ? WHERE {where} AND uid < ? AND {_IS_OPEN} AND canceled_by IS NULL "
        "AND type IN (SELECT value FROM json_each(?))",
        [cancelation.uid, *values, cancelation.uid, set_text(types)],
    )
    return cancelation


def tasks_being_canceled(db: sqlite3.Connection, canceled_by: int) -> list[int]:
    """`Store.tasks_being_canceled`."""
    rows = db.execute(f"SELECT uid FROM tasks WHERE canceled_by = ? AND {_IS_OPEN} ORDER BY uid", (canceled_by,))
    return [uid for (uid,) in rows]


def add_deletion(tx: Tx, task: NewTask, query: TaskQuery) -> TaskRow:
    """`Store.add_deletion`."""
    return _register(tx, task, *matching_shown(query))


def delete_tasks(tx: Tx, query: TaskQuery, before: int, limit: int) -> list[TaskRow]:
    """`Store.delete_tasks`."""
    where, values = matching_shown(query)
    rows = tx.db.execute(
        f"{SELECT_TASK} WHERE {where} AND uid < ? AND {_IS_OVER} ORDER BY uid LIMIT ?", [*values, before, limit]
    ).fetchall()
    tasks = [task_row(row) for row in rows]
    uids = set_text(task.uid for task in tasks)
    tx.db.execute("DELETE FROM tasks WHERE uid IN (SELECT value FROM json_each(?))", (uids,))
    return tasks


def _register(tx: Tx, task: NewTask, where: str, values: list[str | int]) -> TaskRow:
    (matched,) = tx.db.execute(f"SELECT count(*) FROM tasks WHERE {where}", values).fetchone()
    return register(tx, replace(task, details={**task.details, "matchedTasks": matched}))
