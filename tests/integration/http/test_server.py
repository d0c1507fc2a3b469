"""The server over real sockets."""

from __future__ import annotations

import logging

import orjson
import pytest
import trio
import trio.testing

from miroir.errors import miroir_error
from miroir.http import ClientDisconnected, Receive, Scope, Send, ServerLimits
from tests.integration.http.sockets import Client, client_tls, echo, read_body, reply, running, server_tls

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_keep_alive_and_scope() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    async with running(app, state={"a": 1}) as server:
        client = await server.connect()
        for path in (b"one", b"tw%20o?x=1"):
            await client.send(GET % path)
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"/" + path.partition(b"?")[0] + b":")
            assert b"connection" not in headers
            assert b"date" in headers
    scope = seen[1]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/tw o", b"/tw%20o", b"x=1")
    assert (scope["type"], scope["scheme"], scope["http_version"], scope["state"]) == ("http", "http", "1.1", {"a": 1})
    assert scope["headers"] == [(b"host", b"x")]
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
    assert seen[0]["client"] == scope["client"]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running(echo) as server:
        client = await server.connect()
        requests = b"".join(
            b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % (i, i) for i in range(50)
        )
        await client.send(requests)
        for i in range(50):
            assert (await client.answer())[2] == b"/%d:%02d" % (i, i)


async def test_unread_small_body_does_not_become_a_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["raw_path"])

    async with running(app) as server:
        client = await server.connect()
        inner = GET % b"smuggled"
        await client.send(b"POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner))
        await client.answer()
        await client.send(inner + GET % b"next")
        assert (await client.answer())[2] == b"/next"


async def test_unread_chunked_body_ends_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"no")

    async with running(app) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
        assert (await client.answer())[1][b"connection"] == b"close"
        assert await client.rest() == b""


async def test_chunked_both_ways() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (message := await receive())["more_body"]:
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": message["body"]})

    async with running(app) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two"):
            await client.send(b"%x\r\n%s\r\n" % (len(word), word))
            assert word in await client.until(word)  # an echo before the body has ended
            await client.until(b"\r\n")
        await client.send(b"0\r\nTrailer: dropped\r\n\r\n")
        assert await client.rest() == b"0\r\n\r\n"  # begun before its request had ended, so the last on its connection


async def test_expect_continue_is_answered_when_the_body_is_wanted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (echo(scope, receive, send) if scope["path"] == "/yes" else reply(send, b"unwanted", 401))

    head = b"POST /%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with running(app) as server:
        client = await server.connect()
        await client.send(head % b"yes")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.answer())[2] == b"/yes:abc"
        await client.send(head % b"no")
        status, headers, _ = await client.answer()
        assert (status, headers[b"connection"]) == (401, b"close")


