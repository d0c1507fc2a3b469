"""`/batches`: one for each task that has been begun, of the task's number."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from miroir.api.messages import Request, Response, json_response
from miroir.api.routing import Router
from miroir.api.task_filters import page_of_tasks, page_view, task_uid
from miroir.errors import node_error
from miroir.store import Store
from miroir.tasks import batch_view

_BEGUN: Final = frozenset({"processing", "succeeded", "failed", "canceled"})


class BatchResource:
    """Batches: one, and lists by every filter of tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/batches", self.list, action="tasks.get")
        router.add("GET", "/batches/{uid}", self.get, action="tasks.get")

    async def get(self, request: Request) -> Response:
        """One batch."""
        uid = task_uid(request.params[0], "Batch")
        task = await self._store.get_task(uid)
        begun = task is not None and task.origin == "client" and task.status in _BEGUN
        if task is None or not begun or not request.access.sees(task.index_uid):
            raise node_error(404, "batch_not_found", f"Batch `{uid}` not found.")
        return json_response(200, batch_view(task))

    async def list(self, request: Request) -> Response:
        """A page of batches, newest first unless reversed."""
        asked = page_of_tasks(request)
        query = replace(asked, statuses=_BEGUN if asked.statuses is None else asked.statuses & _BEGUN)
        page = await self._store.list_tasks(query)
        views = {task.uid: batch_view(task) for task in page.tasks}
        return json_response(200, page_view(views, page.total, query.limit, page.next))
