"""Scatter: ask several nodes at once, each for its shards, and have every shard answered if any copy can.

The good case is one task under one cancel scope: the requests go out one after the other, and the answers are read in
plan order, for a nursery costs more than what it would save. Only when a node fails or patience ends does it become
more: what has already arrived is taken first, so that nobody's answer is lost behind a slow one, and the shards that
are still open are planned again over other copies, until none is open or no copy is left.

A node whose disk was wiped answers as readily as before, and holds nothing. Until a probe has found it out, all that
tells it from an empty one is that it does not know the index. So that counts as empty only where a node in order may
not have come to the index yet; elsewhere the node has failed, and is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter
from typing import Final, Generic, TypeVar

import msgspec
import trio

from miroir.cluster import Cluster
from miroir.http import Exchange, ExchangeError, Response
from miroir.nodes import NodeCall
from miroir.search.plan import Plan, Target
from miroir.search.planner import Planner
from miroir.stamps import SEQ_FIELD, SHARD_FIELD
from miroir.telemetry import Metrics, get_logger

_log = get_logger(__name__)

Answer = TypeVar("Answer")

_LAST_LOOK_S = 0.005
_SUSPECT_EVERY_S: Final = 1.0
"""A node without an index is not looked at more often: its writes wait for that."""
_LACKING: Final = "status_404"
_REFUSED: Final = rb'^\{"message":"(?:Inside `\.queries\[\d+\]`: )?(?:Index `[^`]*`: )?'
"""How an error about an attribute begins. Only that is surely a node's own: texts repeat what clients sent."""
_SETTINGS_NOT_APPLIED: Final = re.compile(
    rb"%sAttribute `(?:%s` is not filterable|%s` is not sortable)"
    % (_REFUSED, SHARD_FIELD.encode(), SEQ_FIELD.encode())
)
# A node knows a field from the first document on that has it: until then it lists it as sortable, and refuses it.
_NO_DOCUMENT_YET: Final = re.compile(
    rb"%sAttribute `%s` is not sortable\. Available sortable attributes are: `[^`]*\b%s\b"
    % (_REFUSED, SEQ_FIELD.encode(), SEQ_FIELD.encode())
)


def holds_nothing(body: bytes) -> bool:
    """Whether a node refuses to sort by our field because the index has never had a document there."""
    return _NO_DOCUMENT_YET.search(body) is not None


def lacks_index(status: int, body: bytes) -> bool:
    """Whether a node refuses because it has no such index, or one without our settings.

    A client that names our fields was refused before anything was sent, so these texts are never about its request.
    """
    if status in (404, 400) and b'"code":"index_not_found"' in body:  # 400: of an index that a body names
        return True
    return _SETTINGS_NOT_APPLIED.search(body) is not None


def _never(_: int) -> bool:
    """No refusal stands for an empty answer."""
    return False


def _none(_: int, __: bytes) -> None:
    """No refusal is an answer."""


