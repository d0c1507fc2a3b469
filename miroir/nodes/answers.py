"""What a node can say to a write, and what it means when a read goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from miroir.errors import ApiError


@dataclass(frozen=True, slots=True)
class Accepted:
    """202: the node enqueued it under this task uid. Not done yet, and it may still fail."""

    task_uid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """4xx: nothing happened on the node, and it says why."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Unsent:
    """Not one byte left: nothing happened on the node."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unconfirmed(Unsent):
    """Not sent because a connection to the node has ended: it may be on another disk, and must be looked at first."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have arrived, and may still arrive. Never send it again."""

    reason: str


Outcome = Accepted | Refused | Unsent | Unknown


class NodeAnswerError(Exception):
    """A node answered a call of our own in a way we cannot use."""

    def __init__(self, node: str, status: int, body: bytes) -> None:
        super().__init__(f"{node} answered {status}: {body[:300].decode(errors='replace')}")
        self.node = node
        self.status = status
        self.body = body


class _Error(msgspec.Struct):
    message: str
    code: str
    type: str
    link: str


def error_of(status: int, body: bytes) -> ApiError | None:
    """A node's refusal as an error of ours, word for word; None where it is in no shape that nodes use."""
    try:
        error = msgspec.json.decode(body, type=_Error)
    except msgspec.MsgspecError:
        return None
    return ApiError(status, error.message, code=error.code, type=error.type, link=error.link)
