"""Batches: how work looks to a client that asks what is being done together. Here each task is one, of its number.

A node's own batches differ from node to node, so they cannot be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miroir.store import TaskRow
from miroir.tasks.clock import duration, nanoseconds_of
from miroir.tasks.details import shown

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def batch_view(task: TaskRow) -> dict[str, Any]:
    """The batch of a task that has been begun, as a node shows one."""
    return {
        "uid": task.uid,
        "progress": _progress(task),
        "details": _details(task),
        "stats": {
            "totalNbTasks": 1,
            "status": {task.status: 1},
            "types": {task.type: 1},
            "indexUids": {} if task.index_uid is None else {task.index_uid: 1},
            "progressTrace": _trace(task),
        },
        "duration": duration(task.started_at, task.finished_at),
        "startedAt": task.started_at,
        "finishedAt": task.finished_at,
        "batchStrategy": f"created batch containing only task with id {task.uid} of type `{task.type}` that cannot be "
        "batched with any other task.",
    }


def _details(task: TaskRow) -> dict[str, Any]:
    """As the task's, but a node leaves out of a finished batch what says nothing; settings say by null: the default."""
    details: Mapping[str, Any] = shown(task.details) or {}
    if task.type == "settingsUpdate" or task.finished_at is None:
        return dict(details)
    return {name: value for name, value in details.items() if value is not None}


def _progress(task: TaskRow) -> dict[str, Any] | None:
    """How many of the node tasks have ended; None when all is over."""
    if task.finished_at is not None:
        return None
    total = max(len(task.node_tasks), 1)
    done = sum(part.status != "open" for part in task.node_tasks)
    step = {"currentStep": "processing tasks", "finished": done, "total": total}
    return {"steps": [step], "percentage": round(100 * done / total, 2)}


def _trace(task: TaskRow) -> dict[str, str]:
    """How long the one step took that can be told apart from outside, spelled as a node spells it."""
    if task.started_at is None or task.finished_at is None:
        return {}
    taken = max(nanoseconds_of(task.finished_at) - nanoseconds_of(task.started_at), 0)
    for size, unit in _UNITS:
        if taken >= size:
            return {"processing tasks": f"{taken / size:.2f}{unit}"}
    return {"processing tasks": f"{taken:.2f}ns"}
