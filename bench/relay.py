"""Canned nodes: one process that stands in for several real nodes and answers searches from memory.

The first time it sees a search it asks the real node behind the port and keeps the answer, byte for byte; from then on
the answer costs some 8 us and no node. Everything else (probes, tasks, settings) goes to the node every time. Nothing
may be written while it stands there, except by way of starting it again.

Orders of our own: `GET /_recorded`, on any of the ports, lists every search seen with its answer, as JSON;
`GET /_late/{milliseconds}/{every}` has every so-manieth answer from memory on this port come late from now on.
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import sys
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from time import monotonic

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
        self._late: dict[int, tuple[float, int]] = {}
        """By node: how many seconds, and which answers."""
        self._turns: dict[int, count[int]] = {}
        self._due: list[tuple[float, int, socket.socket, bytes]] = []
        """Answers held back: when they go, a number to tell equals apart, and to whom."""
        for port, node in ports:
            listener = socket.create_server(("127.0.0.1", port), backlog=1024)
            self._listeners[listener.fileno()] = (listener, node)
            self._answers[node] = {}
            self._poll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        listeners, clients, partial = self._listeners, self._clients, self._partial
        while True:
            for number, _ in self._poll.poll(self._send_due()):
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
                    if node not in self._late or not self._hold(node, client, known):
                        client.sendall(known)
                    continue
                data = partial.pop(number, b"") + data
                length = _whole(data)
                if not length or len(data) < length:
                    partial[number] = data
                else:
                    client.sendall(self._answer(node, data))

    def _hold(self, node: int, client: socket.socket, answer: bytes) -> bool:
        """Keep an answer back if its turn has come to be late."""
        seconds, every = self._late[node]
        turn = next(self._turns[node])
        if turn % every:
            return False
        heappush(self._due, (monotonic() + seconds, turn, client, answer))
        return True

    def _send_due(self) -> float | None:
        """Send what has been held back for long enough; seconds until the next, None if there is none."""
        while self._due:
            left = self._due[0][0] - monotonic()
            if left > 0:
                return left
            _, _, client, answer = heappop(self._due)
            with contextlib.suppress(OSError):  # whoever asked did not wait
                client.sendall(answer)
        return None

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
        if line.startswith(b"GET /_late/"):
            milliseconds, every = line.split()[1].split(b"/")[2:]
            self._late[node] = (int(milliseconds) / 1000, int(every))
            self._turns[node] = count(1)
            return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
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
