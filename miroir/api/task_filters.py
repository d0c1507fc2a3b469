"""The filters that `/tasks`, `/batches`, cancelation and deletion share: from query parameters to a `TaskQuery`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Final, TypeVar

from miroir.api.messages import Request
from miroir.api.reading import Query, parse_uid
from miroir.errors import ApiError, node_error
from miroir.indexes import check_uid
from miroir.store import TaskQuery

Value = TypeVar("Value")

_OURS: Final = "mtask-"
"""`mtask-123` is another way to write task 123, wherever a task's number stands."""

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
_PAGE: Final = ("limit", "from", "reverse")
_TIMES: Final = (
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
)
_LISTED: Final = ("canceledBy", "types", "statuses", "indexUids")
_OF_LISTS: Final = (*_PAGE, "batchUids", "uids", *_LISTED, *_TIMES)
_OF_SELECTIONS: Final = ("uids", "batchUids", *_LISTED, *_TIMES)
_CODES: Final = {"batchUids": "invalid_batch_uids", "indexUids": "invalid_index_uid"}

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d"
_TIME: Final = re.compile(rf"({_DATE.pattern})[Tt ]{_CLOCK}:[0-5]\d(\.\d+)?([Zz]|[+-]{_CLOCK})", re.ASCII)
_ALL_BEFORE: Final = "0001-01-01T00:00:00Z"
_ALL_AFTER: Final = "9999-12-31T23:59:59.999999999Z"


def page_of_tasks(request: Request) -> TaskQuery:
    """What `GET /tasks` and `GET /batches` ask for. Refuses as a node does."""
    with Query(request, _OF_LISTS, "task", _CODES) as query:
        limit = query.optional_uid("limit")
        return replace(
            _filters(query),
            start=query.optional_uid("from"),
            limit=20 if limit is None else limit,
            visible=request.access.visible,
            reverse=query.boolean("reverse", False),
        )


def selection(request: Request, action: str) -> TaskQuery:
    """What `POST /tasks/cancel` and `DELETE /tasks` select; `action` is `cancel` or `delete`.

    At least one filter must be there, though it may say `*`.
    """
    with Query(request, _OF_SELECTIONS, "task", _CODES) as query:
        filters = _filters(query)
    if not any(query.text(name) is not None for name in _OF_SELECTIONS):
        raise node_error(
            400,
            "missing_task_filters",
            f"Query parameters to filter the tasks to {action} are missing. Available query parameters are: `uids`, "
            "`indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, "
            "`afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`.",
        )
    return replace(filters, visible=request.access.visible)


def task_uid(text: str, what: str) -> int:
    """The number in the path of one task or batch (`what`: `Task` or `Batch`)."""
    try:
        return parse_uid(text.removeprefix(_OURS))
    except ValueError:
        message = f"{what} uid `{text}` is invalid. It should only contain numeric characters."
        raise node_error(400, f"invalid_{what.lower()}_uids", message) from None


def _filters(query: Query) -> TaskQuery:
    return TaskQuery(
        uids=_both(_set(query, "uids", _uid), _set(query, "batchUids", _uid)),
        statuses=_set(query, "statuses", _status),
        types=_set(query, "types", _type),
        index_uids=_set(query, "indexUids", _index_uid),
        canceled_by=_set(query, "canceledBy", _uid),
        before_enqueued_at=_moment(query, "beforeEnqueuedAt"),
        after_enqueued_at=_moment(query, "afterEnqueuedAt"),
        before_started_at=_moment(query, "beforeStartedAt"),
        after_started_at=_moment(query, "afterStartedAt"),
        before_finished_at=_moment(query, "beforeFinishedAt"),
        after_finished_at=_moment(query, "afterFinishedAt"),
    )


def _set(query: Query, name: str, parse: Callable[[str], Value]) -> frozenset[Value] | None:
    values = query.listed(name, parse)
    return None if values is None else frozenset(values)


def _both(one: frozenset[int] | None, other: frozenset[int] | None) -> frozenset[int] | None:
    """A task's batch has the task's number."""
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _uid(text: str) -> int:
    try:
        return parse_uid(text.removeprefix(_OURS))
    except ValueError:
        return parse_uid(text)  # for a text that names what was sent


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
        raise ValueError(error.message) from None
    return text


def _moment(query: Query, name: str) -> str | None:
    text = query.text(name)
    if text is None or text == "*":
        return None
    try:
        return moment(text, end_of_day=name.startswith("after"))
    except ValueError:
        query.refuse(
            name,
            f"Invalid value in parameter `{name}`: `{text}` is an invalid date-time. "
            "It should follow the YYYY-MM-DD or RFC 3339 date-time format.",
        )
        return None


def moment(text: str, *, end_of_day: bool) -> str:
    """A time as it is; a date as the time at which the day begins, or ends. `ValueError` for anything else."""
    if _DATE.fullmatch(text):
        if text.startswith("0000"):
            return _ALL_BEFORE
        day = date.fromisoformat(text)
        if end_of_day and day == date.max:
            return _ALL_AFTER
        return f"{day + timedelta(days=end_of_day)}T00:00:00Z"
    parts = _TIME.fullmatch(text)
    if parts is None:
        raise ValueError(text)
    if text.startswith("0000"):  # a year that we cannot count and a node can
        return _ALL_BEFORE
    date.fromisoformat(parts[1])
    return text


def page_view(views: Mapping[int, object], total: int, limit: int, following: int | None) -> dict[str, object]:
    """A page of tasks or batches, each under its number and in the page's order."""
    return {
        "results": list(views.values()),
        "total": total,
        "limit": limit,
        "from": next(iter(views), None),
        "next": following,
    }
