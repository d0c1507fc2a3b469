"""`GET /tasks`: filters as SQL.

Filtered listings count all that match, so the filters should meet an index. A page is found by uid alone, from the
index, before its rows are read: rows are wide, and sorting them would read every one that matches.
"""

# ruff: noqa: S608 - statements are put together from constants of this module only; every value is bound.

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from miroir.store.rfc3339 import nanoseconds
from miroir.store.rows import TaskPage, TaskQuery
from miroir.store.sqlite.encoding import SELECT_TASK, set_text, task_row

_LAST: Final = 2**63 - 1


def list_tasks(db: sqlite3.Connection, query: TaskQuery) -> TaskPage:
    """`Store.list_tasks`. As in Meilisearch, `start` and `limit` leave the total alone."""
    where, values = matching(query)
    if values:
        (total,) = db.execute(f"SELECT count(*) FROM tasks WHERE {where}", values).fetchone()
    else:
        (total,) = db.execute("SELECT sum(tasks) FROM task_counts").fetchone()
    shown, shown_values = _shown(query)
    where += shown
    values += shown_values
    order, beyond = ("ASC", ">=") if query.reverse else ("DESC", "<=")
    if query.start is not None:
        where += f" AND uid {beyond} ?"
        values.append(min(query.start, _LAST))
    found = [
        uid
        for (uid,) in db.execute(
            f"SELECT uid FROM tasks WHERE {where} ORDER BY uid {order} LIMIT ?",
            [*values, min(query.limit, _LAST - 1) + 1],
        )
    ]
    following = found[query.limit] if len(found) > query.limit else None
    rows = db.execute(
        f"{SELECT_TASK} WHERE uid IN (SELECT value FROM json_each(?)) ORDER BY uid {order}",
        (set_text(found[: query.limit]),),
    )
    return TaskPage(tuple(task_row(row) for row in rows), total, following)


def matching_shown(query: TaskQuery) -> tuple[str, list[str | int]]:
    """`matching`, among the tasks that who asks may see."""
    where, values = matching(query)
    shown, shown_values = _shown(query)
    return where + shown, [*values, *shown_values]


def _shown(query: TaskQuery) -> tuple[str, list[str | int]]:
    """The further condition that who asks may see a task."""
    if query.visible is None:
        return "", []
    names = [pattern for pattern in query.visible if not pattern.endswith("*")]
    beginnings = [pattern[:-1] for pattern in query.visible if pattern.endswith("*")]
    begins = "EXISTS (SELECT 1 FROM json_each(?) WHERE substr(index_uid, 1, length(value)) = value)"
    condition = f" AND (index_uid IN (SELECT value FROM json_each(?)) OR {begins})"
    return condition, [set_text(names), set_text(beginnings)]


def matching(query: TaskQuery) -> tuple[str, list[str | int]]:
    """The condition that a task of origin `client` matches the filters, and the values it takes (none: no filter)."""
    filters = list(_filters(query))
    conditions = [_origin(query), *(condition for condition, _ in filters)]
    if query.canceled_by is not None:
        conditions.append("status = 'canceled'")
    return " AND ".join(conditions), [value for _, value in filters]


def _origin(query: TaskQuery) -> str:
    """The condition that every listing has, with a plus where an index that begins with it would mislead SQLite.

    Nearly every task is a client's. Without a filter the newest are found from the table's end, and a list of uids
    finds its rows itself; going through all client tasks by another index and sorting them takes 100 times as long.
    """
    narrowing = (query.statuses, query.types, query.index_uids, query.before_enqueued_at, query.after_enqueued_at)
    by_index = query.uids is None and query.canceled_by is None and any(each is not None for each in narrowing)
    return "origin = 'client'" if by_index else "+origin = 'client'"


def _filters(query: TaskQuery) -> Iterator[tuple[str, str | int]]:
    """Conditions and the value each takes."""
    for column, allowed in (
        ("uid", query.uids),
        ("status", query.statuses),
        ("type", query.types),
        ("index_uid", query.index_uids),
        ("canceled_by", query.canceled_by),
    ):
        if allowed is not None:
            # A list as one JSON value: the text of the statement stays the same, and the list may be of any length.
            yield f"{column} IN (SELECT value FROM json_each(?))", set_text(allowed)
    for column, before, after in (
        ("enqueued_ns", query.before_enqueued_at, query.after_enqueued_at),
        ("started_ns", query.before_started_at, query.after_started_at),
        ("finished_ns", query.before_finished_at, query.after_finished_at),
    ):
        if before is not None:
            yield f"{column} < ?", nanoseconds(before)
        if after is not None:
            yield f"{column} > ?", nanoseconds(after)
