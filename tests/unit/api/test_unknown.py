"""What is done with a path that only nodes newer than Miroir know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from miroir.api.messages import Request, Response
from miroir.api.unknown import UnknownPaths
from miroir.cluster import Cluster, Thresholds
from miroir.errors import ApiError
from miroir.http import ConnectFailed
from miroir.http import Response as NodeResponse
from miroir.nodes import NodeCall
from tests.unit.cluster.memory_node import MemoryNode
from tests.unit.cluster.topologies import plain

KNOWN = {
    "/rules": b'{"results":[]}',
    "/rules?limit=1": b'{"results":[1]}',
    "/names": b'{"results":["_miroir_meta"]}',
    "/indexes/books/fields": b'{"results":["title"]}',
}


class NewerNode(MemoryNode):
    """Knows some paths more, each for GET and POST; a bare OPTIONS is no method of theirs."""

    reachable = True
    sent: list[str]

    async def call(self, call: NodeCall, *, idempotent: bool | None = None, witnessed: bool = False) -> NodeResponse:
        await trio.lowlevel.checkpoint()
        if not self.reachable:
            raise ConnectFailed("gone")
        self.sent.append(f"{call.method} {call.target}")
        body = KNOWN.get(call.target)
        if body is None:
            return NodeResponse(404, [], b"")
        if call.method == "OPTIONS":
            return NodeResponse(405, [], b"")
        return NodeResponse(200, [(b"content-type", b"application/json")], body)


class Asked:
    """A cluster of one newer node."""

    def __init__(self) -> None:
        self.cluster = Cluster(plain(1, 1, 1), NewerNode, thresholds=Thresholds(3, 2), latency_half_life_ms=5000.0)
        self.cluster.node_identified("meili-0", "life")
        self.cluster.node_answered("meili-0")
        node = self.cluster.clients["meili-0"]
        assert isinstance(node, NewerNode)
        self.node = node
        self.node.sent = []

    async def answer(self, method: str, path: str, query: bytes = b"") -> Response:
        return await UnknownPaths(self.cluster, node_timeout_s=5).answer(Request(method, path, query, {}, b""))


async def test_a_get_that_is_about_no_index_is_passed_to_a_node() -> None:
    asked = Asked()
    answer = await asked.answer("GET", "/rules", b"limit=1")
    assert (answer.status, answer.body) == (200, b'{"results":[1]}')
    assert asked.node.sent == ["GET /rules?limit=1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/rules"),
        ("DELETE", "/rules"),
        ("GET", "/indexes/books/fields"),
        ("PATCH", "/indexes/books/fields"),
        ("GET", "/names"),
    ],
)
async def test_whatever_else_only_nodes_know_is_refused(method: str, path: str) -> None:
    asked = Asked()
    with pytest.raises(ApiError) as refusal:
        await asked.answer(method, path)
    assert (refusal.value.status, refusal.value.code) == (501, "miroir_not_supported")
    assert f"{method} {path}" in refusal.value.message
    assert not [sent for sent in asked.node.sent if not sent.startswith(("OPTIONS", "GET /names"))]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/nothing", "/indexes/books/nothing", "/indexes", "/a b\r\nx: y", "/é"])
async def test_what_nobody_knows_is_an_empty_404(method: str, path: str) -> None:
    asked = Asked()
    answer = await asked.answer(method, path)
    assert (answer.status, answer.body, answer.content_type) == (404, b"", b"")
    assert all(sent.isascii() and "\r" not in sent and sent.count(" ") == 1 for sent in asked.node.sent)


def _unreachable(asked: Asked) -> None:
    asked.node.reachable = False


def _unknown(asked: Asked) -> None:
    asked.cluster.node_condemned("meili-0", "wiped")


@pytest.mark.parametrize("lose", [_unreachable, _unknown])
async def test_with_no_node_to_ask_it_is_a_404_too(lose: Callable[[Asked], None]) -> None:
    asked = Asked()
    lose(asked)
    assert (await asked.answer("GET", "/rules")).status == 404
