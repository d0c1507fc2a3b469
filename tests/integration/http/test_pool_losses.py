"""What a pool notices of a node that went away, and that a witnessed request never meets a stranger."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

from miroir.http import ConnectionLost, Pool, Unwitnessed
from tests.integration.http.sockets import Client, peer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Node:
    """Answers, with one life after another: `restart` closes every connection."""

    def __init__(self) -> None:
        self.life = 1
        self.clients: list[Client] = []
        self.writes: list[int] = []
        self.closes = False

    async def __call__(self, client: Client, _: int) -> None:
        self.clients.append(client)
        with contextlib.suppress(trio.ClosedResourceError):  # restarted
            await self.live(client, self.life)

    async def live(self, client: Client, life: int) -> None:
        while True:
            head = await client.until(b"\r\n\r\n")
            if head.startswith(b"POST"):
                self.writes.append(life)
            if life == 1 and b"/silent" in head:
                await trio.sleep_forever()
            await client.send(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n") if self.closes else OK)

    async def restart(self) -> None:
        self.life += 1
        for client in self.clients:
            await trio.aclose_forcefully(client.stream)
        self.clients.clear()
        await trio.testing.wait_all_tasks_blocked(0.01)


async def warmed(address: str, node: Node, connections: int = 1, **options: Any) -> tuple[Pool, list[int]]:
    """A pool with so many idle connections, and the list in which its losses are counted."""
    pool = Pool(address, **options)
    losses: list[int] = []
    pool.on_lost = lambda: losses.append(node.life)
    exchanges = [await pool.start("GET", "/") for _ in range(connections)]
    for exchange in exchanges:
        await exchange.response()
    assert losses == []
    return pool, losses


async def test_an_idle_connection_found_closed_is_a_loss_and_stops_a_witnessed_request() -> None:
    node = Node()
    async with peer(node) as address:
        pool, losses = await warmed(address, node)
        await pool.request("POST", "/", witnessed=True)
        await node.restart()
        with pytest.raises(Unwitnessed) as caught:
            await pool.request("POST", "/", witnessed=True)
        assert not caught.value.sent
        assert losses
        assert node.writes == [1]
        # Whoever has looked since then may go on, over the connection that was made meanwhile or a new one.
        await pool.request("GET", "/")
        await pool.request("POST", "/", witnessed=True)
        assert node.writes == [1, 2]
        await pool.aclose()


async def test_a_read_goes_on_and_tells() -> None:
    node = Node()
    async with peer(node) as address:
        pool, losses = await warmed(address, node)
        await node.restart()
        assert (await pool.request("GET", "/")).body == b"ok"
        assert losses
        await pool.aclose()


async def test_new_connections_need_one_that_stands() -> None:
    node = Node()
    async with peer(node) as address:
        pool, losses = await warmed(address, node)
        busy = await pool.start("GET", "/")
        await pool.request("POST", "/", witnessed=True)  # the busy one stands witness for the new one
        assert losses == []
        await busy.response()
        # None is left, and none was found closed: they were given up by us. Nothing says who is there.
        for exchange in [await pool.start("GET", "/") for _ in range(pool.idle)]:
            exchange.abandon()
        assert pool.idle == 0
        await node.restart()
        with pytest.raises(Unwitnessed):
            await pool.request("POST", "/", witnessed=True)
        assert node.writes == [1]
        assert losses == [2]
        await pool.aclose()


async def test_busy_connections_that_ended_stand_witness_for_nobody() -> None:
    node = Node()
    async with peer(node) as address:
        pool, losses = await warmed(address, node)
        busy = await pool.start("POST", "/silent")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await node.restart()
        with pytest.raises(Unwitnessed):
            await pool.request("POST", "/", witnessed=True)
        assert losses == [2]
        with pytest.raises(ConnectionLost):
            await busy.response()
        assert losses == [2, 2]
        assert node.writes == [1]
        await pool.aclose()


async def test_a_write_that_waited_for_its_turn_is_stopped_by_a_loss_in_between() -> None:
    node = Node()
    async with peer(node) as address:
        pool, _ = await warmed(address, node, max_total=1)
        busy = await pool.start("GET", "/silent")
        failures: list[type[Exception]] = []

        async def write() -> None:
            with pytest.raises(Unwitnessed) as caught:
                await pool.request("POST", "/", witnessed=True)
            failures.append(caught.type)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert pool.waiting == 1
            await node.restart()
            assert (await busy.response()).body == b"ok"  # a read, and so sent again: to the new process
        assert failures == [Unwitnessed]
        assert node.writes == []
        assert (pool.in_use, pool.waiting) == (0, 0)
        await pool.aclose()


async def test_a_node_that_keeps_no_connection_open_cannot_be_asked_for_witnesses() -> None:
    node = Node()
    node.closes = True
    async with peer(node) as address:
        pool, losses = await warmed(address, node)
        for _ in range(3):
            await pool.request("POST", "/", witnessed=True)
        assert losses == []
        await pool.aclose()


async def test_one_idle_connection_is_always_kept() -> None:
    node = Node()
    async with peer(node) as address:
        pool, losses = await warmed(address, node, 3, max_idle=0)
        assert pool.idle == 1
        await pool.request("POST", "/", witnessed=True)
        assert losses == []
        await pool.aclose()
