"""`Idempotency-Key` at the door: who waits for whom, what is the same request, what is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from miroir.api.idempotency import IdempotencyKeys
from miroir.api.messages import Request, Response, json_response
from miroir.errors import ApiError, miroir_error
from miroir.store import NewTask, Store
from miroir.store.sqlite import open_sqlite
from miroir.tasks import enqueued_view
from miroir.telemetry import Metrics

WRITE = Request(
    "POST",
    "/indexes/books/documents",
    b"primaryKey=id",
    {b"authorization": b"Bearer one", b"idempotency-key": b"k", b"content-type": b"application/json"},
    b'[{"id":1}]',
)


class Door:
    """Keys before an endpoint that registers a task, and does what a test wants before."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.metrics = Metrics()
        self.keys = IdempotencyKeys(store, self.metrics, ttl_s=60)
        self.type = "documentAdditionOrUpdate"
        self.calls = 0
        self.go = trio.Event()
        self.go.set()
        self.refusals: list[Exception] = []

    async def endpoint(self, _: Request) -> Response:
        self.calls += 1
        await self.go.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        now = "2026-03-01T12:00:00Z"
        task = await self.store.add_task(NewTask("books", self.type, {}, now, status="succeeded", finished_at=now))
        return json_response(202, enqueued_view(task))

    async def send(self, request: Request = WRITE) -> Response:
        return await self.keys.answer(request, self.endpoint)

    def counted(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("miroir_idempotency_hits_total", {"outcome": outcome})


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with await open_sqlite(tmp_path / "store.db") as store:
        yield Door(store)


async def test_the_same_request_is_answered_the_same_and_done_once(door: Door) -> None:
    first, second = await door.send(), await door.send()
    assert (second.status, orjson.loads(second.body)) == (202, orjson.loads(first.body))
    assert door.calls == 1
    assert (door.counted("miss"), door.counted("dedup")) == (1, 1)


@pytest.mark.parametrize("type", ["taskCancelation", "taskDeletion"])
async def test_work_on_tasks_is_answered_with_200_as_at_first(door: Door, type: str) -> None:
    door.type = type
    await door.send()
    assert (await door.send()).status == 200


@pytest.mark.parametrize(
    "other",
    [
        replace(WRITE, body=b'[{"id":2}]'),
        replace(WRITE, method="PUT"),
        replace(WRITE, path="/indexes/films/documents"),
        replace(WRITE, query_string=b""),
        replace(WRITE, headers={**WRITE.headers, b"content-type": b"application/x-ndjson"}),
        replace(WRITE, headers={**WRITE.headers, b"content-encoding": b"gzip"}),
    ],
    ids=["body", "method", "path", "query", "type", "encoding"],
)
async def test_another_request_is_refused(door: Door, other: Request) -> None:
    await door.send()
    with pytest.raises(ApiError) as refusal:
        await door.send(other)
    assert (refusal.value.status, refusal.value.code) == (409, "miroir_idempotency_key_reused")
    assert door.calls == 1
    assert door.counted("conflict") == 1


async def test_large_bodies_are_told_apart_too(door: Door) -> None:
    large = replace(WRITE, body=b"[" + b" " * (2 << 20) + b"]")
    assert (await door.send(large)).body == (await door.send(replace(large))).body
    with pytest.raises(ApiError):
        await door.send(replace(large, body=large.body + b" "))


async def test_credentials_do_not_share_keys(door: Door) -> None:
    first = await door.send()
    second = await door.send(replace(WRITE, headers={**WRITE.headers, b"authorization": b"Bearer two"}))
    assert orjson.loads(first.body)["taskUid"] != orjson.loads(second.body)["taskUid"]


async def test_who_comes_while_the_first_is_under_way_waits_and_gets_its_task(door: Door) -> None:
    door.go = trio.Event()
    answers: list[Response] = []

    async def send() -> None:
        answers.append(await door.send())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.05)
        for _ in range(3):
            nursery.start_soon(send)
        with pytest.raises(ApiError):
            await door.send(replace(WRITE, body=b"[]"))
        await wait_all_tasks_blocked(0.05)
        assert (door.calls, answers) == (1, [])
        door.go.set()
    assert door.calls == 1
    assert len({answer.body for answer in answers}) == 1
    assert door.counted("waited") == 3


async def test_who_waited_for_one_that_was_refused_is_carried_out(door: Door) -> None:
    door.go = trio.Event()
    door.refusals.append(miroir_error("miroir_reserved_field", "no"))
    answers: list[Response] = []

    async def refused() -> None:
        with pytest.raises(ApiError):
            await door.send()

    async def carried_out() -> None:
        answers.append(await door.send())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refused)
        await wait_all_tasks_blocked(0.05)
        nursery.start_soon(carried_out)
        await wait_all_tasks_blocked(0.05)
        door.go.set()
    assert door.calls == 2
    assert answers[0].status == 202


async def test_a_refused_request_leaves_its_key_to_a_corrected_one(door: Door) -> None:
    door.refusals.append(miroir_error("miroir_reserved_field", "no"))
    with pytest.raises(ApiError):
        await door.send()
    assert (await door.send(replace(WRITE, body=b"[]"))).status == 202


async def test_one_that_was_given_up_leaves_nobody_waiting(door: Door) -> None:
    door.go = trio.Event()
    with trio.move_on_after(0.05):
        await door.send()
    door.go.set()
    with trio.fail_after(60):
        assert (await door.send()).status == 202


async def test_the_task_may_be_forgotten_before_its_key(door: Door) -> None:
    first = await door.send()
    assert await door.store.prune_tasks("2100-01-01T00:00:00Z", 100) == 1
    assert (await door.send()).body == first.body
