"""Rows as columns and back. Lists are JSON, sorted where they are sets, so that equal values are equal texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from miroir.store.rows import IndexRow, Intent, NodeTask, TaskRow


def json_text(value: object) -> str:
    """`value` as compact JSON."""
    return orjson.dumps(value).decode()


def set_text(values: Iterable[object]) -> str:
    """A set as a sorted JSON array."""
    return json_text(sorted(values))  # type: ignore[type-var]  # all texts or all numbers


def node_set(text: str) -> frozenset[str]:
    """The nodes of an in-sync set."""
    return frozenset(orjson.loads(text))


def shard_sets(text: str) -> dict[int, frozenset[str]]:
    """A JSON object of shard -> nodes."""
    return {int(shard): frozenset(nodes) for shard, nodes in orjson.loads(text).items()}


def shard_tuple(text: str) -> tuple[int, ...]:
    """Shards in the order they were given."""
    return tuple(orjson.loads(text))


def node_tasks_text(node_tasks: Iterable[NodeTask]) -> str:
    """Node tasks as JSON arrays of their fields."""
    return json_text([(part.node, part.incarnation, part.uid, part.shards, part.status) for part in node_tasks])


def mapping_text(value: Mapping[str, Any] | None) -> str | None:
    """A JSON object, or NULL."""
    return None if value is None else json_text(dict(value))


SELECT_INDEX: Final = (
    "SELECT uid, physical_uid, primary_key, shards, settings, settings_version, frozen, created_at, updated_at, "
    "revision FROM indexes"
)


def index_row(columns: tuple[Any, ...]) -> IndexRow:
    """An index from `SELECT_INDEX`."""
    uid, physical_uid, primary_key, shards, settings, version, frozen, created_at, updated_at, revision = columns
    return IndexRow(
        uid, physical_uid, primary_key, shards, settings, version, bool(frozen), created_at, updated_at, revision
    )


SELECT_INTENT: Final = (
    "SELECT stamp, index_uid, physical_uid, shards, topology_version, peer, begun_ms, idempotency_key FROM intents"
)


def intent_row(columns: tuple[Any, ...]) -> Intent:
    """An intent from `SELECT_INTENT`."""
    stamp, index_uid, physical_uid, shards, topology_version, peer, begun_ms, key = columns
    return Intent(stamp, index_uid, physical_uid, shard_tuple(shards), topology_version, peer, begun_ms, key)


SELECT_TASK: Final = (
    "SELECT uid, index_uid, type, status, node_tasks, details, error, enqueued_at, started_at, finished_at, "
    "canceled_by, session, origin, physical_uid, stamp FROM tasks"
)


def task_row(columns: tuple[Any, ...]) -> TaskRow:
    """A task from `SELECT_TASK`."""
    uid, index_uid, kind, status, node_tasks, details, error, enqueued_at, started_at, finished_at, *rest = columns
    canceled_by, session, origin, physical_uid, stamp = rest
    return TaskRow(
        uid=uid,
        index_uid=index_uid,
        type=kind,
        status=status,
        node_tasks=tuple(
            NodeTask(node, incarnation, task_uid, tuple(shards), state)
            for node, incarnation, task_uid, shards, state in orjson.loads(node_tasks)
        ),
        details=orjson.loads(details),
        error=None if error is None else orjson.loads(error),
        enqueued_at=enqueued_at,
        started_at=started_at,
        finished_at=finished_at,
        canceled_by=canceled_by,
        session=session,
        origin=origin,
        physical_uid=physical_uid,
        stamp=stamp,
    )
