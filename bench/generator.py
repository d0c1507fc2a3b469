"""A load generator in a process of its own, small enough not to be what is measured.

A *turn* is one or several requests that leave at once on as many connections, and is over when all are answered: one
request is a load on a server, one to each of several nodes is a scatter without anything around it. Run as a script it
reads its orders from standard input and prints what it saw, both JSON. Raw sockets and epoll: some 8 us a request.
"""

from __future__ import annotations

import base64
import itertools
import json
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from time import perf_counter

Turn = Sequence[tuple[int, bytes]]
"""Ports on loopback, and what is sent to each."""

_CHUNK = 1 << 18


class Lane:
    """One connection and the answer that is due on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._whole = 0

    def send(self, request: bytes) -> None:
        self._buffer = b""
        self._whole = 0
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what is there; whether the answer is complete. Raises `RuntimeError` when it is no 2xx."""
        data = self.socket.recv(_CHUNK)
        if not data:
            raise RuntimeError("the server hung up")
        self._buffer = self._buffer + data if self._buffer else data
        if not self._whole:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return False
            if self._buffer[9:10] != b"2":
                raise RuntimeError(f"answered {self._buffer[:600]!r}")
            start = self._buffer[:head].lower().find(b"\r\ncontent-length:")
            if start < 0:
                raise RuntimeError("an answer without a length")
            self._whole = head + 4 + int(self._buffer[start + 17 : head + 2].split(b"\r\n")[0])
        return len(self._buffer) >= self._whole


class Worker:
    """Goes from turn to turn, a connection to each port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.lanes = {port: Lane(port) for port in ports}
        self.began = 0.0
        self.due = 0

    def begin(self, turn: Turn) -> None:
        self.began = perf_counter()
        self.due = len(turn)
        for port, request in turn:
            self.lanes[port].send(request)


def drive(turns: Sequence[Turn], connections: int, count: int) -> tuple[list[float], float]:
    """`count` turns by that many workers at once: how long each took as they ended, and all of them, in seconds."""
    workers = [Worker(sorted({port for turn in turns for port, _ in turn})) for _ in range(connections)]
    poll = select.epoll()
    places: dict[int, tuple[Worker, Lane]] = {}
    for worker in workers:
        for lane in worker.lanes.values():
            poll.register(lane.socket, select.EPOLLIN)
            places[lane.socket.fileno()] = (worker, lane)
    times: list[float] = []
    following: Iterator[Turn] = itertools.islice(itertools.cycle(turns), count)
    began = perf_counter()
    for worker, turn in zip(workers, following, strict=False):
        worker.begin(turn)
    while len(times) < count:
        for number, _ in poll.poll():
            worker, lane = places[number]
            if not lane.receive():
                continue
            worker.due -= 1
            if worker.due == 0:
                times.append(perf_counter() - worker.began)
                turn = next(following, ())
                if turn:
                    worker.begin(turn)
    took = perf_counter() - began
    for _, lane in places.values():
        lane.socket.close()
    poll.close()
    return times, took


def main() -> None:
    orders = json.load(sys.stdin)
    turns = [[(port, base64.b64decode(request)) for port, request in turn] for turn in orders["turns"]]
    times, took = drive(turns, orders["connections"], orders["count"])
    print(json.dumps({"times": times, "seconds": took}))


if __name__ == "__main__":
    main()
