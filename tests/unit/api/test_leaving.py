"""Clients that leave: a read that has run for a while is given up, anything else is not."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from miroir.api import Admission, BodyBudget, Clients, DataPlane, Router
from miroir.api.messages import Request, Response
from miroir.http import Message
from miroir.security import DataDoor
from miroir.telemetry import Metrics
from tests.unit.security.strangers import Nobody, no_keys


class Rig:
    """A data plane whose endpoints sleep, and a client that leaves at a given second."""

    def __init__(self, leaves_at: float) -> None:
        self.leaves_at = leaves_at
        self.clients = Clients()
        self.metrics = Metrics()
        self.finished: list[str] = []
        self.received = 0
        self.receiving = 0
        router = Router()
        router.add("GET", "/read", self.sleep, action="stats.get")
        router.add("POST", "/search", self.sleep, reads=True, action="stats.get")
        router.add("POST", "/write", self.sleep, action="stats.get")
        self.plane = DataPlane(
            router,
            DataDoor(None, no_keys(), Nobody()),
            Admission(5),
            BodyBudget(1000, largest=1000),
            self.metrics,
            timeout_s=20.0,
            rng=Random(7),
            clients=self.clients,
        )

    async def sleep(self, request: Request) -> Response:
        await trio.sleep(float(request.query()[0][1]))
        self.finished.append(request.path)
        return Response(200)

    async def receive(self) -> Message:
        assert not self.receiving, "one reader per connection"
        self.receiving += 1
        try:
            self.received += 1
            if self.received == 1:
                return {"type": "http.request", "body": b"", "more_body": False}
            await trio.sleep_until(self.leaves_at)
            return {"type": "http.disconnect"}
        finally:
            self.receiving -= 1

    async def request(self, method: str, path: str, seconds: float) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            assert not self.receiving, "whoever watches must have stopped before the answer"
            await trio.lowlevel.checkpoint()
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"s=%g" % seconds,
            "headers": [],
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.clients.run)
            await self.plane(scope, self.receive, send)
            nursery.cancel_scope.cancel()
        assert not self.clients.running
        return sent


@pytest.mark.parametrize(("method", "path"), [("GET", "/read"), ("POST", "/search")])
async def test_a_read_is_given_up(method: str, path: str, autojump_clock: MockClock) -> None:
    rig = Rig(leaves_at=trio.current_time() + 3)
    began = trio.current_time()
    assert await rig.request(method, path, 10) == []
    assert trio.current_time() - began < 4
    assert rig.finished == []
    assert b'status="499"' in rig.metrics.render()[0]


async def test_a_write_is_not(autojump_clock: MockClock) -> None:
    rig = Rig(leaves_at=trio.current_time() + 3)
    began = trio.current_time()
    assert [message.get("status") for message in await rig.request("POST", "/write", 10)] == [200, None]
    assert trio.current_time() - began >= 10
    assert rig.received == 1


async def test_a_quick_read_is_not_watched(autojump_clock: MockClock) -> None:
    rig = Rig(leaves_at=0)
    assert len(await rig.request("GET", "/read", 0.05)) == 2
    assert rig.received == 1


async def test_a_slow_read_whose_client_stays_is_answered(autojump_clock: MockClock) -> None:
    rig = Rig(leaves_at=trio.current_time() + 1000)
    assert len(await rig.request("GET", "/read", 10)) == 2
    assert rig.received == 2


async def test_patience_ends_all_the_same(autojump_clock: MockClock) -> None:
    rig = Rig(leaves_at=trio.current_time() + 1000)
    assert (await rig.request("GET", "/read", 100))[0]["status"] == 504
