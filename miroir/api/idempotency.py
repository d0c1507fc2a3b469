"""`Idempotency-Key`: a write that is sent again is answered with the task of the first time, and done once.

The key is scoped by credential, so that clients cannot meet on one by chance, and stands for the whole request: method,
path, query, content type and encoding, body. The store binds it to the task in the transaction that registers the task
(`miroir.store.claims`); what is here finds the binding, and lets requests under one key wait for each other. What
becomes of a key whose first attempt came to no end stands in docs/idempotency.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from time import time
from typing import Final

import trio

from miroir.api.messages import Request, Response, json_response
from miroir.api.routing import Endpoint
from miroir.errors import ApiError, miroir_error
from miroir.store import Claim, IdempotencyRow, KeyTaken, Store, TaskSummary, claimed
from miroir.tasks import enqueued_view
from miroir.telemetry import Metrics

HEADER: Final = b"idempotency-key"

_LARGE_BYTES: Final = 1 << 20
_ANSWERED_OK: Final = frozenset({"taskCancelation", "taskDeletion"})
"""Tasks that a node answers with 200; all others with 202."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A request that is under way under a key."""

    fingerprint: bytes
    ended: trio.Event = field(default_factory=trio.Event)


class IdempotencyKeys:
    """Answers writes under a key. `ttl_s`: how long a key is remembered."""

    def __init__(self, store: Store, metrics: Metrics, *, ttl_s: int) -> None:
        self._store = store
        self._metrics = metrics
        self._ttl_ms = ttl_s * 1000
        self._under_way: dict[bytes, _Attempt] = {}
        metrics.offer_idempotency()

    async def answer(self, request: Request, endpoint: Endpoint) -> Response:
        """The answer of the first time, or the endpoint's. Raises what that raises, and 409 for another request."""
        claim = Claim(_scoped_key(request), await _fingerprint(request), int(time() * 1000) + self._ttl_ms)
        waited = False
        while (first := self._under_way.get(claim.key)) is not None:
            if first.fingerprint != claim.fingerprint:
                raise self._reused()
            waited = True
            await first.ended.wait()
        attempt = self._under_way[claim.key] = _Attempt(claim.fingerprint)
        try:
            return await self._answer_alone(claim, request, endpoint, waited=waited)
        finally:
            del self._under_way[claim.key]
            attempt.ended.set()

    async def _answer_alone(self, claim: Claim, request: Request, endpoint: Endpoint, *, waited: bool) -> Response:
        kept = await self._find(claim)
        if kept is not None and kept.task is not None:
            return self._again(kept.task, waited=waited)
        self._metrics.idempotency_key_seen("miss" if kept is None else "resumed")
        try:
            with claimed(claim):
                return await endpoint(request)
        except KeyTaken:  # another process was faster, and is done by now
            kept = await self._find(claim)
            if kept is None or kept.task is None:
                raise
            return self._again(kept.task, waited=True)

    async def _find(self, claim: Claim) -> IdempotencyRow | None:
        kept = await self._store.find_idempotency(claim.key, int(time() * 1000))
        if kept is not None and kept.fingerprint != claim.fingerprint:
            raise self._reused()
        return kept

    def _again(self, task: TaskSummary, *, waited: bool) -> Response:
        self._metrics.idempotency_key_seen("waited" if waited else "dedup")
        return json_response(200 if task.type in _ANSWERED_OK else 202, enqueued_view(task))

    def _reused(self) -> ApiError:
        self._metrics.idempotency_key_seen("conflict")
        return miroir_error(
            "miroir_idempotency_key_reused",
            "This Idempotency-Key was sent with another request before. Take a new key for every new request.",
        )


def _scoped_key(request: Request) -> bytes:
    """The key as it is kept: a digest, so that keys may be of any length and no credential is stored."""
    return _digest([request.headers.get(b"authorization", b""), request.headers[HEADER]])


async def _fingerprint(request: Request) -> bytes:
    headers = request.headers
    parts = [
        request.method.encode(),
        request.path.encode(),
        request.query_string,
        headers.get(b"content-type", b""),
        headers.get(b"content-encoding", b""),
        request.body,
    ]
    if len(request.body) < _LARGE_BYTES:
        return _digest(parts)
    return await trio.to_thread.run_sync(_digest, parts)


def _digest(parts: list[bytes]) -> bytes:
    """SHA-256 of the parts, each with its length in front: no two lists of them are one text."""
    digest = sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
