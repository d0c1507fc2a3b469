"""The ASGI server: listeners, the set of connections, their deadlines and their end.

Timeouts are swept: every connection has a deadline for reading and one for writing, and one task looks at all of them a
few times a second (10,000 connections take it about a millisecond). A cancel scope for each wait would cost every
request 20 us for something that almost never happens.
"""

from __future__ import annotations

import errno
import heapq
import logging
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import trio

from miroir.http.asgi import ASGIApp, BodyLimit
from miroir.http.connection import Connection
from miroir.http.limits import ServerLimits
from miroir.http.line import Phase
from miroir.http.wire import wire_of

_log = logging.getLogger(__name__)

Listener: TypeAlias = trio.SocketListener | trio.SSLListener[trio.SocketStream]

_OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_ACCEPT_PAUSE_S: Final = 0.1
_EVICT_SHARE: Final = 100  # make room for a hundredth of the connections at a time: finding the oldest looks at all


async def serve(
    app: ASGIApp,
    listeners: Sequence[Listener],
    *,
    limits: ServerLimits,
    shutdown_grace_s: float,
    stop: trio.Event,
    state: dict[str, Any] | None = None,
    body_limit: BodyLimit | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `listeners`, which it closes, until `stop` is set.

    Then nothing is accepted any more, idle connections are closed, streams get `http.disconnect`, running requests have
    `shutdown_grace_s` seconds to finish (their answers say `connection: close`); what still runs after that is
    cancelled. Only `http` scopes are served: the caller runs the lifespan and passes its `state`. `body_limit` may set
    another limit than `limits.max_body_bytes` for a request.
    """
    server = _Server(app, limits, state, body_limit)
    try:
        async with trio.open_nursery() as nursery:
            accepting = trio.CancelScope()
            for listener in listeners:
                nursery.start_soon(server.accept_from, listener, nursery, accepting)
            nursery.start_soon(server.sweep)
            task_status.started()
            await stop.wait()
            accepting.cancel()
            for listener in listeners:
                await trio.aclose_forcefully(listener)
            with trio.move_on_after(shutdown_grace_s) as grace:
                await server.drain()
            if grace.cancelled_caught:
                _log.warning("%d connections did not finish within the grace", len(server.connections))
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for listener in listeners:
                await trio.aclose_forcefully(listener)


class _Server:
    def __init__(
        self, app: ASGIApp, limits: ServerLimits, state: dict[str, Any] | None, body_limit: BodyLimit | None
    ) -> None:
        self._app = app
        self._limits = limits
        self._state = state
        self._body_limit = body_limit
        self._draining = False
        self._one_less = trio.Event()
        self.connections: set[Connection] = set()

    async def accept_from(self, listener: Listener, nursery: trio.Nursery, accepting: trio.CancelScope) -> None:
        with accepting:
            while True:
                while len(self.connections) > self._limits.max_connections:
                    await self._wait_for_one_less()
                try:
                    stream = await listener.accept()
                except OSError as exc:
                    if exc.errno not in _OUT_OF_RESOURCES:
                        raise
                    _log.warning("cannot accept connections: %s", exc)
                    self._make_room()
                    await trio.sleep(_ACCEPT_PAUSE_S)
                except trio.ClosedResourceError:
                    return
                else:
                    if len(self.connections) >= self._limits.max_connections:
                        self._make_room()
                    self._start(stream, nursery)

    def _start(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream], nursery: trio.Nursery) -> None:
        tls = isinstance(stream, trio.SSLStream)
        sock = stream.transport_stream.socket if isinstance(stream, trio.SSLStream) else stream.socket
        try:
            client, server = sock.getpeername(), sock.getsockname()
        except OSError:  # it left between the accept and here
            sock.close()
            return
        base_scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "scheme": "https" if tls else "http",
            "root_path": "",
            "client": client[:2] if isinstance(client, tuple) else None,
            "server": server[:2] if isinstance(server, tuple) else (server, None),
        }
        connection = Connection(
            self._app,
            wire_of(stream),
            limits=self._limits,
            base_scope=base_scope,
            state=self._state,
            body_limit=self._body_limit,
        )
        if self._draining:  # accepted in the same turn in which the server was told to stop
            connection.drain()
        self.connections.add(connection)
        nursery.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        except Exception:  # noqa: BLE001 - a fault of ours, but no reason to take the other connections along
            _log.exception("a connection failed")
        finally:
            self.connections.discard(connection)
            self._one_less.set()

    async def _wait_for_one_less(self) -> None:
        if self._one_less.is_set():
            self._one_less = trio.Event()
        await self._one_less.wait()

    def _make_room(self) -> None:
        """End the connections that have waited longest for a request; none that runs one."""
        waiting = (connection for connection in self.connections if connection.phase is not Phase.BUSY)
        count = max(1, len(self.connections) // _EVICT_SHARE)
        for connection in heapq.nsmallest(count, waiting, key=lambda each: each.waiting_since):
            connection.expire()

    async def sweep(self) -> None:
        """Expire the connections whose deadline has passed, and some that are idle while others wait outside."""
        interval = min(max(self._limits.shortest_timeout_s() / 4, 0.01), 1.0)
        while True:
            await trio.sleep(interval)
            now = trio.current_time()
            late = [each for each in self.connections if each.read_deadline <= now or each.write_deadline <= now]
            for connection in late:
                connection.expire()
            if len(self.connections) > self._limits.max_connections:
                self._make_room()  # all were busy when the last one came; some may be idle by now

    async def drain(self) -> None:
        """Ask every connection to end, and wait until all have."""
        self._draining = True
        for connection in self.connections:
            connection.drain()
        while self.connections:
            await self._wait_for_one_less()
