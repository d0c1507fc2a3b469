"""A small client of the Meilisearch API for tests, and the guard that looks for stamps in every answer.

It speaks plainly: no retries, no models, so that a test sees what a user's HTTP client would see. `Api` serves both
Miroir and a plain node, so differential tests make the same calls to both.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from miroir.stamps import ALPHABET

# Names of ours. `/_miroir/...` paths, `miroir_task_id` and a word such as `my_miroir_index` are not among them.
_FIELD = re.compile(r"(?<![A-Za-z0-9_])_miroir_[a-z]")
_LETTER = re.compile(f"[{re.escape(''.join(ALPHABET))}]")
# Errors that answer a client which itself sent one of our names; they must repeat it.
_MAY_NAME_STAMPS = frozenset({"miroir_reserved_field", "miroir_reserved_token"})
_POLL_S = 0.01
_POLL_MOST_S = 0.2
OPEN_STATUSES = frozenset({"enqueued", "processing"})


class StampLeak(AssertionError):
    """An answer shows something of the stamps that no client may see."""


class StampGuard:
    """Checks response bodies for field names and letters of the stamps. A test opts out with `allow_stamps`."""

    def __init__(self) -> None:
        self.active = True

    def check(self, response: httpx.Response) -> None:
        """Look at a response that was read. Raises `StampLeak`."""
        if not self.active or not response.content:
            return
        text = response.text
        if "json" in response.headers.get("content-type", ""):
            value = json.loads(text)
            if isinstance(value, dict) and value.get("code") in _MAY_NAME_STAMPS:
                return
            text += json.dumps(value, ensure_ascii=False)  # \u escapes undone
        for pattern in (_FIELD, _LETTER):
            if found := pattern.search(text):
                around = text[max(0, found.start() - 80) : found.end() + 80]
                raise StampLeak(f"{response.request.method} {response.request.url} shows a stamp: {around!r}")

    def read_and_check(self, response: httpx.Response) -> None:
        response.read()
        self.check(response)

    async def aread_and_check(self, response: httpx.Response) -> None:
        await response.aread()
        self.check(response)


class TaskFailed(AssertionError):
    """A task that was expected to succeed did not; holds the task."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        super().__init__(f"task {task.get('uid')} {task.get('status')}: {task.get('error')}")
        self.task = task


class Api:
    """Calls to one server with one key. `guard` is None for a node, which shows its stamps to those who ask it."""

    def __init__(self, url: str, key: str | None, guard: StampGuard | None = None, *, timeout_s: float = 60.0) -> None:
        self.url = url
        self.key = key
        self._guard = guard
        self._timeout_s = timeout_s
        self.http = httpx.Client(
            base_url=url,
            headers=self._headers(),
            timeout=timeout_s,
            trust_env=False,
            event_hooks={"response": [guard.read_and_check]} if guard else {},
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def with_key(self, key: str | None) -> Api:
        """The same server with another key (None: no credential). The caller closes it."""
        return Api(self.url, key, self._guard, timeout_s=self._timeout_s)

    @asynccontextmanager
    async def concurrent(self, connections: int = 16) -> AsyncIterator[httpx.AsyncClient]:
        """An asynchronous client of the same server under the same guard, for Trio tests."""
        async with httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers(),
            timeout=self._timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            event_hooks={"response": [self._guard.aread_and_check]} if self._guard else {},
        ) as client:
            yield client

    def close(self) -> None:
        self.http.close()

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request as it stands; arguments as `httpx.Client.request` takes them."""
        return self.http.request(method, path, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of `GET path`, which must be a success."""
        return self.expect(self.http.get(path, params=params))

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.expect(self.http.post(path, json=body, params=params))

    def put(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.expect(self.http.put(path, json=body, params=params))

    def patch(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.expect(self.http.patch(path, json=body, params=params))

    def delete(self, path: str, **params: Any) -> Any:
        return self.expect(self.http.delete(path, params=params))

    @staticmethod
    def expect(response: httpx.Response) -> Any:
        """The JSON of a successful response (None when empty); anything else fails the test with its text."""
        assert response.is_success, (
            f"{response.request.method} {response.request.url}: {response.status_code} {response.text}"
        )
        return response.json() if response.content else None

    # Tasks

    def wait_task(self, task: Mapping[str, Any] | int, timeout_s: float = 60.0) -> dict[str, Any]:
        """The task once it is terminal, however it ended; `task` is its uid or the summary a write answered."""
        uid = task if isinstance(task, int) else task["taskUid"]
        deadline = time.monotonic() + timeout_s
        for attempt in itertools.count():
            found: dict[str, Any] = self.get(f"/tasks/{uid}")
            if found["status"] not in OPEN_STATUSES:
                return found
            assert time.monotonic() < deadline, f"task {uid} is still {found['status']} after {timeout_s:g} s: {found}"
            time.sleep(min(_POLL_MOST_S, _POLL_S * 1.3**attempt))
        raise AssertionError("unreachable")

    def succeeded(self, task: Mapping[str, Any] | int, timeout_s: float = 60.0) -> dict[str, Any]:
        """The task once it succeeded. Raises `TaskFailed` when it ended otherwise."""
        found = self.wait_task(task, timeout_s)
        if found["status"] != "succeeded":
            raise TaskFailed(found)
        return found

    # What nearly every test does; each waits for its task and wants it to succeed

    def create_index(self, uid: str, primary_key: str | None = None) -> dict[str, Any]:
        return self.succeeded(self.post("/indexes", {"uid": uid, "primaryKey": primary_key}))

    def delete_index(self, uid: str) -> dict[str, Any]:
        return self.succeeded(self.delete(f"/indexes/{uid}"))

    def update_settings(self, uid: str, settings: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
        return self.succeeded(self.patch(f"/indexes/{uid}/settings", settings), timeout_s)

    def add_documents(
        self,
        uid: str,
        documents: Iterable[Mapping[str, Any]],
        primary_key: str | None = None,
        *,
        update: bool = False,
        batch: int = 10_000,
        timeout_s: float = 60.0,
    ) -> list[dict[str, Any]]:
        """Add or replace (`update`: merge into what is there), in batches; the succeeded tasks."""
        send = self.put if update else self.post
        params = {"primaryKey": primary_key} if primary_key else {}
        rows = list(documents)
        summaries = [
            send(f"/indexes/{uid}/documents", rows[start : start + batch], **params)
            for start in range(0, max(1, len(rows)), batch)
        ]
        return [self.succeeded(summary, timeout_s) for summary in summaries]

    def search(self, uid: str, q: str | None = None, **parameters: Any) -> dict[str, Any]:
        """`POST` search; parameters by their names on the wire."""
        body = parameters if q is None else {"q": q, **parameters}
        found: dict[str, Any] = self.post(f"/indexes/{uid}/search", body)
        return found


async def eventually(condition: Any, timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Wait in a Trio test until `condition()` (plain or async) is true; fails the test after `timeout_s`."""
    with trio.move_on_after(timeout_s):
        while True:
            value = condition()
            if hasattr(value, "__await__"):
                value = await value
            if value:
                return
            await trio.sleep(_POLL_S)
    raise AssertionError(f"{what} did not come true within {timeout_s:g} s")


def wait_until(condition: Any, timeout_s: float = 30.0, what: str = "the condition") -> None:
    """The same for a plain test."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_s:g} s"
        time.sleep(_POLL_S)
