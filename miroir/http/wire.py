"""Bytes in, bytes out: a plain socket, or a TLS stream, behind the same few words.

The plain one works on the bare non-blocking socket. Trio's own socket layer tries the operation first, which on a
connection that waits for its peer costs a failing system call, and passes a checkpoint on every success; here a read
waits first and a write goes out at once. That is worth 10 us a request, half of what the whole server costs.

A task that waits on a wire can be woken by `interrupt`, which raises `trio.ClosedResourceError` in it and leaves the
wire as it was. The server's timeouts and its drain rest on that: no cancel scope per request.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

_RECEIVE_SIZE = 65536
_MAX_RECEIVE_SIZE = 1 << 20


def _never() -> bool:
    return False


class Wire(Protocol):
    """One connection. `OSError`s come out as `trio.BrokenResourceError`; after `close`, `trio.ClosedResourceError`."""

    @property
    def can_peek(self) -> bool:
        """Whether `readable` and `wait_readable` speak of the peer's own bytes."""

    async def receive(self, wanted: int = 0) -> bytes:
        """Wait for bytes; `b""` at the end of the stream. `wanted` says how many are certain to come."""

    def receive_now(self, wanted: int = 0) -> bytes | None:
        """What is already here, without waiting; `None` when nothing is."""

    def send_now(self, pieces: Sequence[bytes]) -> int:
        """Write as much as fits without waiting; how many bytes went."""

    async def send(self, data: bytes | memoryview, go_on: Callable[[], bool] = _never) -> None:
        """Write everything, waiting as long as it takes. Interrupted, it asks `go_on` whether that was meant for it."""

    def readable(self) -> bool:
        """Whether a receive would return at once: bytes, the end of the stream, or an error."""

    def stands(self) -> bool:
        """Whether the connection is certainly still up, unread bytes or not."""

    async def wait_readable(self) -> None:
        """Wait until there is something to receive, taking nothing."""

    def interrupt(self) -> None:
        """Wake whoever waits here, with `trio.ClosedResourceError`."""

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more comes, and stay readable."""

    def close(self) -> None:
        """Close at once; idempotent."""


class SocketWire:
    """A TCP connection. Takes the socket over from the stream, which must not be used afterwards."""

    __slots__ = ("_closed", "_fd", "_sock")
    can_peek = True

    def __init__(self, stream: trio.SocketStream) -> None:
        # SocketStream has set TCP_NODELAY by now.
        outer = stream.socket
        family, kind, proto = outer.family, outer.type, outer.proto
        self._sock = socket.socket(family, kind, proto, fileno=outer.detach())
        self._sock.setblocking(False)
        self._fd = self._sock.fileno()
        self._closed = False

    async def receive(self, wanted: int = 0) -> bytes:
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(self._fd)
            data = self.receive_now(wanted)
            if data is not None:
                return data

    def receive_now(self, wanted: int = 0) -> bytes | None:
        size = _RECEIVE_SIZE if wanted <= _RECEIVE_SIZE else min(wanted, _MAX_RECEIVE_SIZE)
        try:
            return self._sock.recv(size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as exc:
            raise self._translated(exc) from exc

    def send_now(self, pieces: Sequence[bytes]) -> int:
        try:
            return self._sock.send(pieces[0]) if len(pieces) == 1 else self._sock.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            raise self._translated(exc) from exc

    async def send(self, data: bytes | memoryview, go_on: Callable[[], bool] = _never) -> None:
        rest = memoryview(data)
        while True:
            try:
                rest = rest[self._sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                raise self._translated(exc) from exc
            if not rest:
                return
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except trio.ClosedResourceError:
                if self._closed or not go_on():
                    raise

    def readable(self) -> bool:
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            pass
        return True

    def stands(self) -> bool:
        try:
            return self._sock.recv(1, socket.MSG_PEEK) != b""
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    async def wait_readable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._fd)

    def interrupt(self) -> None:
        if not self._closed:
            trio.lowlevel.notify_closing(self._fd)

    def shutdown_write(self) -> None:
        with contextlib.suppress(OSError):  # the peer was faster
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._fd)
            self._sock.close()

    def _translated(self, exc: OSError) -> Exception:
        return trio.ClosedResourceError() if self._closed else trio.BrokenResourceError(str(exc))


class TLSWire:
    """A TLS connection over a socket. Nothing can be written or peeked at without waiting, so the fast ways say no."""

    __slots__ = ("_closed", "_sock", "_stream")
    can_peek = False  # what arrives may be the protocol's: tickets, alerts, half a record

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        self._sock = stream.transport_stream.socket
        self._closed = False

    async def receive(self, wanted: int = 0) -> bytes:
        return bytes(await self._stream.receive_some(max(wanted, _RECEIVE_SIZE)))

    def receive_now(self, wanted: int = 0) -> bytes | None:
        return None

    def send_now(self, pieces: Sequence[bytes]) -> int:
        return 0

    async def send(self, data: bytes | memoryview, go_on: Callable[[], bool] = _never) -> None:
        # An interrupted write has left an unknown part of its records behind: there is nothing to go on with.
        await self._stream.send_all(data)

    def readable(self) -> bool:
        # Of the encrypted bytes only: a record may be incomplete, or a session ticket. Enough for a hint, and an idle
        # connection on which anything arrived is better replaced.
        return self._stream.transport_stream.socket.is_readable() if not self._closed else True

    def stands(self) -> bool:
        return not self.readable()  # what there is to read may be the end

    async def wait_readable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._sock)

    def interrupt(self) -> None:
        if not self._closed:
            trio.lowlevel.notify_closing(self._sock)

    def shutdown_write(self) -> None:
        """TLS has no half-closed state worth keeping: nothing is done."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._sock.close()


def wire_of(stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> Wire:
    """The wire for a connection just accepted or opened."""
    return TLSWire(stream) if isinstance(stream, trio.SSLStream) else SocketWire(stream)
