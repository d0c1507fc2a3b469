"""`/tasks`: one namespace of integer uids over all nodes."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import Query, parse_number
from miroir.api.routing import Router
from miroir.errors import ApiError, node_error
from miroir.indexes import check_uid
from miroir.store import Store, TaskQuery
from miroir.tasks import task_view

Value = TypeVar("Value")

_STATUSES: Final = ("enqueued", "processing", "succeeded", "failed", "canceled")
_TYPES: Final = (
    "documentAdditionOrUpdate",
    "documentEdition",
    "documentDeletion",
    "settingsUpdate",
    "indexCreation",
    "indexDeletion",
    "indexUpdate",
    "indexSwap",
    "taskCancelation",
    "taskDeletion",
    "dumpCreation",
    "snapshotCreation",
    "export",
    "upgradeDatabase",
)
_PARAMETERS: Final = (
    "limit",
    "from",
    "reverse",
    "batchUids",
    "uids",
    "canceledBy",
    "types",
    "statuses",
    "indexUids",
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
)
_OURS: Final = "mtask-"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class TaskResource:
    """Tasks: one, and lists by every filter."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, router: Router) -> None:
        """Put the routes up."""
        router.add("GET", "/tasks", self.list)
        router.add("GET", "/tasks/{uid}", self.get)

    async def get(self, request: Request) -> Response:
        """One task. `mtask-123` is `123`."""
        text = request.params[0].removeprefix(_OURS)
        if not (text.isascii() and text.isdigit()):
            message = f"Task uid `{text}` is invalid. It should only contain numeric characters."
            raise node_error(400, "invalid_task_uids", message)
        task = await self._store.get_task(int(text)) if int(text) < 1 << 63 else None
        if task is None or task.origin != "client":
            raise node_error(404, "task_not_found", f"Task `{text}` not found.")
        return json_response(200, task_view(task))

    async def list(self, request: Request) -> Response:
        """A page of tasks, newest first unless reversed."""
        query = Query(request, _PARAMETERS, "task")
        limit = query.number("limit", 20)
        page = await self._store.list_tasks(
            TaskQuery(
                uids=_both(_set(query.listed("uids", _uid)), _set(query.listed("batchUids", _uid))),
                statuses=_set(query.listed("statuses", _status)),
                types=_set(query.listed("types", _type)),
                index_uids=_set(query.listed("indexUids", _index_uid)),
                canceled_by=_set(query.listed("canceledBy", _uid)),
                before_enqueued_at=_moment(query, "beforeEnqueuedAt"),
                after_enqueued_at=_moment(query, "afterEnqueuedAt"),
                before_started_at=_moment(query, "beforeStartedAt"),
                after_started_at=_moment(query, "afterStartedAt"),
                before_finished_at=_moment(query, "beforeFinishedAt"),
                after_finished_at=_moment(query, "afterFinishedAt"),
                start=query.optional_number("from"),
                limit=limit,
                reverse=query.boolean("reverse", False),
            )
        )
        return json_response(
            200,
            {
                "results": [task_view(task) for task in page.tasks],
                "total": page.total,
                "limit": limit,
                "from": page.tasks[0].uid if page.tasks else None,
                "next": page.next,
            },
        )


def _set(values: list[Value] | None) -> frozenset[Value] | None:
    return None if values is None else frozenset(values)


def _both(one: frozenset[int] | None, other: frozenset[int] | None) -> frozenset[int] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _uid(text: str) -> int:
    return parse_number(text.removeprefix(_OURS))


def _status(text: str) -> str:
    return _one_of(text, _STATUSES, "task status. Available statuses are")


def _type(text: str) -> str:
    return _one_of(text, _TYPES, "task type. Available types are")


def _one_of(text: str, known: tuple[str, ...], what: str) -> str:
    for value in known:
        if value.lower() == text.lower():
            return value
    listed = ", ".join(f"`{value}`" for value in known)
    raise ValueError(f"`{text}` is not a valid {what} {listed}.")


def _index_uid(text: str) -> str:
    try:
        check_uid(text)
    except ApiError as error:
        message = f"Invalid value in parameter `indexUids`: {error.message}"
        raise node_error(400, "invalid_index_uid", message) from None
    return text


def _moment(query: Query, name: str) -> str | None:
    """A date or a time as a text the store compares. A date after which: the day after it begins."""
    text = query.text(name)
    if text is None or text == "*":
        return None
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text) + timedelta(days=1 if name.startswith("after") else 0)
            return f"{day.isoformat()}T00:00:00.000000000Z"
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
    except ValueError:
        snake = re.sub(r"([A-Z])", lambda match: "_" + match.group(1).lower(), name)
        raise node_error(
            400,
            f"invalid_task_{snake}",
            f"Invalid value in parameter `{name}`: `{text}` is an invalid date-time. "
            "It should follow the YYYY-MM-DD or RFC 3339 date-time format.",
        ) from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
