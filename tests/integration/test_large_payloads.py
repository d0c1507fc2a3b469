"""The largest payload there may be, through real nodes: taken whole, in bounded memory, beside everything else."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.test_doors import forget_peak_memory, memory_kib, peak_memory_kib
from tests.nodes import Cluster, RealNode

LIMIT = 100 << 20
"""What a node takes, and so what Miroir does (`server.max_body_bytes`)."""
COUNT = 64
"""Few and large documents, of which little is indexed: what is measured here is not how fast nodes index."""
NDJSON = {"content-type": "application/x-ndjson"}
SETTINGS = {"searchableAttributes": ["title"]}


def lines(count: int, size: int) -> Iterator[bytes]:
    """So many documents, a line each, of at most `size` bytes together."""
    each = size // count
    for number in range(count):
        head = json.dumps({"id": number, "title": f"large {number}", "text": ""}).encode()[:-2]
        text = b"%05d" % number * (each // 5)
        yield head + text[: each - len(head) - 3] + b'"}\n'


def exactly(size: int) -> bytes:
    """A payload of so many bytes."""
    body = b"".join(lines(COUNT, size))
    return body + b" " * (size - len(body))


@contextmanager
def watched(running: Cluster) -> Iterator[list[float]]:
    """How long each of many requests took meanwhile that have nothing to do with it."""
    over = threading.Event()
    took: list[float] = []

    def ask() -> None:
        with httpx.Client(base_url=running.server.address, trust_env=False, timeout=60) as client:
            while not over.is_set():
                began = time.monotonic()
                assert client.get("/health").status_code == 200
                took.append(time.monotonic() - began)
                time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_hundred_mebibytes_are_taken(
    cluster: Callable[..., Cluster],
    index_name: str,
    encoding: str | None,
    record_property: Callable[[str, object], None],
) -> None:
    running = cluster(groups=1, nodes=3, rf=1, over={"server": {"request_timeout_ms": 120_000}})
    client, pid = running.client, running.server.pid
    client.create_index(index_name, "id")
    client.update_settings(index_name, SETTINGS)
    body = exactly(LIMIT)
    assert len(body) == LIMIT
    headers = NDJSON if encoding is None else {**NDJSON, "content-encoding": encoding}
    if encoding is not None:
        body = gzip.compress(body, 1)
    forget_peak_memory(pid)
    before = memory_kib(pid)
    with watched(running) as took:
        began = time.monotonic()
        answer = client.request("POST", f"/indexes/{index_name}/documents", content=body, headers=headers, timeout=200)
        elapsed = time.monotonic() - began
    grown = peak_memory_kib(pid) - before
    found = f"{elapsed:.2f} s, {grown >> 10} MiB, {len(took)} others, the slowest {max(took):.3f} s"
    record_property("large", found)
    assert answer.status_code == 202, answer.text
    assert grown << 10 < 10 * LIMIT, found
    assert len(took) >= 5, found
    assert max(took) < max(5.0, elapsed * 0.8), found
    task = client.succeeded(answer.json(), 200)
    assert task["details"] == {"receivedDocuments": COUNT, "indexedDocuments": COUNT}
    assert client.search(index_name, "large", attributesToRetrieve=["id"])["estimatedTotalHits"] == COUNT
    assert client.get(f"/indexes/{index_name}/documents/{COUNT - 1}")["text"].startswith("00063" * 100)
    assert client.get(f"/indexes/{index_name}/stats")["numberOfDocuments"] == COUNT


def test_one_byte_more_is_refused_as_by_a_node(
    cluster: Callable[..., Cluster],
    real_node: Callable[..., RealNode],
    index_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    miroir = cluster(groups=1, nodes=3, rf=1).client  # its nodes take more, whoever has started them
    monkeypatch.setattr("miroir.cli.dev_nodes._PAYLOAD_LIMIT_BYTES", LIMIT)
    body = exactly(LIMIT) + b" "
    refusals = []
    for api in (miroir, real_node().api):
        answer = api.request("POST", f"/indexes/{index_name}/documents", content=body, headers=NDJSON)
        refusals.append((answer.status_code, answer.json()))
        assert api.request("GET", f"/indexes/{index_name}").status_code == 404
    assert refusals[0] == refusals[1]
    assert refusals[0][0] == 413
