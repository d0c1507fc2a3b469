"""Large payloads are read and stamped in threads: searches and probes go on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from miroir.cluster import Writer
from miroir.indexes import Index, IndexService, Registry
from miroir.ingest import service
from miroir.ingest.batch import Batch
from miroir.ingest.payload import Format
from miroir.ingest.service import DocumentWriter, Upload
from miroir.store import Intent
from miroir.tasks import TaskTracker

SMALL = b'[{"id":1}]'
LARGE = b'[{"id":1,"text":"' + b"x" * (1 << 20) + b'"}]'
INDEX = cast(Index, SimpleNamespace(uid="books", physical_uid="books", row=SimpleNamespace(shards=4)))
INTENT = Intent(1, "books", "books", (0, 1, 2, 3), 1, "peer", 0)


class Judged(Exception):
    """The payload has passed."""


async def _stop(*_: object) -> NoReturn:
    raise Judged


@pytest.fixture
def writer() -> DocumentWriter:
    return DocumentWriter(
        cast(Registry, SimpleNamespace(find=lambda _uid: None)),
        cast(IndexService, SimpleNamespace(ensure=_stop)),
        cast(TaskTracker, None),
        cast(Writer, None),
        reject_missing_key=True,
        anti_entropy=True,
    )


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Who did the heavy work, by its name."""
    seen: dict[str, list[int]] = {}

    def watched(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **more: Any) -> Any:
            seen.setdefault(name, []).append(threading.get_ident())
            return work(*args, **more)

        return done

    for name in ("decode_payload", "read_batch", "stamp_batch", "node_payload"):
        monkeypatch.setattr(service, name, watched(name, getattr(service, name)))
    return seen


@pytest.mark.parametrize(("body", "apart"), [(SMALL, False), (LARGE, True)], ids=["small", "large"])
async def test_a_large_payload_is_judged_in_a_thread(
    writer: DocumentWriter, threads: dict[str, list[int]], body: bytes, apart: bool
) -> None:
    with pytest.raises(Judged):
        await writer.add("books", "POST", Upload(body, Format.JSON, None, None))
    here = threading.get_ident()
    assert [(name, ident != here) for name, (ident,) in threads.items()] == [
        ("decode_payload", apart),
        ("read_batch", apart),
    ]


@pytest.mark.parametrize(("size", "apart"), [(10, False), (1 << 20, True)])
async def test_a_large_batch_is_stamped_in_a_thread_and_once(
    writer: DocumentWriter, threads: dict[str, list[int]], size: int, apart: bool
) -> None:
    document = b'{"id":1,"x":"' + b"x" * size + b'"}'
    operation = writer._addition(INDEX, "POST", Batch("id", ["1"], [document]))
    parts = ((0, 1), (2, 3), (0, 1))
    assert (operation.prepare is not None) == apart
    if operation.prepare is not None:
        await operation.prepare(INTENT, parts)
    bodies = [operation.calls(INTENT, part)[0].body for part in parts]
    assert {document[1:-1] in body for body in bodies} == {True, False}
    here = threading.get_ident()
    assert [ident != here for ident in threads["stamp_batch"]] == [apart]
    assert [ident != here for ident in threads["node_payload"]] == [apart, apart]
