"""Telling webhooks: an address that answers without end is told all the same, and costs no memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from miroir.store import TaskRow
from miroir.store.sqlite import open_sqlite
from miroir.tasks import Webhooks
from tests.unit.store.samples import new_task

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_an_answer_without_end_is_not_listened_to(tmp_path: Path) -> None:
    told: list[bytes] = []
    enough = trio.Event()

    async def answer(stream: trio.SocketStream) -> None:
        told.append(await stream.receive_some())
        await stream.send_all(_HEAD)
        if len(told) == 2:
            enough.set()
        try:
            while True:
                await stream.send_all(b"1\r\nx\r\n")
                await trio.lowlevel.checkpoint()
        except trio.BrokenResourceError:
            pass  # it has hung up

    async with await open_sqlite(tmp_path / "store.db") as store, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        webhooks = Webhooks(store)
        await webhooks.create(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/", {})
        nursery.start_soon(webhooks.run)
        task: TaskRow = await store.add_task(new_task(status="failed", finished_at="2026-03-01T12:00:00Z"))
        webhooks.ended(task)
        with trio.fail_after(60):
            while not told:
                await trio.sleep(0.01)
            webhooks.ended(replace(task, uid=1))
            await enough.wait()
        nursery.cancel_scope.cancel()
    assert all(request.startswith(b"POST / ") for request in told)


@pytest.mark.parametrize("steps", range(1, 5))
async def test_a_deletion_given_up_midway_leaves_memory_and_store_agreed(tmp_path: Path, steps: int) -> None:
    async with await open_sqlite(tmp_path / "store.db") as store:
        webhooks = Webhooks(store)
        hook = await webhooks.create("http://127.0.0.1:1/", {})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(webhooks.delete, hook.uuid)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert [each.uuid for each in webhooks.all()] == [each.uuid for each in await store.list_webhooks()]
