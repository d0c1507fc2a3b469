"""Mutated heads and chunked bodies against both parsers: nothing crashes, hangs or grows, and cuts do not show.

Hypothesis starts from well-formed streams and hurts them where it matters: bytes flipped, dropped, doubled, lines
swapped, pieces of other streams spliced in.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.http.framing import BodyTooLargeError, ChunkedDecoder, FramingError
from miroir.http.request_parser import END, NEED_DATA, Refused, RequestHead, RequestParser
from miroir.http.response import BadResponse
from miroir.http.response_parser import ResponseParser

SECONDS = 6.0
"""Time for each target; a slow machine sees fewer examples, not a longer run."""

MAX_HEAD, MAX_HEADERS, MAX_BODY = 600, 12, 400

SEEDS = (
    b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    b"POST /i HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /i HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    b"POST /i HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"GET http://h/p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    (
        b"GET / HTTP/1.1\r\nHost:x\r\nUpgrade: h2c\r\nHTTP2-Settings:A\r\nConnection: Upgrade\r\n"
        b"Content-Length: 2\r\n\r\nhi"
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nuntil the end",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
)
CHUNKED = (b"5\r\nhello\r\n0\r\n\r\n", b"1;x=y\r\na\r\nA\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"000\r\n\r\n")
WORDS = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"0",
        b"-1",
        b"+5",
        b"0x5",
        b"ffffffffffffffff",
        b"10000000000000000",
        b"Content-Length: 3\r\n",
        b"content-length:7\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: y\r\n",
        b",",
        b"\xff",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1",
        b"HTTP/0.9",
        b"GET ",
        b";" * 50,
        b"A: b\r\n" * 13,
        b"x" * 700,
    ]
)


@st.composite
def hurt(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    stream = b"".join(draw(st.lists(st.sampled_from(seeds), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(stream)))
        to = draw(st.integers(at, min(len(stream), at + 8)))
        stream = draw(
            st.sampled_from(
                [
                    stream[:at] + stream[to:],
                    stream[:to] + stream[at:to] + stream[to:],
                    stream[:at] + draw(WORDS) + stream[at:],
                    stream[:at] + draw(WORDS) + stream[to:],
                    stream[:at] + draw(st.binary(min_size=1, max_size=3)) + stream[to:],
                ]
            )
        )
    return stream


@st.composite
def hurt_and_cut(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> tuple[bytes, list[bytes]]:
    stream = draw(hurt(seeds))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return stream, [piece for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if (piece := stream[a:b])]


def fuzz(target: Callable[[tuple[bytes, list[bytes]]], None], seeds: tuple[bytes, ...]) -> int:
    """Rounds of new examples until the time is up; how many there were."""
    ends = time.monotonic() + SECONDS
    examples = 0

    @given(hurt_and_cut(seeds))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def run(case: tuple[bytes, list[bytes]]) -> None:
        nonlocal examples
        examples += 1
        target(case)

    while not examples or time.monotonic() < ends:
        run()
    return examples


def requests_in(pieces: list[bytes]) -> list[object]:
    parser = RequestParser(max_head_bytes=MAX_HEAD, max_headers=MAX_HEADERS, max_body_bytes=MAX_BODY)
    events: list[object] = []
    body = 0
    for piece in pieces:
        parser.feed(piece)
        while (event := parser.next_event()) is not NEED_DATA:
            if isinstance(event, Refused):
                assert event.status in (400, 413, 417, 431)
                return [*events, event.status]
            if isinstance(event, RequestHead):
                judge(event)
                body = 0
                events.append(
                    (event.method, event.raw_path, event.query_string, tuple(event.headers), event.keep_alive)
                )
            elif isinstance(event, bytes):
                assert event
                body += len(event)
                assert body <= MAX_BODY
                if events and isinstance(events[-1], bytes):
                    events[-1] += event
                else:
                    events.append(event)
            else:
                events.append(END)
        assert parser.buffered <= MAX_HEAD + len(piece)
    return events


def judge(head: RequestHead) -> None:
    """What every accepted head keeps, however it was written."""
    names = [name for name, _ in head.headers]
    assert len(names) <= MAX_HEADERS + 1  # the absolute form brings a Host
    assert names.count(b"host") <= 1
    assert head.http_version == "1.0" or names.count(b"host") == 1 or head.raw_path == b"*"
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert b"upgrade" not in names
    assert head.raw_path.startswith(b"/") or head.raw_path == b"*"
    for name, value in head.headers:
        assert name == name.lower()
        assert not set(b"\r\n\0 :") & set(name)
        assert not set(b"\r\n\0") & set(value)


def check_requests(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    assert requests_in(pieces) == requests_in([stream])


def answer_in(pieces: list[bytes]) -> object:
    parser = ResponseParser(is_head=False, max_body_bytes=MAX_BODY)
    try:
        for piece in pieces:
            if parser.feed(piece):
                break
        else:
            if not parser.feed_eof():
                return "cut off"
    except BadResponse:
        return "bad"
    response = parser.response()
    assert len(response.body) <= MAX_BODY
    return response.status, tuple(response.headers), response.body


def check_answers(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    whole, cut = answer_in([stream]), answer_in(pieces)
    # Where the answer ends early, what follows may be judged only when it came along.
    assert whole == cut or "bad" in (whole, cut)


def decoded(pieces: list[bytes]) -> tuple[bytes, str]:
    decoder = ChunkedDecoder(MAX_BODY, 200)
    body, rest = b"", b""
    try:
        for piece in pieces:
            rest += piece
            while True:
                data, pos, done = decoder.decode(rest, 0)
                body, rest = body + data, rest[pos:]
                if done:
                    return body, "done"
                if not data:
                    break
    except (FramingError, BodyTooLargeError) as exc:
        return body, type(exc).__name__
    return body, "more"


def check_chunks(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    assert decoded(pieces) == decoded([stream])
    assert len(decoded([stream])[0]) <= MAX_BODY


@pytest.mark.parametrize(
    ("target", "seeds"),
    [(check_requests, SEEDS), (check_answers, ANSWERS), (check_chunks, CHUNKED)],
    ids=["requests", "answers", "chunks"],
)
def test_fuzz(target: Callable[[tuple[bytes, list[bytes]]], None], seeds: tuple[bytes, ...]) -> None:
    assert fuzz(target, seeds) >= 100