async def test_head_and_http_1_0() -> None:
    async with running(echo) as server:
        client = await server.connect()
        await client.send(b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n" + GET % b"after")
        assert (await client.answer(is_head=True))[1][b"content-length"] == b"5"
        assert (await client.answer())[2] == b"/after:"
        old = await server.connect()
        await old.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert (await old.rest()).endswith(b"\r\n\r\n/old:")


async def test_upgrade_offer_is_ignored() -> None:
    async with running(echo) as server:
        client = await server.connect()
        head = b"POST /u HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\n"
        await client.send(head + b"body" + GET % b"next")
        assert (await client.answer())[2] == b"/u:body"
        assert (await client.answer())[2] == b"/next:"


async def test_what_is_not_http_is_refused_without_a_body() -> None:
    async with running(echo) as server:
        for stream, status in (
            (b"\x16\x03\x01", 400),
            (GET % b"" + b"bad head\r\n\r\n", 400),
            (b"GET /" + b"a" * 70000, 431),
        ):
            client = await server.connect()
            await client.send(stream)
            if stream.startswith(b"GET / "):
                assert (await client.answer())[0] == 200
            seen, headers, _ = await client.answer()
            assert (seen, headers[b"content-length"], headers[b"connection"]) == (status, b"0", b"close")
            assert await client.rest() == b""


@pytest.mark.parametrize("framing", [b"Content-Length: 200000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("catching", [False, True])
async def test_payload_too_large(framing: bytes, catching: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await echo(scope, receive, send)
        except Exception as exc:
            if not catching:
                raise ExceptionGroup("as a nursery would", [exc]) from exc
            raise

    async with running(app, limits=ServerLimits(max_body_bytes=100_000)) as server:
        client = await server.connect()
        body = b"a" * 200_000 if b"Length" in framing else b"30d40\r\n" + b"a" * 200_000 + b"\r\n0\r\n\r\n"
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % framing + body)
        status, headers, answer = await client.answer()
        assert (status, headers[b"connection"]) == (413, b"close")
        assert orjson.loads(answer) == {
            "message": "The provided payload reached the size limit. The maximum accepted payload size is 100 KB.",
            "code": "payload_too_large",
            "type": "invalid_request",
            "link": "https://docs.meilisearch.com/errors#payload_too_large",
        }


async def test_body_limit_of_a_route() -> None:
    limits: dict[str, int | None] = {"/small": 1, "/any": None}
    async with running(
        echo, limits=ServerLimits(max_body_bytes=2), body_limit=lambda scope: limits[scope["path"]]
    ) as server:
        client = await server.connect()
        await client.send(b"POST /any HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert (await client.answer())[2] == b"/any:abc"
        await client.send(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        assert (await client.answer())[0] == 413


async def test_broken_chunks_are_the_clients_fault() -> None:
    async with running(echo) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n")
        status, _, body = await client.answer()
        assert (status, orjson.loads(body)["code"]) == (400, "bad_request")


async def test_app_errors(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        if scope["path"] == "/api":
            raise miroir_error("miroir_overloaded", "busy")
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if scope["path"] == "/held":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] != "/silent":
            raise RuntimeError("secret")

    async with running(app) as server:
        client = await server.connect()
        await client.send(GET % b"api")
        status, headers, body = await client.answer()
        assert (status, headers[b"retry-after"], orjson.loads(body)["code"]) == (503, b"1", "miroir_overloaded")
        assert not caplog.records
        for path in (b"boom", b"held", b"silent"):
            await client.send(GET % path)
            status, _, body = await client.answer()
            error = orjson.loads(body)
            assert (status, error["code"], error["type"]) == (500, "internal", "internal")
            assert b"secret" not in body
        assert len(caplog.records) == 3
        await client.send(GET % b"half")
        with pytest.raises(EOFError):
            await client.answer()


SLOW: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (b"GET / HTTP/1.1\r\nHo", b"HTTP/1.1 408"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 408"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"HTTP/1.1 408"),
    (GET % b"", b"HTTP/1.1 200"),
]


@pytest.mark.parametrize(("start", "answer"), SLOW)
async def test_slow_clients_are_given_up(start: bytes, answer: bytes) -> None:
    limits = ServerLimits(head_timeout_s=0.1, body_idle_timeout_s=0.1, idle_timeout_s=0.1, send_timeout_s=0.1)
    async with running(echo, limits=limits) as server:
        client = await server.connect()
        if start:
            await client.send(start)
        assert (await client.rest())[:12] == answer


async def test_a_dripping_body_is_not_progress() -> None:
    limits = ServerLimits(body_idle_timeout_s=0.2, min_body_rate=1_000_000)
    async with running(echo, limits=limits) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        answered = trio.Event()

        async def drip() -> None:
            while not answered.is_set():
                await client.send(b"a")
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            assert (await client.answer())[0] == 408
            answered.set()


async def test_a_client_that_does_not_read_holds_its_app_back_and_is_given_up() -> None:
    outcome: list[Exception] = []
    written = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
                written += 1_000_000
        except ClientDisconnected as exc:
            outcome.append(exc)
            raise

    async with running(app, limits=ServerLimits(send_timeout_s=0.2)) as server:
        client = await server.connect()
        await client.send(GET % b"")
        while not outcome:
            await trio.sleep(0.01)
    assert written < 50_000_000


async def test_large_bodies_pass_whole() -> None:
    async with running(echo) as server:
        client = await server.connect()
        body = bytes(range(256)) * 40_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                client.send, b"POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert (await client.answer())[2] == b"/l:" + body


async def test_an_app_that_does_not_read_holds_its_client_back() -> None:
    go_on = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await reply(send, b"%d" % len(await read_body(receive)))

    async with running(app) as server:
        client = await server.connect()
        size = 50_000_000
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        with trio.move_on_after(0.3) as scope:
            await client.send(b"a" * size)
        assert scope.cancelled_caught
        go_on.set()


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_client_gone_is_noticed_while_the_request_waits(leave: str) -> None:
    waiting, noticed = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_body(receive) == b""

        async def watch() -> None:
            assert (await receive())["type"] == "http.disconnect"
            noticed.set()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            waiting.set()
            await trio.sleep_forever()

    async with running(app) as server:
        client = await server.connect()
        await client.send(GET % b"")
        await waiting.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not noticed.is_set()
        stream = client.stream
        assert isinstance(stream, trio.SocketStream)
        if leave == "reset":
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        await noticed.wait()


async def test_watching_takes_no_pipelined_request_away() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/watch":
            await read_body(receive)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await trio.testing.wait_all_tasks_blocked(0.05)
                nursery.cancel_scope.cancel()
        await reply(send, scope["raw_path"])

    async with running(app) as server:
        client = await server.connect()
        await client.send(GET % b"watch")
        await client.send(GET % b"next")
        assert (await client.answer())[2] == b"/watch"
        assert (await client.answer())[2] == b"/next"


async def test_receive_after_the_answer_says_disconnect_also_to_one_already_waiting() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)

        async def watch() -> None:
            seen.append((await receive())["type"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await reply(send, b"done")
        seen.append((await receive())["type"])

    async with running(app) as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(GET % b"")
            assert (await client.answer())[2] == b"done"
    assert seen == ["http.disconnect"] * 4


async def test_drain() -> None:
    running_now, finish = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            running_now.set()
            await finish.wait()
        elif scope["path"] == "/stream":
            await read_body(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            assert (await receive())["type"] == "http.disconnect"
            await send({"type": "http.response.body", "body": b"last"})
            return
        await reply(send, b"done")

    async with running(app) as server:
        silent, idle, slow, stream = [await server.connect() for _ in range(4)]
        await idle.send(GET % b"")
        await idle.answer()
        await slow.send(GET % b"slow")
        await stream.send(GET % b"stream")
        await stream.until(b"first\r\n")
        await running_now.wait()
        server.stop.set()
        assert await idle.rest() == b""
        assert await silent.rest() == b""
        assert b"last" in await stream.rest()
        with pytest.raises(OSError, match="connect"):
            await server.connect()
        assert not server.ended.is_set()
        finish.set()
        _, headers, body = await slow.answer()
        assert (headers[b"connection"], body) == (b"close", b"done")
        await server.ended.wait()


async def test_what_outlives_the_grace_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with running(app, grace_s=0.05) as server:
        client = await server.connect()
        await client.send(GET % b"")
        await started.wait()
        server.stop.set()
        await server.ended.wait()
        assert cancelled.is_set()
        assert await client.rest() == b""
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_room_is_made_by_closing_the_longest_idle() -> None:
    async with running(echo, limits=ServerLimits(max_connections=3)) as server:
        clients: list[Client] = []
        for i in range(6):
            client = await server.connect()
            await client.send(GET % b"%d" % i)
            assert (await client.answer())[2] == b"/%d:" % i
            clients.append(client)
        for client in clients[:3]:
            assert await client.rest() == b""
        await clients[-1].send(GET % b"again")
        assert (await clients[-1].answer())[2] == b"/again:"


async def test_many_slow_clients_do_not_starve_a_fast_one() -> None:
    async with running(echo) as server:
        slow = [await server.connect() for _ in range(300)]
        for client in slow:
            await client.send(b"GET / HTTP/1.1\r\nHost")
        fast = await server.connect()
        with trio.fail_after(20):
            for _ in range(100):
                await fast.send(GET % b"")
                assert (await fast.answer())[0] == 200
        for client in slow:
            await client.stream.aclose()


async def test_tls() -> None:
    async with running(echo, tls=server_tls()) as server:
        plain = (await server.connect()).stream
        client = Client(trio.SSLStream(plain, client_tls(), server_hostname="localhost", https_compatible=True))
        for size in (3, 500_000):
            body = b"a" * size
            await client.send(b"POST /t HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body)
            assert (await client.answer())[2] == b"/t:" + body


async def test_tls_idle_timeout_and_drain() -> None:
    async with running(echo, tls=server_tls(), limits=ServerLimits(head_timeout_s=0.1, idle_timeout_s=60)) as server:
        silent = await server.connect()
        assert await silent.rest() == b""
        plain = (await server.connect()).stream
        client = Client(trio.SSLStream(plain, client_tls(), server_hostname="localhost", https_compatible=True))
        await client.send(GET % b"")
        await client.answer()
        server.stop.set()
        await server.ended.wait()


async def test_a_new_client_waits_while_every_connection_is_busy() -> None:
    arrived, finish = [trio.Event() for _ in range(3)], trio.Event()
    busy = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal busy
        arrived[busy].set()
        busy += 1
        await finish.wait()
        await reply(send, b"done")

    async with running(app, limits=ServerLimits(max_connections=1)) as server:
        clients: list[Client] = []
        for i in range(3):
            clients.append(await server.connect())
            await clients[i].send(GET % b"")
            if i < 2:  # one is accepted beyond the limit, in the hope that room can be made for it
                await arrived[i].wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert busy == 2
        finish.set()
        for client in clients:
            assert (await client.answer())[2] == b"done"
