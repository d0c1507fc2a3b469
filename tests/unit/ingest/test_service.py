"""What a document write does on the event loop, and what it does not."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from miroir.indexes import Registry
from miroir.ingest import DocumentWriter, service
from miroir.ingest.batch import Batch
from miroir.ingest.stamping import stamp_batch
from miroir.store import IndexRow, Intent

NOW = "2026-03-01T12:00:00Z"
INTENT = Intent(1_770_000_000_000_000, "books", "books", (0, 1), 1, "p1", 0)
BATCH = Batch("id", ["1", "2"], [b'{"id":1}', b'{"id":2}'])


def _writer() -> Any:
    absent: Any = None
    return DocumentWriter(absent, absent, absent, absent, max_body_bytes=1, reject_missing_key=True, anti_entropy=True)


async def test_the_documents_of_a_large_payload_are_stamped_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return stamp_batch(*args, **kwargs)

    monkeypatch.setattr(service, "stamp_batch", watched)
    index = Registry(exact_ties=True).put(IndexRow("books", "books", "id", 2, b"{}", 1, False, NOW, NOW))
    large = _writer()._addition(index, "POST", BATCH, 1 << 20)
    assert large.prepare is not None
    await large.prepare(INTENT, {(0,), (0, 1)})
    assert threads
    assert threading.get_ident() not in threads
    (whole,) = large.calls(INTENT, (0, 1))
    small = _writer()._addition(index, "POST", BATCH, 100)
    assert small.prepare is None
    assert small.calls(INTENT, (0, 1)) == (whole,)
    assert len(threads) == 2, "each payload is stamped once"
    assert threads[1] == threading.get_ident()
