"""`/tasks`: one namespace of integer uids over all nodes."""

from __future__ import annotations

from miroir.api.messages import Request, Response, json_response
from miroir.api.routing import Router
from miroir.api.task_filters import page_of_tasks, page_view, selection, task_uid
from miroir.errors import node_error
from miroir.store import Store
from miroir.tasks import Canceler, Deleter, Snapshots, TaskTracker, enqueued_view, task_view
from miroir.upkeep import Dumps


class TaskResource:
    """Tasks: one, and lists by every filter; cancel and delete; and those that are about no index."""

    def __init__(
        self,
        store: Store,
        tracker: TaskTracker,
        canceler: Canceler,
        deleter: Deleter,
        snapshots: Snapshots,
        dumps: Dumps,
    ) -> None:
        self._store = store
        self._tracker = tracker
        self._canceler = canceler
        self._deleter = deleter
        self._snapshots = snapshots
        self._dumps = dumps

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/tasks", self.list, action="tasks.get")
        router.add("DELETE", "/tasks", self.delete, action="tasks.delete")
        router.add("POST", "/tasks/cancel", self.cancel, action="tasks.cancel")
        router.add("POST", "/snapshots", self.snapshot, action="snapshots.create")
        router.add("POST", "/dumps", self.dump, action="dumps.create")
        router.add("GET", "/tasks/{uid}", self.get, action="tasks.get")

    async def get(self, request: Request) -> Response:
        """One task. `mtask-123` is `123`. An open one, which is asked for over and over, is known without the store."""
        uid = task_uid(request.params[0], "Task")
        task = self._tracker.asked_for(uid) or await self._store.get_task(uid)
        if task is None or task.origin != "client" or not request.access.sees(task.index_uid):
            raise node_error(404, "task_not_found", f"Task `{uid}` not found.")
        return json_response(200, task_view(task))

    async def list(self, request: Request) -> Response:
        """A page of tasks, newest first unless reversed."""
        query = page_of_tasks(request)
        page = await self._store.list_tasks(query)
        views = {task.uid: task_view(task) for task in page.tasks}
        return json_response(200, page_view(views, page.total, query.limit, page.next))

    async def cancel(self, request: Request) -> Response:
        """Cancel what matches; a task. 200, where every other write answers 202: so does a node."""
        query = selection(request, "cancel")
        return json_response(200, enqueued_view(await self._canceler.cancel(query, _as_sent(request))))

    async def snapshot(self, _: Request) -> Response:
        """A snapshot on every node; a task."""
        return json_response(202, enqueued_view(await self._snapshots.create()))

    async def dump(self, _: Request) -> Response:
        """A dump of the whole; a task."""
        return json_response(202, enqueued_view(await self._dumps.create()))

    async def delete(self, request: Request) -> Response:
        """Forget what matches and is over; a task."""
        query = selection(request, "delete")
        return json_response(200, enqueued_view(await self._deleter.delete(query, _as_sent(request))))


def _as_sent(request: Request) -> str:
    return f"?{request.query_string.decode('latin-1')}"
