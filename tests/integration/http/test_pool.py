"""The pool over real sockets, against our server and against peers that misbehave."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from miroir.http import (
    BadResponse,
    ConnectFailed,
    ConnectionLost,
    ExchangeError,
    Pool,
    PoolClosed,
    Receive,
    Response,
    Scope,
    Send,
)
from tests.integration.http.sockets import Client, client_tls, echo, peer, read_body, reply, running, server_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pool_for(port: int, **options: Any) -> Pool:
    return Pool(f"http://127.0.0.1:{port}", **options)


async def test_request_and_reuse() -> None:
    opened: list[None] = []
    heads: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heads.append(scope["headers"])
        await echo(scope, receive, send)

    async with running(app) as server:
        pool = Pool(
            f"http://127.0.0.1:{server.port}",
            default_headers=[(b"authorization", b"Bearer k")],
            on_connect=lambda: opened.append(None),
        )
        for i in range(5):
            answer = await pool.request("POST", f"/{i}", headers=[(b"content-type", b"a/b")], body=b"body")
            assert (answer.status, answer.body, answer.header(b"content-type")) == (200, b"/%d:body" % i, b"text/plain")
        assert heads[0] == [
            (b"host", b"127.0.0.1:%d" % server.port), (b"authorization", b"Bearer k"),
            (b"content-type", b"a/b"), (b"content-length", b"4"),
        ]  # fmt: skip
        assert (len(opened), pool.idle, pool.in_use, pool.waiting) == (1, 1, 0, 0)
        assert (await pool.request("HEAD", "/")).body == b""
        assert (await pool.request("DELETE", "/x")).body == b"/x:"
        assert len(opened) == 1
        await pool.aclose()
        with pytest.raises(PoolClosed):
            await pool.request("GET", "/")


async def test_answers_are_taken_in_any_order_by_one_task() -> None:
    release = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        await echo(scope, receive, send)

    async with running(app) as server:
        pool = pool_for(server.port)
        slow, fast = await pool.start("GET", "/slow"), await pool.start("GET", "/fast")
        while not fast.has_arrived():
            await trio.sleep(0.001)
        assert not slow.has_arrived()
        assert (await fast.response()).body == b"/fast:"
        assert not fast.has_arrived()
        assert (pool.in_use, pool.idle) == (1, 1)
        slow.abandon()
        slow.abandon()
        assert (pool.in_use, pool.idle) == (0, 1)
        with pytest.raises(RuntimeError):
            await slow.response()
        release.set()
        await pool.aclose()


async def test_bounded_and_first_come_first_served() -> None:
    running_now = peak = 0
    order: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running_now, peak
        running_now += 1
        peak = max(peak, running_now)
        await trio.lowlevel.checkpoint()
        running_now -= 1
        await reply(send, b"")

    async with running(app) as server:
        pool = pool_for(server.port, max_total=2)
        held = [await pool.start("GET", "/"), await pool.start("GET", "/")]

        async def one(number: int) -> None:
            await pool.request("GET", "/")
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(one, number)
                await trio.testing.wait_all_tasks_blocked()
            assert (pool.waiting, pool.in_use) == (10, 2)
            held[1].abandon()
            while len(order) < 3:
                await trio.sleep(0.001)
            assert order == list(range(len(order)))
            await held[0].response()
        assert sorted(order) == list(range(10))
        assert peak <= 2
        assert (pool.waiting, pool.in_use) == (0, 0)
        await pool.aclose()


async def test_a_place_is_not_lost_when_who_waited_for_it_is_cancelled() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port, max_total=1)
        held = await pool.start("GET", "/")
        with trio.move_on_after(0.02):
            await pool.request("GET", "/")
        assert pool.waiting == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.request, "GET", "/")
            await trio.testing.wait_all_tasks_blocked()
            held.abandon()  # grants the place, and in the same turn the one it was granted to is cancelled
            nursery.cancel_scope.cancel()
        assert pool.in_use == 0
        assert (await pool.request("GET", "/a")).body == b"/a:"
        await pool.aclose()


async def test_close_turns_the_waiting_away() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port, max_total=1)
        held = await pool.start("GET", "/")
        seen: list[Exception] = []

        async def wait() -> None:
            try:
                await pool.request("GET", "/")
            except PoolClosed as exc:
                seen.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await pool.aclose()
        assert len(seen) == 1
        assert (await held.response()).status == 200
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_idle_connections_are_bounded_in_number_and_age() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port, max_idle=2)
        exchanges = [await pool.start("GET", "/") for _ in range(4)]
        for exchange in exchanges:
            await exchange.response()
        assert pool.idle == 2
        await pool.aclose()
        brief = pool_for(server.port, idle_timeout_s=0)
        await brief.request("GET", "/")
        await trio.sleep(0.002)
        await brief.request("GET", "/")
        assert brief.idle == 1
        await brief.aclose()


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    closed = trio.Event()

    async def handler(client: Client, number: int) -> None:
        await client.until(b"\r\n\r\n")
        await client.send(OK)
        await trio.aclose_forcefully(client.stream)
        closed.set()

    async with peer(handler) as address:
        pool = Pool(address)
        assert (await pool.request("POST", "/")).body == b"ok"
        await closed.wait()
        assert (await pool.request("POST", "/")).body == b"ok"
        await pool.aclose()


async def close_after_second_request(client: Client, number: int) -> None:
    """The first connection answers once and breaks when the next request has arrived; others answer."""
    await client.until(b"\r\n\r\n")
    await client.send(OK)
    await client.until(b"\r\n\r\n")
    if number > 1:
        await client.send(OK)


@pytest.mark.parametrize(
    ("method", "idempotent", "again"), [("GET", False, True), ("POST", True, True), ("POST", False, False)]
)
async def test_only_a_read_is_sent_again(method: str, idempotent: bool, again: bool) -> None:
    async with peer(close_after_second_request) as address:
        pool = Pool(address)
        await pool.request("GET", "/")
        if again:
            assert (await pool.request(method, "/", idempotent=idempotent)).body == b"ok"
        else:
            with pytest.raises(ConnectionLost) as caught:
                await pool.request(method, "/", idempotent=idempotent)
            assert caught.value.sent
        assert pool.in_use == 0
        await pool.aclose()


async def test_a_read_is_not_sent_again_when_something_came_back_or_the_connection_was_fresh() -> None:
    requests = 0

    async def handler(client: Client, number: int) -> None:
        nonlocal requests
        while True:
            await client.until(b"\r\n\r\n")
            requests += 1
            if requests == 1:
                return  # a fresh connection
            await client.send(OK if requests == 2 else b"H")
            if requests == 3:
                return  # a reused one, but a byte came back

    async with peer(handler) as address:
        pool = Pool(address)
        for expected in (ConnectionLost, None, ConnectionLost):
            if expected is None:
                await pool.request("GET", "/")
            else:
                with pytest.raises(expected):
                    await pool.request("GET", "/")
        assert requests == 3
        await pool.aclose()


BAD: list[tuple[bytes, type[ExchangeError]]] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", ConnectionLost),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ConnectionLost),
    (b"HTTP/1.1 20", ConnectionLost),
    (b"", ConnectionLost),
    (b"220 smtp.example.org ESMTP\r\n", BadResponse),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", BadResponse),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001, BadResponse),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BadResponse),
]


@pytest.mark.parametrize(("answer", "error"), BAD)
async def test_a_node_that_answers_badly(answer: bytes, error: type[ExchangeError]) -> None:
    async def handler(client: Client, number: int) -> None:
        await client.until(b"\r\n\r\n")
        await client.send(answer)

    async with peer(handler) as address:
        pool = Pool(address, max_response_bytes=1000)
        with pytest.raises(error) as caught:
            await pool.request("GET", "/")
        assert caught.value.sent
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_nobody_there() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    pool = pool_for(port)
    with pytest.raises(ConnectFailed) as caught:
        await pool.request("POST", "/", body=b"x")
    assert not caught.value.sent
    assert pool.in_use == 0


async def test_cancellation_closes_the_connection() -> None:
    asked, gone = trio.Event(), trio.Event()

    async def handler(client: Client, number: int) -> None:
        await client.until(b"\r\n\r\n")
        asked.set()
        try:
            await client.rest()
        finally:
            gone.set()

    async with peer(handler) as address:
        pool = Pool(address)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.request, "GET", "/")
            await asked.wait()
            nursery.cancel_scope.cancel()
        assert nursery.cancel_scope.cancelled_caught
        await gone.wait()
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_nothing_is_sent_after_the_deadline() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port)
        await pool.request("GET", "/")
        with trio.CancelScope() as scope:
            scope.cancel()
            await pool.start("POST", "/")
        assert scope.cancelled_caught
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_an_early_answer_ends_a_large_request() -> None:
    async def handler(client: Client, number: int) -> None:
        await client.until(b"\r\n\r\n")
        await client.send(OK)
        await trio.sleep_forever()  # neither reads on nor closes

    async with peer(handler) as address:
        pool = Pool(address)
        assert (await pool.request("POST", "/", body=b"a" * 50_000_000)).body == b"ok"
        assert pool.idle == 0


async def test_large_bodies_pass_whole() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port)
        body = bytes(range(256)) * 40_000
        assert (await pool.request("POST", "/", body=body)).body == b"/:" + body
        assert pool.idle == 1
        await pool.aclose()


async def test_chunked_and_close_delimited_answers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"a" * 70_000, b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def until_close(client: Client, number: int) -> None:
        await client.until(b"\r\n\r\n")
        await client.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with running(app) as server:
        pool = pool_for(server.port)
        assert (await pool.request("GET", "/")).body == b"a" * 70_000 + b"b"
        assert pool.idle == 1
        await pool.aclose()
    async with peer(until_close) as address:
        pool = Pool(address)
        assert (await pool.request("GET", "/")).body == b"all of it"
        assert pool.idle == 0


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/é", "/\0"])
async def test_a_target_cannot_break_the_head(target: str) -> None:
    with pytest.raises(ValueError, match="request line"):
        await Pool("http://127.0.0.1:1").start("GET", target)


async def test_a_header_cannot_break_the_head() -> None:
    with pytest.raises(ValueError, match="line break"):
        await Pool("http://127.0.0.1:1").start("GET", "/", headers=[(b"a", b"b\r\nc: d")])


@pytest.mark.parametrize("address", ["127.0.0.1:7700", "ftp://x", "http://", "http://x/path"])
def test_not_an_address(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Pool(address)


async def test_tls() -> None:
    async with running(echo, tls=server_tls()) as server:
        pool = Pool(f"https://localhost:{server.port}", tls=client_tls())
        body = b"a" * 500_000
        for _ in range(3):
            assert (await pool.request("POST", "/", body=body)).body == b"/:" + body
        exchange = await pool.start("GET", "/x")
        while not exchange.has_arrived():
            await trio.sleep(0.001)
        assert (await exchange.response()).body == b"/x:"
        await pool.aclose()
        strangers = Pool(f"https://localhost:{server.port}")
        with pytest.raises(ConnectFailed):
            await strangers.request("GET", "/")


async def test_many_at_once() -> None:
    async with running(echo) as server:
        pool = pool_for(server.port, max_total=8, max_idle=4)
        answers: dict[int, Response] = {}

        async def one(number: int) -> None:
            answers[number] = await pool.request("POST", f"/{number}", body=b"x" * number)

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(partial(one, number))
        assert all(answers[number].body == b"/%d:" % number + b"x" * number for number in range(200))
        assert (pool.in_use, pool.idle, pool.waiting) == (0, 4, 0)
        await pool.aclose()
