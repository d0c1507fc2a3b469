"""A TCP proxy between Miroir and a node, to cut and to hang what passes through it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 1 << 16


class Proxy:
    """Forwards loopback connections to `target_port`, on threads of its own, until told otherwise.

    `cut()` resets what is open and refuses what comes; `hang()` lets connections stand and forwards nothing; `heal()`
    forwards again what comes after it (what hung is reset: bytes were held back, and must not arrive late).
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._mode = "open"
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._mode = "cut"
        self._reset_all()

    def hang(self) -> None:
        self._mode = "hang"

    def heal(self) -> None:
        if self._mode == "hang":
            self._mode = "cut"
            self._reset_all()
        self._mode = "open"

    def close(self) -> None:
        self._mode = "cut"
        self._listener.close()
        self._reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "cut":
                client.close()
                continue
            try:
                node = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            except OSError:
                client.close()
                continue
            for end in (client, node):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {client, node}
            threading.Thread(target=self._forward, args=(client, node), daemon=True).start()
            threading.Thread(target=self._forward, args=(node, client), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(_CHUNK):
                if self._mode != "open":
                    return  # held back for ever; the sockets stay until they are reset
                sink.sendall(chunk)
        except OSError:
            pass
        if self._mode != "hang":
            self._drop(source, sink)

    def _drop(self, *ends: socket.socket) -> None:
        with self._lock:
            self._sockets.difference_update(ends)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _reset_all(self) -> None:
        with self._lock:
            ends = tuple(self._sockets)
        self._drop(*ends)
