"""One client connection: requests in order, each handled in the connection's own task.

Three things keep a request cheap. There is no task per request: the app runs where its request was read. There is no
cancel scope: see `line`. And nobody watches the socket while the app works: a client that leaves is noticed inside
`receive`, if the app cares to wait there (concurrently, if it also has something else to do).
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import unquote

import trio

from miroir.http.asgi import ASGIApp, BodyLimit, Scope
from miroir.http.cycle import Cycle
from miroir.http.limits import ServerLimits
from miroir.http.line import BROKEN, NEVER, Line, Phase
from miroir.http.request_parser import NEED_DATA, Refused, RequestHead
from miroir.http.response_writer import plain_answer
from miroir.http.wire import Wire

_log = logging.getLogger(__name__)

_BUSY: Final = Phase.BUSY
_IDLE: Final = Phase.IDLE


class Connection(Line):
    """Serves one wire until it ends. `run` raises nothing but cancellation."""

    __slots__ = ("_app", "_base_scope", "_body_limit", "_state")

    def __init__(
        self,
        app: ASGIApp,
        wire: Wire,
        *,
        limits: ServerLimits,
        base_scope: Scope,
        state: dict[str, Any] | None,
        body_limit: BodyLimit | None,
    ) -> None:
        super().__init__(wire, limits)
        self._app = app
        self._base_scope = base_scope
        self._state = state
        self._body_limit = body_limit

    async def run(self) -> None:
        """Serve requests until the connection ends."""
        try:
            while True:
                head = await self._next_head()
                if head is None or not await self._handle(head):
                    return
        except BROKEN:
            pass  # the client is gone, or its time is up
        finally:
            self.wire.close()

    async def _next_head(self) -> RequestHead | None:
        parser, wire, limits = self.parser, self.wire, self.limits
        event = parser.next_event() if parser.buffered else NEED_DATA
        if event is NEED_DATA:
            if self.phase is _BUSY:
                self.phase = _IDLE
                self.expired = False
                self.waiting_since = trio.current_time()
                self.read_deadline = self.waiting_since + limits.idle_timeout_s
            while event is NEED_DATA:
                if parser.buffered and self.phase is not Phase.HEAD:
                    if self.phase is _IDLE:
                        self.read_deadline = trio.current_time() + limits.head_timeout_s
                    self.phase = Phase.HEAD
                if self.draining and self.phase is not Phase.HEAD:
                    return None
                try:
                    data = await wire.receive()
                except trio.ClosedResourceError:
                    if not self.expired:
                        event = parser.next_event()  # woken: somebody may have fed what they read
                        continue
                    if self.phase is Phase.HEAD:
                        await self._refuse(408)
                    return None
                if not data:
                    return None
                parser.feed(data)
                event = parser.next_event()
        else:
            # A pipelined request: nothing was waited for, so let others have their turn.
            await trio.lowlevel.checkpoint()
        self.phase = _BUSY
        self.read_deadline = NEVER
        if type(event) is RequestHead:
            return event
        assert isinstance(event, Refused)
        _log.debug("refused a request: %s", event.reason)
        await self._refuse(event.status)
        return None

    async def _handle(self, head: RequestHead) -> bool:
        """Run the app on one request; whether the connection can carry another."""
        scope = self._scope(head)
        limit = self.limits.max_body_bytes if self._body_limit is None else self._body_limit(scope)
        self.parser.max_body_bytes = limit
        cycle = Cycle(self, head, limit)
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception as exc:  # noqa: BLE001 - the boundary to code that is not ours; cancellation passes
            await cycle.failed(exc)
        else:
            if cycle.ended_well():
                return True
            await cycle.returned()
        return await cycle.settle()

    def _scope(self, head: RequestHead) -> Scope:
        raw_path = head.raw_path
        path = raw_path.decode("ascii")
        scope = {
            **self._base_scope,
            "http_version": head.http_version,
            "method": head.method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": head.query_string,
            "headers": head.headers,
        }
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope

    async def _refuse(self, status: int) -> None:
        """Answer what could not be read as a request, and part from the client."""
        self.expired = False
        await self.write_on((plain_answer(status),))
        await self.linger()
