"""The same apps under Hypercorn: HTTP/2, and what Hypercorn alone would not keep."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from miroir.http import (
    HTTP_2,
    ASGIApp,
    Listener,
    Receive,
    Scope,
    Send,
    ServerLimits,
    open_listeners,
    server_tls,
)
from miroir.http.hypercorn_server import serve_with_hypercorn
from tests.integration.http.sockets import CERTIFICATE, Client, Running, client_tls, echo, read_body, reply
from tests.unit.http.test_request_parser import REFUSED

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def running(
    app: ASGIApp, *, limits: ServerLimits | None = None, grace_s: float = 5.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Running]:
    [plain] = await open_listeners("127.0.0.1", 0)
    listener: Listener = plain if tls is None else trio.SSLListener(plain, tls, https_compatible=True)
    server = Running(plain.socket.getsockname()[1], trio.Event(), trio.Event())
    serving = partial(
        serve_with_hypercorn,
        app,
        [listener],
        limits=limits or ServerLimits(),
        shutdown_grace_s=grace_s,
        stop=server.stop,
    )

    async def run(task_status: trio.TaskStatus[None]) -> None:
        await serving(task_status=task_status)
        server.ended.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            try:
                yield server
            finally:
                server.stop.set()
                with trio.CancelScope(shield=True):
                    for client in server.clients:
                        await trio.aclose_forcefully(client.stream)


async def test_http_2_over_tls() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with (
        running(app, tls=server_tls(CERTIFICATE, CERTIFICATE, protocols=HTTP_2)) as server,
        httpx.AsyncClient(http2=True, verify=client_tls(), trust_env=False) as client,
    ):
        body = b"a" * 300_000
        response = await client.post(f"https://localhost:{server.port}/t%20o?x=1", content=body)
        assert (response.http_version, response.content) == ("HTTP/2", b"/t%20o:" + body)
    assert [(scope["type"], scope["http_version"], scope["scheme"]) for scope in scopes] == [("http", "2", "https")]
    assert dict(scopes[0]["headers"])[b"host"] == b"localhost:%d" % server.port


async def test_http_1_and_keep_alive() -> None:
    async with running(echo) as server:
        client = await server.connect()
        for path in (b"one", b"two"):
            await client.send(GET % path)
            status, headers, body = await client.answer()
            assert (status, body) == (200, b"/" + path + b":")
            assert b"server" not in headers


# What is gone by the time Hypercorn shows a head, and has one meaning only; or waits for more, or is a body's.
READ_IN_ONE_WAY = {
    "folded header", "folded with a tab", "bare LF after a value", "bare LF after the request line", "only LF",
    "bare LF before the end", "the same length twice", "a list of lengths",
}  # fmt: skip
OF_ANOTHER_KIND = {"HTTP/2 preface", "body too large", "chunked body too large"}
LIMITS = ServerLimits(max_head_bytes=1000, max_headers=10)


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in READ_IN_ONE_WAY | OF_ANOTHER_KIND])
async def test_what_is_ambiguous_is_refused_by_the_same_table(name: str) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await reply(send, b"")

    status, stream = REFUSED[name]
    async with running(app, limits=LIMITS) as server:
        client = await server.connect()
        await client.send(stream)
        answered, headers, _ = await client.answer()
        assert answered in ((status, 501) if b"ransfer-" in stream else (status, 400))  # h11's own choice
        assert headers[b"connection"] == b"close"
        assert await client.rest() == b""
    assert not seen


async def test_the_app_sees_what_our_own_server_shows() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with running(app) as server:
        client = await server.connect()
        await client.send(b"POST http://h/a%20b?c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nUpgrade: h2c\r\n\r\nhi")
        assert (await client.answer())[2] == b"/a%20b:hi"
    [scope] = scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c")
    assert scope["headers"] == [(b"host", b"h"), (b"content-length", b"2")]


async def unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, whatever is sent."""
    await reply(send, scope["raw_path"])


async def test_pipelined_requests_whose_bodies_nobody_reads_are_answered_in_order() -> None:
    async with running(unread) as server:
        client = await server.connect()
        post = b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        await client.send(GET % b"one" + post + GET % b"two")
        for path in (b"/one", b"/post", b"/two"):
            status, headers, body = await client.answer()
            assert (status, body) == (200, path)
            assert b"connection" not in headers


