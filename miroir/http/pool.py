"""Connections to one node: bounded, shared fairly, reused newest first.

What a pool promises: at most `max_total` connections; whoever waits for one is served in order of asking; a connection
that the node has closed meanwhile is noticed before it is used, not by the failure of a request; no request is ever
sent twice, except a read whose reused connection broke before one byte of an answer came back (the node closed it in
the very moment; RFC 9112, section 9.3.1), which goes out once more on a fresh connection.

A connection that ended by itself is a *loss*: the process at its other end may be gone, and another one, on another
disk, may have taken its place. So is opening one when no other stands that was there before: nothing then says that it
leads to the process we knew. As long as one connection stands, new ones lead where it leads. Losses are told to
`on_lost`, and a request sent `witnessed` does not go out when there was one since it was asked for: its caller looks
who is there, and tries again.

A deadline is the caller's cancel scope. A cancelled exchange closes its connection, since its answer is still coming.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

import trio

from miroir.http.client_connection import ClientConnection
from miroir.http.response import ConnectionLost, PoolClosed, Response, Unwitnessed

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_ONE_SEGMENT = 1200
"""Bytes of a request that arrive in one piece on any network."""
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Exchange:
    """A request that was sent and an answer that is due. One of `response` and `abandon` must end it."""

    __slots__ = ("_connection", "_is_head", "_pool", "_request", "_retry")

    def __init__(self, pool: Pool, connection: ClientConnection, request: bytes, *, is_head: bool, retry: bool) -> None:
        self._pool = pool
        self._connection: ClientConnection | None = connection
        self._request = request
        self._is_head = is_head
        self._retry = retry

    async def response(self) -> Response:
        """Read the answer to its end and hand the connection back.

        Raises `ConnectionLost`, `BadResponse`, and `ConnectFailed` or `ConnectionLost` from a retried read.
        """
        connection = self._connection
        if connection is None:
            raise RuntimeError("the exchange has ended")
        try:
            try:
                response = await connection.receive()
            except ConnectionLost:
                self._pool.lost()
                if not self._retry or connection.answered:
                    raise
                self._retry = False
                self._connection = connection = await self._pool.replace(connection)
                await connection.send(
                    self._request, is_head=self._is_head, max_body_bytes=self._pool.max_response_bytes
                )
                response = await connection.receive()
        except BaseException:
            self.abandon()
            raise
        self._connection = None
        self._pool.keeps_alive = connection.reusable
        # A node that refuses a request before it has read all of it leaves the rest in its way and goes deaf.
        in_doubt = response.status >= 400 and len(self._request) > _ONE_SEGMENT
        self._pool.release(connection, reusable=connection.reusable and not in_doubt)
        return response

    def has_arrived(self) -> bool:
        """Whether there is something to read already: part of the answer, or the end of the connection."""
        return self._connection is not None and self._connection.has_arrived

    def abandon(self) -> None:
        """Give the answer up and close its connection; nothing happens when the exchange has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection, reusable=False)


class _Waiter:
    """A place in the queue. Granted a connection, or the right to open one; not granted when the pool was closed."""

    __slots__ = ("connection", "granted", "served")

    def __init__(self) -> None:
        self.served = trio.Event()
        self.granted = False
        self.connection: ClientConnection | None = None


