"""Large bodies, measured: a slow app holds its client back, a slow client its app, and neither fills the memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from miroir.http import Receive, Scope, Send
from tests.integration.http.sockets import reply, running

SIZE = 64 << 20
PIECE = 1 << 18
MOST = 6 << 20


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    """Memory that Python objects take beyond now must stay below `limit` bytes."""
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield
        grown = tracemalloc.get_traced_memory()[1] - before
        assert grown < limit, f"{grown >> 10} KiB"
    finally:
        tracemalloc.stop()


async def test_an_upload_faster_than_its_app() -> None:
    taken = 0
    waiting = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal taken
        more = True
        while more:
            message = await receive()
            taken += len(message["body"])
            more = message["more_body"]
            if not waiting.is_set():
                waiting.set()
                await trio.sleep(0.2)  # long enough for a careless server to swallow everything
                assert taken < MOST
        await reply(send, b"%d" % taken)

    async with running(app) as server:
        client = await server.connect()
        piece = b"a" * PIECE
        with peak_below(MOST):
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // PIECE):
                await client.send(piece)
            assert (await client.answer())[2] == b"%d" % SIZE


async def test_a_download_faster_than_its_client() -> None:
    given = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal given
        headers = [(b"content-length", b"%d" % SIZE)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(SIZE // PIECE):
            more = number < SIZE // PIECE - 1
            await send({"type": "http.response.body", "body": b"a" * PIECE, "more_body": more})
            given += PIECE

    async with running(app) as server:
        client = await server.connect()
        with peak_below(MOST):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.until(b"\r\n\r\n")
            await trio.sleep(0.2)
            assert given < SIZE // 2, "the sockets' buffers and no more"
            left = SIZE - len(client.buffer)
            client.buffer = b""
            while left:
                left -= len(await client.stream.receive_some(PIECE))
        assert given == SIZE
