"""Deleting tasks: `DELETE /tasks`.

Terminal tasks that match are forgotten here, a bounded number at a time, and their node tasks on the nodes by uid. The
latter is tidiness: a node that is away keeps them, and nothing refers to them any more.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

import msgspec
import trio

from miroir.store import NewTask, TaskQuery, TaskRow
from miroir.tasks.clock import now_text
from miroir.tasks.selection import SelectionWorker, was_taken

_QUERY_NOTE: Final = "_query"
_DELETED_NOTE: Final = "_deleted"
_AT_ONCE: Final = 1000


class Deleter(SelectionWorker):
    """Deletes tasks."""

    type = "taskDeletion"

    async def delete(self, query: TaskQuery, original_filter: str) -> TaskRow:
        """Have what matches deleted; the task that does it. `original_filter`: the client's query with its `?`."""
        details = {
            "matchedTasks": None,
            "deletedTasks": None,
            "originalFilter": original_filter,
            _QUERY_NOTE: _written(query),
            _DELETED_NOTE: 0,
        }
        task = NewTask(None, self.type, details, now_text())
        with trio.CancelScope(shield=True):  # one that nobody took up would stay open
            registered = await self._store.add_deletion(task, query)
        return self._begin(registered)

    async def _carry_out(self, task: TaskRow, started_at: str) -> None:
        query = msgspec.convert(task.details[_QUERY_NOTE], TaskQuery)
        deleted = int(task.details[_DELETED_NOTE])
        while gone := await self._store.delete_tasks(query, task.uid, _AT_ONCE):
            deleted += len(gone)
            await self._store.update_open_task(replace(task, details={**task.details, _DELETED_NOTE: deleted}))
            ended = [part for each in gone for part in each.node_tasks if part.status not in ("open", "lost")]
            await self._tell_nodes(ended, set())
        details = {name: value for name, value in task.details.items() if not name.startswith("_")}
        # A task that came to its end, and so to match, after the deletion was asked for is gone too.
        details["matchedTasks"] = max(int(details["matchedTasks"]), deleted)
        details["deletedTasks"] = deleted
        await self._tracker.conclude(task, "succeeded", details, started_at)

    async def _send(self, node: str, uids: list[int]) -> bool:
        return was_taken(await self._cluster.clients[node].delete_tasks(uids))


def _written(query: TaskQuery) -> dict[str, Any]:
    """The query as JSON values, without what is no filter."""
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(query).items()
        if value is not None
    }
