"""Verdicts: what only a node can judge is shown to one, aimed at a scratch index that no client can name.

A node's parsers are the definition of right, down to their texts. So a body that ours refuse, or that a node would
accept and then fail, goes to a node as the client sent it, and what the node says is the client's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import uuid4

import msgspec
import trio

from miroir.cluster.state import Cluster
from miroir.errors import ApiError, ErrorBody, miroir_error, node_error
from miroir.http import ExchangeError, Response
from miroir.nodes import NodeAnswerError, NodeCall, error_of
from miroir.telemetry import get_logger

_log = get_logger(__name__)

SCRATCH_PREFIX: Final = "_miroir_scratch"
"""How scratch indexes are named at first. Each judgement has its own, or a neighbour's deletion would join it.

One that a node made after nobody waited for its answer any more is dropped as a stray (`miroir.indexes.strays`).
"""

_NO_NAME: Final = "%20"
ANYWHERE: Final = nullcontext()
"""Where those stand who keep their place while they wait."""
_CLEAN_UP_S: Final = 2.0


class _Enqueued(msgspec.Struct, rename="camel"):
    task_uid: int


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """The error of the task a node fails, and how many documents it had received."""

    error: ErrorBody
    received: int


class Verdicts:
    """Asks usable nodes, the readiest first, until one answers; each has `node_timeout_s`."""

    def __init__(self, cluster: Cluster, *, node_timeout_s: float) -> None:
        self._cluster = cluster
        self._node_timeout_s = node_timeout_s

    async def refuse(self, call: NodeCall, uid: str) -> NoReturn:
        """Raise a node's refusal of this call. Only for what a node is sure to refuse.

        `call.target` has `{index}` where the index stands; `uid` is the index that texts shall name.
        """
        answered = await self._ask(_aimed(call, SCRATCH_PREFIX))
        if answered is not None:
            _raise_refusal(answered[1], SCRATCH_PREFIX, uid)
            _log.warning("a node took what was to be refused", node_id=answered[0], operation=call.target)
        raise node_error(400, "bad_request", "The request's body is not what this route takes.")

    async def check(self, call: NodeCall, uid: str) -> None:
        """Raise a node's refusal of this call, or return if a node takes it.

        Only for what changes nothing on an index that is not there: what a node has taken fails as a task of its own.
        503 `miroir_no_quorum` with no node there to look at it.
        """
        answered = await self._ask(_aimed(call, SCRATCH_PREFIX))
        if answered is None:
            raise _nobody_there()
        _raise_refusal(answered[1], SCRATCH_PREFIX, uid)

    async def check_body(self, call: NodeCall) -> None:
        """Raise a node's refusal of this call's body, or return if it is well formed.

        A node reads the body before the name of the index. So the call is aimed at a name that no index can have: it is
        refused in any case, and nothing happens. 503 `miroir_no_quorum` with no node there to look at it.
        """
        answered = await self._ask(_aimed(call, _NO_NAME))
        if answered is None:
            raise _nobody_there()
        if b'"invalid_index_uid"' not in answered[1].body:
            _raise_refusal(answered[1], _NO_NAME, _NO_NAME)

    async def try_out(self, method: str, template: str, body: Mapping[str, Any], uid: str) -> None:
        """Raise a node's refusal to enqueue this for an index that is not there yet; how it would end is not asked."""
        scratch = f"{SCRATCH_PREFIX}_{uuid4().hex}"
        answered = await self._ask(_aimed(NodeCall("verdict", method, template, msgspec.json.encode(body)), scratch))
        if answered is None:
            return
        node, response = answered
        _raise_refusal(response, scratch, uid)
        await self._drop(node, scratch)

    async def judge_task(
        self, call: NodeCall, uid: str, *, aside: AbstractAsyncContextManager[None] = ANYWHERE
    ) -> TaskVerdict | None:
        """Raise a node's refusal, or return how the task fails on the node; None if it does not fail.

        The task waits behind the node's others, for as long as the caller does, who stands `aside` meanwhile. 503
        `miroir_no_quorum` with no node there to look at it.
        """
        scratch = f"{SCRATCH_PREFIX}_{uuid4().hex}"
        answered = await self._ask(_aimed(call, scratch))
        if answered is None:
            raise _nobody_there()
        node, response = answered
        _raise_refusal(response, scratch, uid)
        client = self._cluster.clients[node]
        try:
            enqueued = msgspec.json.decode(response.body, type=_Enqueued).task_uid
            async with aside:
                task = await client.finished(enqueued)
        except (ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
            _log.info("no verdict", node_id=node, reason=str(failure))
            raise _nobody_there() from None
        finally:
            await self._drop(node, scratch)
        if task.error is None:
            return None
        error: ErrorBody = {
            "message": task.error.message.replace(scratch, uid),
            "code": task.error.code,
            "type": task.error.type,
            "link": task.error.link,
        }
        return TaskVerdict(error, int((task.details or {}).get("receivedDocuments") or 0))

    async def _drop(self, node: str, scratch: str) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEAN_UP_S):
            await self._cluster.clients[node].enqueue(NodeCall("verdict", "DELETE", f"/indexes/{scratch}"))

    async def _ask(self, call: NodeCall) -> tuple[str, Response] | None:
        for node in self._cluster.readiest():
            with trio.move_on_after(self._node_timeout_s):
                try:
                    response = await self._cluster.clients[node].call(call, idempotent=False)
                except ExchangeError:
                    continue
                if response.status <= 500:  # a node says 500 to some payloads, and means it
                    return node, response
        return None


def _nobody_there() -> ApiError:
    return miroir_error("miroir_no_quorum", "No node can be reached to check this request. Try again shortly.")


def _aimed(call: NodeCall, index: str) -> NodeCall:
    return msgspec.structs.replace(call, target=call.target.replace("{index}", index))


def _raise_refusal(response: Response, scratch: str, uid: str) -> None:
    error = error_of(response.status, response.body) if response.status >= 400 else None
    if error is not None:
        message = error.message.replace(scratch, uid)
        raise ApiError(error.status, message, code=error.code, type=error.type, link=error.link)
