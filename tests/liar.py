"""A TCP server in front of a real node that passes everything on until it is told to lie."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Final

from miroir.cli.dev_process import free_port

_PROBES: Final = re.compile(rb"GET (/indexes/_miroir_meta/|/tasks\?limit=1 )")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_POLL_S: Final = 0.05

Lie = Callable[[socket.socket], bool]
"""Answers one request; whether the connection may go on."""


def garbage(client: socket.socket) -> bool:
    """Not HTTP at all."""
    client.sendall(b"\x16\x03\x01 this is no answer\r\n\r\n")
    return False


def half(client: socket.socket) -> bool:
    """An answer that stops in its middle."""
    client.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{"hits":[')
    return False


def too_much(client: socket.socket) -> bool:
    """A head without an end."""
    with contextlib.suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(2000):
            client.sendall(b"x-more: " + b"a" * 1000 + b"\r\n")
    return False


def too_long(client: socket.socket) -> bool:
    """A whole answer, and bytes behind it that nobody asked for."""
    body = b'{"nothing":"of use"}'
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) + b"HTTP/1.1 200 OK\r\n\r\n")
    return False


def nothing(client: socket.socket) -> bool:
    """The connection closed without a byte."""
    return False


def silence(client: socket.socket) -> bool:
    """No answer, and no end."""
    return True


def nonsense(client: socket.socket) -> bool:
    """HTTP, but not what a node says."""
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>")
    return True


class Liar:
    """Listens on `port` for the node on `target`. While `lie` is set it answers itself, except probes.

    Understands just enough HTTP to find requests: heads and `Content-Length`.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self._lie: Lie | None = None
        self.lied_to: list[bytes] = []
        """Request lines that were answered with lies, those of background work among them."""
        self.probes_let_through = 0
        """Since the liar began to lie."""
        self._ended = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(_POLL_S)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def lie(self) -> Lie | None:
        """What requests are answered with; None passes them on."""
        return self._lie

    @lie.setter
    def lie(self, lie: Lie | None) -> None:
        self._lie = lie
        self.probes_let_through = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended:
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as node:
            self._pass_on(client, node)

    def _pass_on(self, client: socket.socket, node: socket.socket) -> None:
        """Requests one by one, answers as they come."""
        buffer = b""
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(node, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in ready.select(_POLL_S):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # one of the two sockets
                    if not data:
                        return
                    if key.fileobj is node:
                        client.sendall(data)
                        continue
                    buffer += data
                    while (size := _request_size(buffer)) and len(buffer) >= size:
                        request, buffer = buffer[:size], buffer[size:]
                        if not self._handle(request, client, node):
                            return

    def _handle(self, request: bytes, client: socket.socket, node: socket.socket) -> bool:
        lie = self.lie
        probe = _PROBES.match(request)
        if lie is None or probe:
            self.probes_let_through += lie is not None
            node.sendall(request)
            return True
        self.lied_to.append(request.partition(b"\r\n")[0])
        return lie(client)


def _request_size(buffer: bytes) -> int:
    """Bytes of the first request; 0 as long as its head is not there."""
    head, mark, _ = buffer.partition(b"\r\n\r\n")
    if not mark:
        return 0
    length = _LENGTH.search(head)
    return len(head) + 4 + (int(length[1]) if length else 0)
