"""Answers out of bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.http.response import BadResponse
from miroir.http.response_parser import ResponseParser


def parser(*, is_head: bool = False, limit: int = 1000) -> ResponseParser:
    return ResponseParser(is_head=is_head, max_body_bytes=limit)


COMPLETE = {
    "sized": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc", True),
    "empty": (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, b"", True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n",
        200,
        b"abc",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", 200, b"a", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, b"a", False),
    "unasked bytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", 200, b"a", False),
    "two answers": (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 204, b"", False),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete(name: str) -> None:
    stream, status, body, reusable = COMPLETE[name]
    one = parser()
    assert one.feed(stream)
    response = one.response()
    assert (response.status, response.body, one.reusable) == (status, body, reusable)


@given(st.sampled_from([each for each in COMPLETE.values() if each[3]]), st.lists(st.integers(0, 200), max_size=20))
@settings(deadline=None)
def test_cuts_do_not_show(case: tuple[bytes, int, bytes, bool], cuts: list[int]) -> None:
    stream, status, body, reusable = case
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    one = parser()
    done = [one.feed(stream[a:b]) for a, b in itertools.pairwise(edges)]
    assert done == [False] * (len(done) - 1) + [True]
    assert (one.status, one.response().body, one.reusable) == (status, body, reusable)


def test_head_has_no_body() -> None:
    one = parser(is_head=True)
    assert one.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert one.reusable
    assert one.response().header(b"content-length") == b"500"


def test_close_delimited() -> None:
    one = parser()
    assert not one.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not one.feed(b"c")
    assert one.feed_eof()
    assert one.response().body == b"abc"
    assert not one.reusable


@pytest.mark.parametrize(
    "half",
    [b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"],
)  # fmt: skip
def test_half_an_answer(half: bytes) -> None:
    one = parser()
    assert not one.feed(half)
    assert not one.feed_eof()


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x02",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000,
    ],
)
def test_garbage(stream: bytes) -> None:
    with pytest.raises(BadResponse) as caught:
        parser().feed(stream)
    assert caught.value.sent
