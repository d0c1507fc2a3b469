"""Servers, peers and raw clients on loopback for the transport's tests."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from miroir.http import ASGIApp, Message, Receive, Scope, Send, ServerLimits, open_listeners, serve

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""A self-signed certificate for `localhost` and its key, valid for a hundred years and trusted by nobody else."""


def server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@dataclass
class Running:
    port: int
    stop: trio.Event
    ended: trio.Event
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        client = Client(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.clients.append(client)
        return client


class Client:
    """A raw client: sends what it is told and reads one answer at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.buffer: bytes = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        while mark not in self.buffer:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    async def answer(self, *, is_head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
        head = (await self.until(b"\r\n\r\n")).split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head[1:-2])
        body = b""
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
        elif not is_head:
            body = await self.exactly(int(headers.get(b"content-length", b"0")))
        return int(head[0].split(b" ")[1]), headers, body

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    async def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        while data := bytes(await self.stream.receive_some()):
            self.buffer += data
        return self.buffer


@asynccontextmanager
async def running(
    app: ASGIApp,
    *,
    limits: ServerLimits | None = None,
    grace_s: float = 5.0,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """A server for the length of a test; it must end by being told to stop."""
    [listener] = await open_listeners("127.0.0.1", 0)
    server = Running(listener.socket.getsockname()[1], trio.Event(), trio.Event())
    listeners = [listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True)]
    serving = partial(
        serve, app, listeners, limits=limits or ServerLimits(), shutdown_grace_s=grace_s, stop=server.stop, **options
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
                with trio.CancelScope(shield=True):
                    for client in server.clients:
                        await trio.aclose_forcefully(client.stream)
            server.stop.set()


@asynccontextmanager
async def peer(handler: Callable[[Client, int], Awaitable[None]]) -> AsyncIterator[str]:
    """Something that listens like a node: `handler` gets each connection and its number. Yields the address."""
    count = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal count
        count += 1
        try:
            await handler(Client(stream), count)
        except (EOFError, trio.BrokenResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, handle, [listener])
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send: Send, body: bytes, status: int = 200) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, a colon, and the body."""
    await reply(send, scope["raw_path"] + b":" + await read_body(receive))
