"""What we leave to a node: a payload our parsers refuse, or that a node would accept and then stumble over.

A node's parser (serde_json, the `csv` crate) is the definition of right, down to its texts. Where it and ours could
differ nothing is guessed: the payload goes, as the client sent it, to a hidden scratch index of one node, and the
node's answer, or the error of the task it fails, is the client's.
"""

from __future__ import annotations

import re
from typing import Final

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Unjudged(Exception):
    """Ask a node. `reason` is for the log; the client sees the node's words.

    `task`: a node accepts the payload with 202 and fails the task, so the verdict is that of the task.
    """

    def __init__(self, reason: str, *, task: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.task = task


def is_too_deep(text: bytes, limit: int) -> bool:
    """Whether a valid JSON text nests objects and arrays more than `limit` levels."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False