class Pool:
    """The connections to one node at `address` (`http://host:port` or `https://...`).

    `default_headers` go out with every request, encoded once. `on_connect` is called for every connection opened.
    One idle connection is kept whatever `max_idle` says. `tls` replaces the default context for https. Raises
    `ValueError` for an address that is none.
    """

    def __init__(
        self,
        address: str,
        *,
        max_idle: int = 32,
        max_total: int = 128,
        idle_timeout_s: float = 60.0,
        max_response_bytes: int = 1 << 30,
        default_headers: Headers = (),
        on_connect: Callable[[], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"not the address of a node: {address!r}")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._prefix = _encode_headers(((b"host", parts.netloc.rpartition("@")[2].encode("idna")), *default_headers))
        self._max_idle = max(max_idle, 1)
        self._max_total = max_total
        self._idle_timeout_s = idle_timeout_s
        self.max_response_bytes = max_response_bytes
        self._on_connect = on_connect
        self._idle: deque[ClientConnection] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._busy: set[ClientConnection] = set()
        self._in_use = 0
        self._losses = 0
        self._known = False  # whether there ever was a connection
        self._closed = False
        self.keeps_alive = True
        """Whether the last answer left its connection open. Otherwise none can stand witness, and none is asked for."""
        self.on_lost: Callable[[], None] | None = None
        """Called when a connection has ended by itself, or a new one is opened that no other stands witness for."""

    @property
    def in_use(self) -> int:
        """Connections that carry an exchange, or are being opened for one."""
        return self._in_use

    @property
    def idle(self) -> int:
        """Connections kept for reuse."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiters)

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        idempotent: bool = False,
        witnessed: bool = False,
    ) -> Response:
        """Send a request and read its answer. Raises `ExchangeError`; see `start` for the rest."""
        exchange = await self.start(
            method, target, headers=headers, body=body, idempotent=idempotent, witnessed=witnessed
        )
        return await exchange.response()

    async def start(
        self,
        method: str,
        target: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        idempotent: bool = False,
        witnessed: bool = False,
    ) -> Exchange:
        """Take or open a connection, write the whole request, and return before any of the answer is read.

        GET, HEAD and OPTIONS, and whatever the caller calls `idempotent`, are sent once more when a reused connection
        turns out broken. `witnessed` sends nothing unless the process that is there has been there since the call
        (otherwise `Unwitnessed`). Raises `ConnectFailed`, `ConnectionLost` or `PoolClosed`, and `ValueError` for a
        target or header that cannot stand in a head.
        """
        request = self._encode(method, target, headers, body)
        is_head = method == "HEAD"
        losses = self._losses
        connection, reused = await self._acquire()
        if witnessed and self._losses != losses and self.keeps_alive:
            self.release(connection, reusable=True)
            raise Unwitnessed("a connection to the node has ended")
        retry = reused and not witnessed and (idempotent or method in _SAFE_METHODS)
        try:
            try:
                await connection.send(request, is_head=is_head, max_body_bytes=self.max_response_bytes)
            except ConnectionLost:
                self.lost()
                if not retry:
                    raise
                retry = False
                connection = await self.replace(connection)
                await connection.send(request, is_head=is_head, max_body_bytes=self.max_response_bytes)
        except BaseException:
            self.release(connection, reusable=False)
            raise
        return Exchange(self, connection, request, is_head=is_head, retry=retry)

    async def aclose(self) -> None:
        """Close idle connections, turn waiting requests away; running exchanges end by themselves."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        for waiter in self._waiters:
            waiter.served.set()
        self._waiters.clear()
        await trio.lowlevel.checkpoint()

    # For exchanges.

    def release(self, connection: ClientConnection, *, reusable: bool) -> None:
        """Give a connection back, or its place when it cannot be used again."""
        self._busy.discard(connection)
        if not reusable or self._closed:
            connection.close()
        self._pass_on(connection if reusable and not self._closed else None)

    async def replace(self, connection: ClientConnection) -> ClientConnection:
        """A fresh connection in the place of a broken one. The place stays taken when this fails."""
        self._busy.discard(connection)
        connection.close()
        return await self._open()

    def lost(self) -> None:
        """Take note of a loss."""
        self._losses += 1
        if self.on_lost is not None:
            self.on_lost()

    def _pass_on(self, connection: ClientConnection | None) -> None:
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.connection = connection
            waiter.granted = True
            waiter.served.set()
            return
        self._in_use -= 1
        if connection is None:
            return
        now = trio.current_time()
        connection.idle_since = now
        self._idle.append(connection)
        while len(self._idle) > self._max_idle or now - self._idle[0].idle_since > self._idle_timeout_s:
            self._idle.popleft().close()
            if not self._idle:
                break

    async def _acquire(self) -> tuple[ClientConnection, bool]:
        """A connection, and whether it was used before. Its place is counted in `in_use`."""
        if self._closed:
            raise PoolClosed("the pool is closed")
        connection: ClientConnection | None
        if self._in_use < self._max_total and not self._waiters:
            self._in_use += 1
            connection = self._freshest_idle()
        else:
            connection = await self._wait()
            if connection is not None and connection.is_stale:
                connection.close()
                connection = None
                self.lost()
        if connection is not None:
            self._busy.add(connection)
            return connection, True
        try:
            return await self._open(), False
        except BaseException:
            self._pass_on(None)
            raise

    def _freshest_idle(self) -> ClientConnection | None:
        oldest = trio.current_time() - self._idle_timeout_s
        while self._idle:
            connection = self._idle.pop()
            is_stale = connection.is_stale
            if connection.idle_since >= oldest and not is_stale:
                return connection
            connection.close()
            if is_stale:
                self.lost()
        return None

    async def _wait(self) -> ClientConnection | None:
        waiter = _Waiter()
        self._waiters.append(waiter)
        try:
            await waiter.served.wait()
        except BaseException:
            if waiter.granted:
                self._pass_on(waiter.connection)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        if not waiter.granted:
            raise PoolClosed("the pool was closed")
        return waiter.connection

    async def _open(self) -> ClientConnection:
        connection = await ClientConnection.open(self._host, self._port, self._tls)
        if self._known and self.keeps_alive and not any(other.stands for other in (*self._idle, *self._busy)):
            self.lost()
        self._known = True
        self._busy.add(connection)
        if self._on_connect is not None:
            self._on_connect()
        return connection

    def _encode(self, method: str, target: str, headers: Headers, body: bytes) -> bytes:
        head = _encode_head(method, target, self._prefix, tuple(headers))
        if body or method not in _BODILESS:
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        return head + b"\r\n"


@lru_cache(maxsize=256)  # searches of an index have one and the same
def _encode_head(method: str, target: str, prefix: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Everything that comes before the length."""
    if not (target.isascii() and target.isprintable()) or " " in target or not method.isalpha():
        raise ValueError(f"not a request line: {method!r} {target!r}")
    line = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    return b"".join((line, prefix, _encode_headers(headers)))


def _encode_headers(headers: Headers) -> bytes:
    encoded = b"".join([b"%b: %b\r\n" % header for header in headers])
    if encoded.count(b"\r") != len(headers) or encoded.count(b"\n") != len(headers) or 0 in encoded:
        raise ValueError("a header holds a line break")
    return encoded
