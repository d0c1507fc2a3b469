"""A load generator small enough not to be what is measured: prepared requests over raw sockets.

One connection costs this process some 60 us a request; everything is reported as a ratio of two servers under the same
generator, so that part weighs on both sides.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httptools
import trio

_CHUNK_BYTES = 65_536


def prepared(method: str, path: str, key: str | None, body: Any = None) -> bytes:
    """A whole request as bytes; `body` is sent as JSON."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(payload)}"]
    if key:
        head.append(f"Authorization: Bearer {key}")
    if body is not None:
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, "", ""]).encode() + payload


class _Answer:
    """What httptools calls while one response is parsed."""

    def __init__(self) -> None:
        self.done = False
        self.body = bytearray()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done = True


class Connection:
    """One keep-alive connection; one request at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(await trio.open_tcp_stream("127.0.0.1", port))

    async def call(self, request: bytes) -> bytes:
        """The body of the answer. Raises `RuntimeError` when it is no 2xx or the server hung up."""
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        await self._stream.send_all(request)
        while not answer.done:
            data = await self._stream.receive_some(_CHUNK_BYTES)
            if not data:
                raise RuntimeError("the server hung up")
            parser.feed_data(data)
        if parser.get_status_code() // 100 != 2:
            raise RuntimeError(f"{parser.get_status_code()}: {answer.body[:500]!r}")
        return bytes(answer.body)

    async def json(self, request: bytes) -> Any:
        return json.loads(await self.call(request))

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed run against one server."""

    p50_us: float
    p95_us: float
    per_second: float
    cpu_us: float | None
    """CPU of the watched process per request, in microseconds."""


async def timed(
    port: int, requests: Sequence[bytes], count: int, connections: int = 1, pid: int | None = None
) -> Sample:
    """Send `count` requests in turn from `requests` over so many connections."""
    times: list[float] = []
    turns: Iterator[bytes] = itertools.islice(itertools.cycle(requests), count)

    async def drive(connection: Connection) -> None:
        for request in turns:
            before = time.perf_counter()
            await connection.call(request)
            times.append(time.perf_counter() - before)

    opened = [await Connection.open(port) for _ in range(connections)]
    cpu_before = cpu_seconds(pid) if pid else 0.0
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for connection in opened:
            nursery.start_soon(drive, connection)
    took = time.perf_counter() - began
    cpu = (cpu_seconds(pid) - cpu_before) / count * 1e6 if pid else None
    for connection in opened:
        await connection.aclose()
    cuts = statistics.quantiles(times, n=20)
    return Sample(p50_us=statistics.median(times) * 1e6, p95_us=cuts[18] * 1e6, per_second=count / took, cpu_us=cpu)


def cpu_seconds(pid: int) -> float:
    """CPU time of the process's living threads so far, from the scheduler's nanoseconds (`stat` counts in 10 ms)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
