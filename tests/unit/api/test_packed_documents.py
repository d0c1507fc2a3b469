"""Documents that come compressed take room for what they are, not only for what they were sent as."""

from __future__ import annotations

import gzip
import zlib
from random import Random
from typing import cast

import brotli
import orjson
import pytest
import trio
import zstandard

from miroir.api import Admission, Aside, BodyBudget, DataPlane, Router
from miroir.api.document_routes import DocumentResource
from miroir.cluster import Verdicts, Written
from miroir.http import Message
from miroir.indexes import Registry
from miroir.ingest import DocumentWriter, Upload
from miroir.search import DocumentReader
from miroir.security import DataDoor
from miroir.store import TaskRow
from miroir.telemetry import Metrics
from tests.unit.security.strangers import Nobody, no_keys

PLAIN = b'[{"id":1,"text":"' + b"x" * 100_000 + b'"}]'
PACKED = [
    (b"gzip", gzip.compress(PLAIN)),
    (b"deflate", zlib.compress(PLAIN)),
    (b"br", brotli.compress(PLAIN)),
    (b"zstd", zstandard.compress(PLAIN)),
]
TASK = TaskRow(7, "books", "documentAdditionOrUpdate", "enqueued", (), {}, None, "2026-01-01T00:00:00Z")


class Rig:
    """The document routes behind a budget, before a writer that only notes what it gets and how much is held then."""

    def __init__(self, limit: int) -> None:
        self.budget = BodyBudget(limit, largest=1 << 20)
        self.written: list[tuple[bytes, int]] = []
        router = Router()
        nothing = object()
        admission = Admission(4)
        DocumentResource(
            cast(Registry, nothing),
            cast(DocumentWriter, self),
            cast(DocumentReader, nothing),
            cast(Verdicts, nothing),
            Aside(admission),
        ).register(router)
        door = DataDoor(None, no_keys(), Nobody())
        self.plane = DataPlane(router, door, admission, self.budget, Metrics(), timeout_s=5.0, rng=Random(7))

    async def add(self, _uid: str, _method: str, upload: Upload, *, creates: bool) -> Written:
        assert creates
        await trio.lowlevel.checkpoint()
        self.written.append((upload.body, self.budget.held))
        return Written(TASK, ())

    async def send(self, body: bytes, encoding: bytes) -> tuple[int, str | None]:
        """The status and the code of the error, if it is one."""
        sent: list[Message] = []

        async def receive() -> Message:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: Message) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(event)

        path = "/indexes/books/documents"
        headers = [(b"content-type", b"application/json"), (b"content-encoding", encoding)]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await self.plane(scope, receive, send)
        return sent[0]["status"], orjson.loads(sent[1]["body"]).get("code")


@pytest.mark.parametrize(("encoding", "body"), PACKED, ids=[encoding.decode() for encoding, _ in PACKED])
async def test_documents_hold_what_they_unpack_to_until_they_are_written(encoding: bytes, body: bytes) -> None:
    rig = Rig(1 << 20)
    assert await rig.send(body, encoding) == (202, None)
    assert rig.written == [(PLAIN, len(body) + len(PLAIN))]
    assert rig.budget.held == 0


@pytest.mark.parametrize(("encoding", "body"), PACKED, ids=[encoding.decode() for encoding, _ in PACKED])
async def test_documents_that_unpack_beyond_the_room_there_is_come_again(encoding: bytes, body: bytes) -> None:
    rig = Rig(len(PLAIN) // 2)
    assert await rig.send(body, encoding) == (503, "miroir_overloaded")
    assert rig.written == []
    assert rig.budget.held == 0, "whoever comes next finds the room free"


async def test_documents_that_are_not_in_their_encoding_hold_nothing_afterwards() -> None:
    rig = Rig(1 << 20)
    assert await rig.send(b"no gzip", b"gzip") == (400, "bad_request")
    assert rig.written == []
    assert rig.budget.held == 0
