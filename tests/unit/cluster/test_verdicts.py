"""Verdicts on tasks: as long as it takes, and no node's silence is taken for its consent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from miroir.cluster import Cluster, Verdicts
from miroir.errors import ApiError
from miroir.http import ExchangeError
from miroir.nodes import NodeCall

CALL = NodeCall("verdict", "POST", "/indexes/{index}/documents", b"[]")


class Node:
    """Takes every payload, and is done with its task after a while, or never."""

    def __init__(self, after_s: float | None) -> None:
        self._after_s = after_s
        self.scratch = ""
        self.dropped: list[str] = []

    async def call(self, call: NodeCall, *, idempotent: bool) -> Any:
        assert not idempotent
        await trio.lowlevel.checkpoint()
        self.scratch = call.target.split("/")[2]
        return SimpleNamespace(status=202, body=b'{"taskUid":7}')

    async def finished(self, uid: int) -> Any:
        assert uid == 7
        if self._after_s is None:
            raise ExchangeError("gone", sent=True)
        await trio.sleep(self._after_s)
        error = SimpleNamespace(
            message=f"Index `{self.scratch}`: too deep", code="internal", type="internal", link="there"
        )
        return SimpleNamespace(error=error, details={"receivedDocuments": 3})

    async def enqueue(self, call: NodeCall) -> None:
        await trio.lowlevel.checkpoint()
        self.dropped.append(call.target)


def verdicts(*nodes: Node) -> Verdicts:
    clients = {f"n{number}": node for number, node in enumerate(nodes)}
    cluster = SimpleNamespace(readiest=lambda: list(clients), clients=clients)
    return Verdicts(cast(Cluster, cluster), node_timeout_s=1.0)


async def test_a_busy_node_is_waited_for(autojump_clock: MockClock) -> None:
    node = Node(after_s=25.0)
    verdict = await verdicts(node).judge_task(CALL, "books")
    assert verdict is not None
    assert (verdict.error["message"], verdict.received) == ("Index `books`: too deep", 3)
    assert node.dropped == [f"/indexes/{node.scratch}"]


async def test_whoever_waits_no_longer_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    node = Node(after_s=25.0)
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(10.0):
            await verdicts(node).judge_task(CALL, "books")
    assert node.dropped == [f"/indexes/{node.scratch}"]


@pytest.mark.parametrize("nodes", [(), (Node(after_s=None),)], ids=["nobody there", "gone before it has judged"])
async def test_without_a_verdict_the_client_is_to_come_again(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(ApiError) as raised:
        await verdicts(*nodes).judge_task(CALL, "books")
    assert (raised.value.status, raised.value.code) == (503, "miroir_no_quorum")
