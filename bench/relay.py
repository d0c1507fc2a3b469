"""Canned nodes: one process that stands in for several real nodes and answers searches from memory.

The first time it sees a search it asks the real node behind the port and keeps the answer, byte for byte; from then on
the answer costs some 8 us and no node. Everything else (probes, tasks, settings) goes to the node every time. Nothing
may be written while it stands there, except by way of starting it again.

Orders of our own, on any of the ports: `GET /_recorded` lists every search seen with its answer, as JSON.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import sys
from collections.abc import Sequence

_CHUNK = 1 << 18


def _whole(buffer: bytes) -> int:
    """How long the first message of the buffer is, its body included; 0 while that cannot be said."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return 0
    start = buffer[:head].lower().find(b"\r\ncontent-length:")
    if start < 0:
        return head + 4
    return head + 4 + int(buffer[start + 17 : head + 2].split(b"\r\n")[0])


def _ask(port: int, request: bytes) -> bytes:
    """The node's answer to a request, as sent."""
    head, _, rest = request.partition(b"\r\n")
    with socket.create_connection(("127.0.0.1", port)) as node:
        node.sendall(head + b"\r\nconnection: close\r\n" + rest)
        pieces = []
        while piece := node.recv(_CHUNK):
            pieces.append(piece)
    return b"".join(pieces).replace(b"connection: close\r\n", b"", 1)


class Relay:
    """Listens for every node and serves until it is killed."""

    def __init__(self, ports: Sequence[tuple[int, int]]) -> None:
        """`ports`: where to listen, and the port of the node behind."""
        self._poll = select.epoll()
        self._listeners: dict[int, tuple[socket.socket, int]] = {}
        self._clients: dict[int, tuple[socket.socket, int]] = {}
        self._partial: dict[int, bytes] = {}
        self._answers: dict[int, dict[bytes, bytes]] = {}
        for port, node in ports:
            listener = socket.create_server(("127.0.0.1", port), backlog=1024)
            self._listeners[listener.fileno()] = (listener, node)
            self._answers[node] = {}
            self._poll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        listeners, clients, partial = self._listeners, self._clients, self._partial
        while True:
            for number, _ in self._poll.poll():
                if number in listeners:
                    self._accept(*listeners[number])
                    continue
                client, node = clients[number]
                try:
                    data = client.recv(_CHUNK)
                except OSError:
                    data = b""
                if not data:
                    self._drop(number)
                    continue
                known = self._answers[node].get(data)
                if known is not None:
                    client.sendall(known)
                    continue
                data = partial.pop(number, b"") + data
                length = _whole(data)
                if not length or len(data) < length:
                    partial[number] = data
                else:
                    client.sendall(self._answer(node, data))

    def _accept(self, listener: socket.socket, node: int) -> None:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[client.fileno()] = (client, node)
        self._poll.register(client, select.EPOLLIN)

    def _drop(self, number: int) -> None:
        self._poll.unregister(number)
        self._partial.pop(number, None)
        self._clients.pop(number)[0].close()

    def _answer(self, node: int, request: bytes) -> bytes:
        line = request.partition(b"\r\n")[0]
        if line.startswith(b"GET /_recorded "):
            return self._recorded()
        answers = self._answers[node]
        known = answers.get(request)
        if known is None:
            known = _ask(node, request)
            if line.startswith(b"POST ") and line.endswith(b"/search HTTP/1.1"):
                answers[request] = known
        return known

    def _recorded(self) -> bytes:
        listed = [
            (node, base64.b64encode(request).decode(), base64.b64encode(answer).decode())
            for node, answers in self._answers.items()
            for request, answer in answers.items()
        ]
        body = json.dumps(listed).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def main() -> None:
    pairs = [each.partition("=") for each in sys.argv[1:]]
    Relay([(int(port), int(node)) for port, _, node in pairs]).run()


if __name__ == "__main__":
    main()
