"""Calls to a node: what goes over the wire, and what becomes of each kind of answer.

The other end is a listener that says what it is told to, byte by byte; a real node cannot be made to answer half.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pytest
import trio
import trio.testing

from miroir.http import ConnectFailed, ConnectionLost, Pool
from miroir.nodes import (
    META_INDEX,
    Accepted,
    Identity,
    NodeAnswerError,
    NodeCall,
    NodeClient,
    Refused,
    Unconfirmed,
    Unknown,
    Unsent,
)

_WRITE = NodeCall("write", "POST", "/indexes/i/documents", b"[]")


@dataclass
class _Listener:
    """Answers request after request with `answers`; what came in is in `requests`. Out of answers it hangs up."""

    port: int = 0
    answers: deque[bytes] = field(default_factory=deque)
    requests: list[bytes] = field(default_factory=list)
    observed: list[tuple[str, str, str | None]] = field(default_factory=list)
    hangs_up: bool = False
    """Each answer is the last of its connection."""
    silent: bool = False

    def says(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(text), text))

    async def serve(self, stream: trio.SocketStream) -> None:
        received = b""
        while True:
            head, end, rest = received.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if end and len(rest) >= length:
                self.requests.append(received)
                received = b""
                if self.silent:
                    await trio.sleep_forever()
                if not self.answers:
                    return
                await stream.send_all(self.answers.popleft())
                if self.hangs_up:
                    return
            else:
                chunk = await stream.receive_some()
                if not chunk:
                    return
                received += chunk

    @property
    def heads(self) -> list[str]:
        return [request.partition(b"\r\n")[0].decode() for request in self.requests]

    def body(self, number: int = -1) -> object:
        return json.loads(self.requests[number].partition(b"\r\n\r\n")[2])

    def observe(self, node: str, operation: str, seconds: float, error: str | None) -> None:
        assert seconds >= 0
        self.observed.append((node, operation, error))


@pytest.fixture
async def node() -> AsyncIterator[_Listener]:
    listener = _Listener()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, listener.serve, 0, host="127.0.0.1"))
        listener.port = listeners[0].socket.getsockname()[1]
        yield listener
        nursery.cancel_scope.cancel()


@pytest.fixture
async def client(node: _Listener) -> AsyncIterator[NodeClient]:
    client = NodeClient("n1", Pool(f"http://127.0.0.1:{node.port}"), node.observe)
    yield client
    await client.aclose()


# -- writes ----------------------------------------------------------------------------------------------------------


async def test_accepted(node: _Listener, client: NodeClient) -> None:
    node.says(202, {"taskUid": 12, "indexUid": "i", "status": "enqueued", "enqueuedAt": "now"})
    assert await client.enqueue(_WRITE) == Accepted(12)
    assert node.observed == [("n1", "write", None)]


@pytest.mark.parametrize("status", [400, 403, 404, 413, 415])
async def test_refused(node: _Listener, client: NodeClient, status: int) -> None:
    node.says(status, {"message": "no"})
    assert await client.enqueue(_WRITE) == Refused(status, b'{"message": "no"}')
    assert node.observed == [("n1", "write", None)]


@pytest.mark.parametrize(("status", "error"), [(500, "status_500"), (503, "status_503"), (302, None), (204, None)])
async def test_other_answers_are_unknown(node: _Listener, client: NodeClient, status: int, error: str | None) -> None:
    node.says(status, b"")
    assert isinstance(await client.enqueue(_WRITE), Unknown)
    assert node.observed == [("n1", "write", error)]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"taskUid":"12"}', b"<html>"])
async def test_an_unreadable_acceptance_is_unknown(node: _Listener, client: NodeClient, body: bytes) -> None:
    node.says(202, body)
    assert isinstance(await client.enqueue(_WRITE), Unknown)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 202 X\r\nContent-Le", b"HTTP/1.1 202 X\r\ncontent-length: 9\r\n\r\n{"]
)
async def test_a_cut_connection_is_unknown_and_never_sent_again(
    node: _Listener, client: NodeClient, answer: bytes
) -> None:
    node.hangs_up = True
    if answer:
        node.answers.append(answer)
    outcome = await client.enqueue(_WRITE)
    assert isinstance(outcome, Unknown), outcome
    assert node.observed[0][2] in ("ConnectionLost", "BadResponse")
    assert len(node.requests) == 1


async def test_a_reused_connection_is_no_excuse(node: _Listener, client: NodeClient) -> None:
    node.says(202, {"taskUid": 1})
    assert await client.enqueue(_WRITE) == Accepted(1)
    assert client.has_idle_connection
    assert isinstance(await client.enqueue(_WRITE), Unknown)
    assert len(node.requests) == 2


async def test_a_write_waits_for_a_look_at_the_node(node: _Listener, client: NodeClient) -> None:
    """An idle connection has ended: who answers now may be on another disk. Nothing is sent, nor held against it."""
    losses = 0

    def lost() -> None:
        nonlocal losses
        losses += 1

    node.hangs_up = True
    node.says(202, {"taskUid": 1})
    node.says(202, {"taskUid": 2})
    assert await client.enqueue(_WRITE) == Accepted(1)
    client.when_lost(lost)
    await trio.testing.wait_all_tasks_blocked()
    outcome = await client.enqueue(_WRITE)
    assert isinstance(outcome, Unconfirmed), outcome
    assert losses > 0
    assert len(node.requests) == 1
    assert {error for _, _, error in node.observed} <= {None, "cancelled"}


async def test_nobody_listens() -> None:
    """Not one byte left: nothing can have happened."""
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))  # nothing listens on it, and nobody else can
        observed: list[str | None] = []
        client = NodeClient(
            "n1",
            Pool(f"http://127.0.0.1:{taken.getsockname()[1]}"),
            lambda node, operation, seconds, error: observed.append(error),
        )
        assert isinstance(await client.enqueue(_WRITE), Unsent)
        with pytest.raises(ConnectFailed):
            await client.version()
        assert observed == ["ConnectFailed"] * 2
        await client.aclose()


async def test_a_cancelled_call_is_told_as_such(node: _Listener, client: NodeClient) -> None:
    """It says nothing about the node, and nothing about its speed."""
    node.silent = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.enqueue, _WRITE)
        with trio.fail_after(60):
            while not node.requests:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    assert node.observed == [("n1", "write", "cancelled")]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (_WRITE, [b"content-type: application/json"]),
        (
            NodeCall("w", "POST", "/x", b"a", b"text/csv", b"gzip"),
            [b"content-type: text/csv", b"content-encoding: gzip"],
        ),
        (NodeCall("w", "POST", "/x", b"a", b""), []),
        (NodeCall("w", "DELETE", "/x"), []),
    ],
)
async def test_headers_are_those_of_the_call(
    node: _Listener, client: NodeClient, call: NodeCall, expected: list[bytes]
) -> None:
    node.says(202, {"taskUid": 1})
    await client.enqueue(call)
    lines = node.requests[0].partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"content-") and b"length" not in line] == expected
    assert node.heads == [f"{call.method} {call.target} HTTP/1.1"]


# -- reads -----------------------------------------------------------------------------------------------------------


async def test_a_read_on_a_stale_connection_is_tried_again(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"commitSha": "x"})
    await client.version()
    with pytest.raises(ConnectionLost):
        await client.version()
    assert node.heads == ["GET /version HTTP/1.1"] * 3


async def test_identity(node: _Listener, client: NodeClient) -> None:
    told = {"id": "identity", "cluster_id": "c", "node_id": "n1", "incarnation": "life"}
    node.says(200, told)
    node.says(404, {"code": "index_not_found"})
    node.says(500, {"message": "broken"})
    node.says(200, {"id": "identity", "cluster_id": "c"})
    assert await client.identity() == Identity("c", "n1", "life")
    assert await client.identity() is None
    with pytest.raises(NodeAnswerError, match="n1 answered 500") as answered:
        await client.identity()
    assert (answered.value.node, answered.value.status) == ("n1", 500)
    with pytest.raises(msgspec.ValidationError):
        await client.identity()
    assert set(node.heads) == {f"GET /indexes/{META_INDEX}/documents/identity HTTP/1.1"}
    assert [operation for _, operation, _ in node.observed] == ["probe"] * 4


async def test_an_identity_is_written_when_its_task_has_ended(
    node: _Listener, client: NodeClient, autojump_clock: trio.testing.MockClock
) -> None:
    node.says(202, {"taskUid": 3})
    for status in ("enqueued", "processing", "succeeded"):
        node.says(200, {"results": [{"uid": 3, "status": status}]})
    await client.write_identity(Identity("c", "n1", "life"))
    assert node.heads[0] == f"POST /indexes/{META_INDEX}/documents?primaryKey=id HTTP/1.1"
    assert node.body(0) == [{"id": "identity", "cluster_id": "c", "node_id": "n1", "incarnation": "life"}]
    assert node.heads[1:] == ["GET /tasks?uids=3&limit=1 HTTP/1.1"] * 3


async def test_tasks(node: _Listener, client: NodeClient) -> None:
    """A page is 20 by default: whoever asks for more says so."""
    failure = {"message": "m", "code": "c", "type": "t", "link": "l"}
    node.says(200, {"results": [{"uid": 9, "status": "failed", "error": failure, "details": {"receivedDocuments": 1}}]})
    (task,) = await client.tasks([9, 10, 11])
    assert node.heads == ["GET /tasks?uids=9,10,11&limit=3 HTTP/1.1"]
    assert (task.uid, task.status, task.details) == (9, "failed", {"receivedDocuments": 1})
    assert task.error is not None
    assert task.error.code == "c"


async def test_the_newest_task(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": [{"uid": 41, "status": "succeeded"}], "total": 42})
    node.says(200, {"results": [], "total": 0})
    assert await client.highest_task_uid() == 41
    assert await client.highest_task_uid() == -1


async def test_documents(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": [{"id": 1}, {"id": 2}], "total": 2})
    listing = await client.list_documents("books", "s = 1", ("id", "seq"), 500)
    assert [bytes(document) for document in listing.results] == [b'{"id": 1}', b'{"id": 2}']
    assert node.body() == {"filter": "s = 1", "fields": ["id", "seq"], "limit": 500}
    node.says(200, {"results": [], "total": 0})
    await client.fetch_documents("books", ["1", "2"])
    assert node.body() == {"ids": ["1", "2"], "limit": 2, "retrieveVectors": True}
    node.says(200, {"results": [], "total": 17})
    assert await client.count_documents("books", "s = 1") == 17
    assert node.body() == {"filter": "s = 1", "limit": 0}
    assert set(node.heads) == {"POST /indexes/books/documents/fetch HTTP/1.1"}


async def test_documents_of_an_index_that_is_not_there(node: _Listener, client: NodeClient) -> None:
    """None of them are counted; a list of them there is not."""
    node.says(404, {"code": "index_not_found"})
    node.says(404, {"code": "index_not_found"})
    node.says(400, {"code": "invalid_document_filter"})
    assert await client.count_documents("books", "s = 1") == 0
    with pytest.raises(NodeAnswerError) as answered:
        await client.list_documents("books", "s = 1", ["id"], 1)
    assert answered.value.status == 404
    with pytest.raises(NodeAnswerError):
        await client.count_documents("books", "nonsense")


async def test_the_names_of_indexes(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": [{"uid": "books"}, {"uid": META_INDEX}], "total": 2})
    node.says(403, {"code": "invalid_api_key"})
    assert await client.index_names() == ["books", META_INDEX]
    with pytest.raises(NodeAnswerError):
        await client.index_names()


async def test_only_ended_tasks_are_asked_for(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": [{"uid": 4, "status": "canceled"}]})
    assert [task.uid for task in await client.ended_tasks([3, 4])] == [4]
    assert node.heads == ["GET /tasks?uids=3,4&statuses=succeeded,failed,canceled&limit=2 HTTP/1.1"]


async def test_a_task_that_the_node_has_lost_is_not_waited_for(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": [{"uid": 7, "status": "processing"}]})
    node.says(200, {"results": []})
    with pytest.raises(NodeAnswerError) as gone:
        await client.finished(7)
    assert gone.value.status == 404


async def test_tasks_are_named_one_by_one(node: _Listener, client: NodeClient) -> None:
    """To be canceled or forgotten: never by a filter that a neighbour's task might match."""
    node.says(200, {"taskUid": 8})
    node.says(200, {"taskUid": 9})
    assert await client.cancel_tasks([3, 4]) == Accepted(8)
    assert await client.delete_tasks([5]) == Accepted(9)
    assert node.heads == ["POST /tasks/cancel?uids=3,4 HTTP/1.1", "DELETE /tasks?uids=5 HTTP/1.1"]


async def test_what_is_left_of_an_index(node: _Listener, client: NodeClient) -> None:
    node.says(200, {"results": []})
    node.says(200, {"results": [{"uid": 7, "status": "succeeded"}]})
    assert await client.oldest_unfinished("books-2") is None
    assert await client.newest_task_uid("books-2") == 7
    assert node.heads == [
        "GET /tasks?indexUids=books-2&statuses=enqueued,processing&limit=1&reverse=true HTTP/1.1",
        "GET /tasks?indexUids=books-2&limit=1 HTTP/1.1",
    ]