@pytest.mark.parametrize("app", [echo, unread])
async def test_a_websocket_is_answered_as_if_it_were_none(app: ASGIApp) -> None:
    async with running(app) as server:
        client = await server.connect()
        await client.send(
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        status, _, body = await client.answer()
        assert (status, body[:2]) == (200, b"/a")
        assert await client.rest() == b""


async def test_too_many_headers_in_http_2() -> None:
    async with (
        running(echo, limits=LIMITS, tls=server_tls(CERTIFICATE, CERTIFICATE, protocols=HTTP_2)) as server,
        httpx.AsyncClient(http2=True, verify=client_tls(), trust_env=False) as client,
    ):
        url = f"https://localhost:{server.port}/"
        refused = await client.post(url, headers=[("a", "b")] * 20, content=b"a" * 100_000)
        assert (refused.http_version, refused.status_code) == ("HTTP/2", 431)
        assert (await client.post(url, content=b"a")).content == b"/:a"


async def test_the_app_sees_no_lifespan() -> None:
    types: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        types.append(scope["type"])
        await echo(scope, receive, send)

    async with running(app) as server:
        client = await server.connect()
        await client.send(GET % b"")
        await client.answer()
    assert types == ["http"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("http2", [False, True])
async def test_payload_too_large(chunked: bool, http2: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"%d" % len(await read_body(receive)))

    body = b"a" * 1_000_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with (
        running(
            app,
            limits=ServerLimits(max_body_bytes=20_000),
            grace_s=25,
            tls=server_tls(CERTIFICATE, CERTIFICATE, protocols=HTTP_2),
        ) as server,
        httpx.AsyncClient(http2=http2, verify=client_tls(), trust_env=False) as client,
    ):
        url = f"https://localhost:{server.port}/"
        response = await client.post(url, content=pieces() if chunked else body)
        assert response.status_code == 413
        assert response.json()["code"] == "payload_too_large"
        assert (await client.post(url, content=b"a" * 20_000)).content == b"20000"
        server.stop.set()
        with trio.fail_after(20):  # nothing is left that the grace would have to wait for
            await server.ended.wait()


async def test_a_body_that_does_not_come_is_given_up() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            seen.append(message["body"])
        seen.append(message["type"])
        await reply(send, b"", 408)

    async with running(app, limits=ServerLimits(body_idle_timeout_s=0.1)) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert (await client.answer())[0] == 408
    assert seen == [b"abc", "http.disconnect"]


async def test_a_client_that_does_not_read_holds_no_shutdown_longer_than_the_grace() -> None:
    stuck = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            with trio.move_on_after(0.2) as patience:
                await send({"type": "http.response.body", "body": b"a" * 1_000_000, "more_body": True})
            if patience.cancel_called:
                stuck.set()

    async with running(app, grace_s=0.3) as server:
        client = await server.connect()
        await client.send(GET % b"")
        await client.until(b"\r\n\r\n")  # and nothing more
        with trio.move_on_after(1.0):
            await stuck.wait()  # the send is shielded, so the app may never come back from it
        began = trio.current_time()
        server.stop.set()
        with trio.fail_after(20):
            await server.ended.wait()
        assert trio.current_time() - began >= 0.25


async def test_drain_ends_idle_connections_and_streams_and_finishes_what_runs() -> None:
    running_now, finish = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            running_now.set()
            await finish.wait()
            await reply(send, b"done")
            return
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"last"})

    async with running(app) as server:
        idle, slow, stream = [await server.connect() for _ in range(3)]
        await slow.send(GET % b"slow")
        await stream.send(GET % b"stream")
        await stream.until(b"first\r\n")
        await running_now.wait()
        server.stop.set()
        assert b"last" in await stream.rest()
        assert await idle.rest() == b""
        with pytest.raises(OSError, match="connect"):
            await server.connect()
        assert not server.ended.is_set()
        finish.set()
        assert (await slow.answer())[2] == b"done"
        await server.ended.wait()


async def test_the_client_of_a_waiting_request_is_heard_leaving() -> None:
    left = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with running(app) as server:
        client: Client = await server.connect()
        await client.send(GET % b"")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.aclose()
        await left.wait()
