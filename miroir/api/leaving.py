"""Clients that leave while their request runs: a read is given up then, for nobody is there to get it.

A write is not given up: it was announced, and finishing it costs less than looking at its shards afterwards.

Waiting for two things at once takes a nursery, and a nursery costs more than a whole fast request. So requests only say
that they run, and one worker watches the clients of those that have been running for a while.
"""

from __future__ import annotations

from typing import Final

import trio

from miroir.http import Receive

_LOOK_EVERY_S: Final = 0.1
_PATIENCE_S: Final = 0.2
"""A request that takes longer than this has its client watched."""


class Watched:
    """A read that runs in `scope`, and whose client may leave. To be ended in every case, before it is answered."""

    __slots__ = ("_clients", "_ended", "_receive", "_scope", "_watching", "client_left", "since")

    def __init__(self, clients: Clients, receive: Receive, scope: trio.CancelScope) -> None:
        self._clients = clients
        self._receive = receive
        self._scope = scope
        self._watching: trio.CancelScope | None = None
        self._ended: trio.Event | None = None
        self.since = trio.current_time()
        self.client_left = False
        """Whether `scope` was cancelled because the client left."""

    def begin(self) -> bool:
        """Whether it is not watched yet, and from now on is: `watch` must follow."""
        if self._ended is not None:
            return False
        self._watching, self._ended = trio.CancelScope(), trio.Event()
        return True

    async def watch(self) -> None:
        """Wait for the client to leave, and cancel the request then."""
        assert self._watching is not None
        assert self._ended is not None
        try:
            with self._watching:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
                self.client_left = True
                self._scope.cancel()
        finally:
            self._ended.set()

    async def end(self) -> None:
        """Stop watching: only one task may read from a connection, and the next request is its own task's business."""
        self._clients.running.discard(self)
        if self._watching is not None and self._ended is not None:
            self._watching.cancel()
            with trio.CancelScope(shield=True):
                await self._ended.wait()


class Clients:
    """Those whose reads run now."""

    def __init__(self) -> None:
        self.running: set[Watched] = set()

    def watch(self, receive: Receive, scope: trio.CancelScope) -> Watched:
        """Have `scope` cancelled when the client leaves. The request's body must have been received."""
        watched = Watched(self, receive, scope)
        self.running.add(watched)
        return watched

    async def run(self) -> None:
        """Watch for ever. A worker for the supervisor."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(_LOOK_EVERY_S)
                before = trio.current_time() - _PATIENCE_S
                for request in self.running:
                    if request.since <= before and request.begin():
                        nursery.start_soon(request.watch)
