"""Canceling tasks: `POST /tasks/cancel`.

What a cancelation selects is marked for it in the store, and the node tasks of what is marked are canceled by their
uids, on every node that still has them open; a node that is away is told when it is back. What becomes of each task is
settlement's business as ever: what a node had done before it was told stays done, and a copy that was canceled where
another owner was faster is repaired. The cancelation has succeeded when everything marked for it is settled.

Only work that lies in the nodes' queues can be canceled. The creation, deletion, renaming and swapping of an index
take effect here at once, before their tasks end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from miroir.store import NewTask, NodeTask, TaskQuery, TaskRow
from miroir.tasks.clock import now_text
from miroir.tasks.selection import SelectionWorker, Told, was_taken

CANCELABLE: Final = frozenset({"documentAdditionOrUpdate", "documentDeletion", "documentEdition", "settingsUpdate"})
"""Types of tasks that wait in the nodes' queues and nowhere else."""

_SHORTEST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0


class Canceler(SelectionWorker):
    """Cancels tasks."""

    type = "taskCancelation"

    async def cancel(self, query: TaskQuery, original_filter: str) -> TaskRow:
        """Have what matches canceled; the task that does it. `original_filter`: the client's query with its `?`."""
        details = {"matchedTasks": None, "canceledTasks": None, "originalFilter": original_filter}
        task = NewTask(None, self.type, details, now_text())
        with trio.CancelScope(shield=True):  # one that nobody took up would stay open, and mark what it selects
            registered = await self._store.add_cancelation(task, query, CANCELABLE)
        return self._begin(registered)

    async def _carry_out(self, task: TaskRow, started_at: str) -> None:
        told: set[Told] = set()
        pause = _SHORTEST_PAUSE_S
        while uids := await self._store.tasks_being_canceled(task.uid):
            await self._tell_nodes(self._open_parts(uids), told)
            await trio.sleep(_SHORTEST_PAUSE_S)
            with trio.move_on_after(pause):
                for uid in uids:
                    await self._tracker.wait(uid)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        canceled = await self._store.list_tasks(TaskQuery(canceled_by=frozenset({task.uid}), limit=0))
        await self._tracker.conclude(task, "succeeded", {**task.details, "canceledTasks": canceled.total}, started_at)

    def _open_parts(self, uids: Iterable[int]) -> Iterable[NodeTask]:
        for uid in uids:
            task = self._tracker.find(uid)  # None: committed a moment ago; it is looked at again
            if task is not None:
                yield from (part for part in task.node_tasks if part.status == "open")

    async def _send(self, node: str, uids: list[int]) -> bool:
        return was_taken(await self._cluster.clients[node].cancel_tasks(uids))