class NodeRefused(Exception):
    """A node called the request wrong (4xx): it is the client's error. `body` is the node's error, as sent."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body


class Gathered(msgspec.Struct, Generic[Answer]):
    """The answers, and the shards that nobody answered for. `targets[i]` gave `answers[i]`."""

    answers: list[Answer] = msgspec.field(default_factory=list)
    targets: list[Target] = msgspec.field(default_factory=list)
    unavailable: tuple[int, ...] = ()
    nodes_asked: int = 0


class Request(msgspec.Struct, Generic[Answer], frozen=True):
    """A read of one index. `parse` may raise `ValueError` or a msgspec error: then the node has failed.

    `is_empty(status)`: a refusal with that status counts as an answer that holds nothing. `read_refusal(status, body)`:
    the answer that a refusal stands for; None: it is one. `extra_s`: seconds that a node may take beyond its timeout,
    for what it waits for itself.
    """

    physical_uid: str
    shards: int
    call: Callable[[tuple[int, ...]], NodeCall]
    parse: Callable[[bytes], Answer]
    is_empty: Callable[[int], bool] = _never
    read_refusal: Callable[[int, bytes], Answer | None] = _none
    extra_s: float = 0.0


class Scatter:
    """Runs requests over the cluster.

    `may_lack(node, physical_uid)`: whether a node in order may be without that index now.
    """

    def __init__(
        self,
        cluster: Cluster,
        planner: Planner,
        metrics: Metrics,
        may_lack: Callable[[str, str], bool],
        *,
        node_timeout_s: float,
        retry_on_timeout: bool,
    ) -> None:
        self._cluster = cluster
        self._planner = planner
        self._metrics = metrics
        self._may_lack = may_lack
        self._suspected_at: dict[str, float] = {}
        self._node_timeout_s = node_timeout_s
        self._retry_on_timeout = retry_on_timeout

    async def gather(self, request: Request[Answer], plan: Plan | None = None) -> Gathered[Answer]:
        """Ask until every shard is answered or no copy of it is left. Raises `NodeRefused`."""
        if plan is None:
            plan = self._planner.plan(request.physical_uid, request.shards)
        gathered: Gathered[Answer] = Gathered()
        fan_out = len(plan.targets)
        retries = 0
        failed: set[str] = set()
        lacking: set[str] = set()
        gone = list(plan.unavailable)
        while plan.targets:
            open_shards, timed_out = await self._round(request, plan.targets, gathered, failed, lacking)
            if open_shards:  # a plan may ask several copies of a shard: one that has answered does
                answered = {shard for target in gathered.targets for shard in target.shards}
                open_shards = [shard for shard in open_shards if shard not in answered]
            if not open_shards:
                break
            if timed_out and not self._retry_on_timeout:
                gone += open_shards
                break
            retries += 1
            plan = self._planner.plan_rest(request.physical_uid, request.shards, open_shards, frozenset(failed))
            gone += plan.unavailable
        gathered.unavailable = tuple(sorted(gone))
        self._metrics.scattered(fan_out=fan_out, retries=retries, partial=bool(gone))
        return gathered

    async def _round(
        self,
        request: Request[Answer],
        targets: Sequence[Target],
        gathered: Gathered[Answer],
        failed: set[str],
        lacking: set[str],
    ) -> tuple[list[int], bool]:
        """One attempt at each target; the shards left open, and whether it was patience that ended."""
        started = perf_counter()
        exchanges: list[tuple[Target, NodeCall, Exchange]] = []
        open_shards: list[int] = []
        begun: set[str] = set()
        taken = 0
        gathered.nodes_asked += len(targets)

        def fail(target: Target, call: NodeCall, reason: str) -> None:
            open_shards.extend(target.shards)
            if reason == _LACKING:
                self._suspect(target.node)
                if target.node not in lacking:  # it may have made the index while its answer was on its way
                    lacking.add(target.node)
                    return
            failed.add(target.node)
            self._cluster.clients[target.node].observe(call.operation, perf_counter() - started, reason)

        try:
            with trio.move_on_after(self._node_timeout_s + request.extra_s) as patience:
                await self._send(request, targets, exchanges, begun, fail)
                for target, call, exchange in exchanges:
                    try:
                        response = await exchange.response()
                    except ExchangeError as failure:
                        fail(target, call, type(failure).__name__)
                    else:
                        self._take(request, target, call, response, started, gathered, fail)
                    taken += 1
            if patience.cancelled_caught:
                await self._last_look(request, exchanges[taken:], started, gathered, fail)
                sent = {target.node for target, _, _ in exchanges}
                for target in targets:
                    if target.node not in begun:  # it never had its turn, and is not to blame
                        open_shards.extend(target.shards)
                    elif target.node not in sent and target.node not in failed:
                        fail(target, request.call(target.shards), "timeout")
        finally:
            for _, _, exchange in exchanges:
                exchange.abandon()
        return open_shards, patience.cancelled_caught

    async def _send(
        self,
        request: Request[Answer],
        targets: Sequence[Target],
        exchanges: list[tuple[Target, NodeCall, Exchange]],
        begun: set[str],
        fail: Callable[[Target, NodeCall, str], None],
    ) -> None:
        async def send(target: Target) -> None:
            begun.add(target.node)
            call = request.call(target.shards)
            try:
                exchanges.append((target, call, await self._cluster.clients[target.node].start(call)))
            except ExchangeError as failure:
                fail(target, call, type(failure).__name__)

        clients = self._cluster.clients
        waiting = [target for target in targets if not clients[target.node].has_idle_connection]
        for target in targets:
            if target not in waiting:
                await send(target)
        if len(waiting) == 1:
            await send(waiting[0])
        elif waiting:  # connections have to be made: side by side, for one of them may hang
            async with trio.open_nursery() as nursery:
                for target in waiting:
                    nursery.start_soon(send, target)

    async def _last_look(
        self,
        request: Request[Answer],
        unread: Sequence[tuple[Target, NodeCall, Exchange]],
        started: float,
        gathered: Gathered[Answer],
        fail: Callable[[Target, NodeCall, str], None],
    ) -> None:
        """Patience has ended: take what has arrived meanwhile, and give up on the rest."""
        for target, call, exchange in unread:
            response: Response | None = None
            if exchange.has_arrived():
                with trio.move_on_after(_LAST_LOOK_S):
                    try:
                        response = await exchange.response()
                    except ExchangeError as failure:
                        fail(target, call, type(failure).__name__)
                        continue
            if response is None:
                fail(target, call, "timeout")
            else:
                self._take(request, target, call, response, started, gathered, fail)

    def _take(
        self,
        request: Request[Answer],
        target: Target,
        call: NodeCall,
        response: Response,
        started: float,
        gathered: Gathered[Answer],
        fail: Callable[[Target, NodeCall, str], None],
    ) -> None:
        if response.status == 200:
            try:
                answer = request.parse(response.body)
            except (ValueError, msgspec.MsgspecError) as failure:
                _log.warning("unreadable answer", node_id=target.node, reason=str(failure))
                fail(target, call, "unreadable")
                return
            gathered.answers.append(answer)
            gathered.targets.append(target)
        elif 400 <= response.status < 500 and response.status not in (401, 403, 408, 429):
            stands_for = request.read_refusal(response.status, response.body)
            if holds_nothing(response.body):
                pass  # an answer like any other
            elif stands_for is not None:
                gathered.answers.append(stands_for)
                gathered.targets.append(target)
            elif lacks_index(response.status, response.body):
                if not self._may_lack(target.node, request.physical_uid):
                    fail(target, call, _LACKING)
                    return
            elif not request.is_empty(response.status):
                raise NodeRefused(response.status, response.body)
        else:
            fail(target, call, f"status_{response.status}")
            return
        self._cluster.clients[target.node].observe(call.operation, perf_counter() - started, None)

    def _suspect(self, node: str) -> None:
        """It has lost an index: its disk may be another one."""
        now = trio.current_time()
        if now - self._suspected_at.get(node, -inf) >= _SUSPECT_EVERY_S:
            self._suspected_at[node] = now
            _log.warning("a node lacks an index that it should have", node_id=node)
            self._cluster.suspect(node)
