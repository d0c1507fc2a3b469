"""How a task looks to a client: `GET /tasks/{uid}`, and the short form that answers a write."""

from __future__ import annotations

from typing import Any

from miroir.store import TaskRow, TaskSummary
from miroir.tasks.clock import duration
from miroir.tasks.details import shown


def task_view(task: TaskRow) -> dict[str, Any]:
    """The whole task. One batch per task, of the same number, once it is being worked on."""
    return {
        "uid": task.uid,
        "batchUid": None if task.status == "enqueued" else task.uid,
        "indexUid": task.index_uid,
        "status": task.status,
        "type": task.type,
        "canceledBy": task.canceled_by if task.status == "canceled" else None,
        "details": shown(task.details),
        "error": task.error,
        "duration": duration(task.started_at, task.finished_at),
        "enqueuedAt": task.enqueued_at,
        "startedAt": task.started_at,
        "finishedAt": task.finished_at,
    }


def enqueued_view(task: TaskRow | TaskSummary) -> dict[str, Any]:
    """What a write is answered with. Always `enqueued`, as a node answers before anything can have happened."""
    return {
        "taskUid": task.uid,
        "indexUid": task.index_uid,
        "status": "enqueued",
        "type": task.type,
        "enqueuedAt": task.enqueued_at,
    }
