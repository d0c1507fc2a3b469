"""The bytes of one client connection: reading for its parser, writing, its two deadlines, and who may be woken.

There is no cancel scope for a wait: each connection carries two deadlines, the server sweeps over all of them now and
then, and an expired one wakes whoever waits on the wire.

Bytes are read only when they are asked for, so a slow app holds back its client, and a slow client its app.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Final

import trio

from miroir.http.limits import ServerLimits
from miroir.http.request_parser import RequestParser
from miroir.http.wire import Wire

NEVER: Final = math.inf
BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
_MAX_STASH: Final = 65536  # pipelined bytes taken off the socket while watching for a client that leaves
_SEND_SLICE: Final = 262_144
_LINGER_S: Final = 2.0


class Phase(enum.Enum):
    """What a connection is doing, as far as the server must know to end it politely."""

    NEW = "accepted, nothing received"
    IDLE = "between requests"
    HEAD = "receiving a head"
    BUSY = "a request runs"


class Line:
    """A wire with a request parser behind it, and deadlines on both."""

    __slots__ = (
        "_woken",
        "draining",
        "eof",
        "expired",
        "limits",
        "parser",
        "phase",
        "read_deadline",
        "waiting_since",
        "watching",
        "wire",
        "write_deadline",
    )

    def __init__(self, wire: Wire, limits: ServerLimits) -> None:
        self.wire = wire
        self.limits = limits
        self.parser = RequestParser(
            max_head_bytes=limits.max_head_bytes, max_headers=limits.max_headers, max_body_bytes=limits.max_body_bytes
        )
        self._woken: trio.Event | None = None
        self.phase = Phase.NEW
        self.waiting_since = trio.current_time()
        """When the last request ended, or the connection was accepted."""
        self.read_deadline = self.waiting_since + limits.head_timeout_s
        self.write_deadline = NEVER
        self.expired = False
        self.draining = False
        self.watching = False
        """Whether an app waits in `receive` for its client to leave."""
        self.eof = False

    # Called by the server, from its own tasks.

    def expire(self) -> None:
        """A deadline has passed, or room is needed: wake the task that waits on the wire.

        Should that task be on its way already, the next wait clears the flag and the next sweep looks again.
        """
        self.expired = True
        self.wire.interrupt()

    def drain(self) -> None:
        """Take no further request: end now if none runs, else after the one that does; end streams at once."""
        self.draining = True
        if self.phase in (Phase.NEW, Phase.IDLE) or self.watching:
            self.wake()

    def wake(self) -> None:
        """Make whoever waits for bytes look at the flags again."""
        self.wire.interrupt()
        if self._woken is not None:
            self._woken.set()

    # Called by the connection's task, and by the app through its cycle.

    async def read(self, allowance_s: float) -> bool:
        """Feed the parser from the wire; False at the end of the stream.

        `TimeoutError` when nothing came within `allowance_s`.
        """
        self.expired = False
        self.read_deadline = trio.current_time() + allowance_s
        try:
            while True:
                try:
                    data = await self.wire.receive(self.parser.remaining or 0)
                except trio.ClosedResourceError:
                    if self.expired:
                        raise TimeoutError from None
                    if self.parser.buffered:  # woken: somebody has fed what they read
                        return True
                    continue
                if not data:
                    self.eof = True
                    return False
                self.parser.feed(data)
                return True
        finally:
            self.read_deadline = NEVER

    async def watch(self) -> bool:
        """Wait for the client to leave or for a `wake`; False when it left.

        What arrives meanwhile is a pipelined request and waits in the parser; when too much of it is there nothing more
        is read, and only a `wake` ends the wait.
        """
        self.watching = True
        try:
            if self.eof:
                return False
            if self.parser.buffered >= _MAX_STASH:
                self._woken = trio.Event()
                await self._woken.wait()
                return True
            data = await self.wire.receive()
        except trio.ClosedResourceError:
            return not self.expired
        except trio.BrokenResourceError:
            data = b""
        finally:
            self.watching = False
            self._woken = None
        if not data:
            self.eof = True
            return False
        self.parser.feed(data)
        return True

    async def write_on(self, pieces: Sequence[bytes], sent: int = 0) -> None:
        """Write what comes behind the first `sent` bytes of `pieces`, with `send_timeout_s` for each 256 KiB."""
        for piece in pieces:
            if sent >= len(piece):
                sent -= len(piece)
                continue
            with memoryview(piece) as view:
                for start in range(sent, len(piece), _SEND_SLICE):
                    await self._write_slice(view[start : start + _SEND_SLICE])
            sent = 0

    async def _write_slice(self, data: memoryview) -> None:
        self.expired = False
        self.write_deadline = trio.current_time() + self.limits.send_timeout_s
        try:
            await self.wire.send(data, lambda: not self.expired)
        finally:
            self.write_deadline = NEVER

    async def linger(self) -> None:
        """Let the client read the last answer: closing while its bytes are unread would reset the connection."""
        self.wire.shutdown_write()
        with trio.move_on_after(_LINGER_S):
            while await self.wire.receive():
                pass
