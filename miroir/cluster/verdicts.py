"""Verdicts: what only a node can judge is shown to one, aimed at a scratch index that no client can name.

A node's parsers are the definition of right, down to their texts. So a body that ours refuse, or that a node would
accept and then fail, goes to a node as the client sent it, and what the node says is the client's answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec
import trio

from miroir.cluster.state import Cluster
from miroir.errors import ApiError, ErrorBody, node_error
from miroir.http import ExchangeError, Response
from miroir.nodes import NodeAnswerError, NodeCall
from miroir.telemetry import get_logger

_log = get_logger(__name__)

SCRATCH_INDEX: Final = "_miroir_scratch"

_TASK_PATIENCE_S: Final = 5.0


class _Error(msgspec.Struct):
    message: str
    code: str
    type: str
    link: str


class _Enqueued(msgspec.Struct, rename="camel"):
    task_uid: int


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """The error of the task a node fails, and how many documents it had received."""

    error: ErrorBody
    received: int


class Verdicts:
    """Asks usable nodes, one after the other until one answers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def refuse(self, call: NodeCall) -> NoReturn:
        """Raise a node's refusal of this call. Only for what a node is sure to refuse."""
        answered = await self._ask(call)
        if answered is not None:
            _raise_refusal(answered[1])
            _log.warning("a node took what was to be refused", node_id=answered[0], operation=call.target)
        raise node_error(400, "bad_request", "The request's body is not what this route takes.")

    async def judge_task(self, call: NodeCall, uid: str) -> TaskVerdict | None:
        """Raise a node's refusal, or return how the task fails on the node; None if it does not fail.

        `uid` is the index that texts shall name. The scratch index is deleted again.
        """
        answered = await self._ask(call)
        if answered is None:
            return None
        node, response = answered
        _raise_refusal(response)
        client = self._cluster.clients[node]
        try:
            with trio.fail_after(_TASK_PATIENCE_S):
                task = await client.finished(msgspec.json.decode(response.body, type=_Enqueued).task_uid)
                await client.enqueue(NodeCall("verdict", "DELETE", f"/indexes/{SCRATCH_INDEX}"))
        except (trio.TooSlowError, ExchangeError, NodeAnswerError, msgspec.DecodeError) as failure:
            _log.info("no verdict", node_id=node, reason=str(failure))
            return None
        if task.error is None:
            return None
        error: ErrorBody = {
            "message": task.error.message.replace(SCRATCH_INDEX, uid),
            "code": task.error.code,
            "type": task.error.type,
            "link": task.error.link,
        }
        return TaskVerdict(error, int((task.details or {}).get("receivedDocuments") or 0))

    async def _ask(self, call: NodeCall) -> tuple[str, Response] | None:
        for node in sorted(self._cluster.usable_nodes()):
            try:
                response = await self._cluster.clients[node].call(call, idempotent=False)
            except ExchangeError:
                continue
            if response.status <= 500:  # a node says 500 to some payloads, and means it
                return node, response
        return None


def _raise_refusal(response: Response) -> None:
    if response.status < 400:
        return
    try:
        error = msgspec.json.decode(response.body, type=_Error)
    except msgspec.DecodeError:
        return
    raise ApiError(response.status, error.message, code=error.code, type=error.type, link=error.link)
