"""Requests out of bytes: what is refused, that cuts do not show, and agreement with h11."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.http.request_parser import END, NEED_DATA, Refused, RequestHead, RequestParser

HOST = b"Host: x\r\n"


def parse(
    pieces: list[bytes], *, max_head: int = 2000, max_headers: int = 20, max_body: int | None = 1000
) -> list[object]:
    """Every event of a stream; neighbouring body chunks are joined, because only their sum is promised."""
    parser = RequestParser(max_head_bytes=max_head, max_headers=max_headers, max_body_bytes=max_body)
    events: list[object] = []
    for piece in pieces:
        parser.feed(piece)
        while (event := parser.next_event()) is not NEED_DATA:
            if isinstance(event, bytes) and events and isinstance(events[-1], bytes):
                events[-1] += event
            else:
                events.append(event)
            if isinstance(event, Refused):
                return events
    return events


def request(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_get() -> None:
    head, end = parse([request(b"GET /a%20b?q=1 HTTP/1.1", b"Host: x:7700", b"X-A:  b \t ")])
    assert isinstance(head, RequestHead)
    assert (head.method, head.raw_path, head.query_string) == ("GET", b"/a%20b", b"q=1")
    assert head.headers == [(b"host", b"x:7700"), (b"x-a", b"b")]
    assert head.keep_alive
    assert head.content_length == 0
    assert end is END


def test_pipelined_requests_come_in_order() -> None:
    stream = (
        request(b"POST /1 HTTP/1.1", b"Host: x", b"Content-Length: 3", body=b"abc")
        + request(
            b"POST /2 HTTP/1.1", b"Host: x", b"Transfer-Encoding: Chunked", body=b"2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
        + request(b"GET /3 HTTP/1.1", b"Host: x")
    )
    events = parse([stream])
    assert [each.raw_path if isinstance(each, RequestHead) else each for each in events] == [
        b"/1", b"abc", END, b"/2", b"de", END, b"/3", END,
    ]  # fmt: skip


def test_upgrade_offer_keeps_the_body() -> None:
    stream = request(
        b"POST / HTTP/1.1", b"Host: x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", b"Content-Length: 4", body=b"body",
    )  # fmt: skip
    head, body, end = parse([stream])
    assert isinstance(head, RequestHead)
    assert {name for name, _ in head.headers} == {b"host", b"connection", b"content-length"}
    assert (body, end) == (b"body", END)


def test_a_method_llhttp_does_not_know_is_for_the_app_to_judge() -> None:
    head, _ = parse([request(b"BREW /pot HTTP/1.1", b"Host: x")])
    assert isinstance(head, RequestHead)
    assert head.method == "BREW"


def test_absolute_form_replaces_host() -> None:
    head, _ = parse([request(b"GET http://a:1/p?q HTTP/1.1", b"Host: x")])
    assert isinstance(head, RequestHead)
    assert (head.raw_path, head.query_string, head.headers) == (b"/p", b"q", [(b"host", b"a:1")])


def test_empty_lines_before_a_request_are_skipped() -> None:
    assert len(parse([b"\r\n\r\n" + request(b"GET / HTTP/1.1", b"Host: x")])) == 2


@pytest.mark.parametrize(
    ("line", "version", "expected"),
    [(b"X: y", b"1.1", True), (b"Connection: close", b"1.1", False), (b"Connection: foo, Close", b"1.1", False),
     (b"X: y", b"1.0", False), (b"Connection: Keep-Alive", b"1.0", True)],
)  # fmt: skip
def test_keep_alive(line: bytes, version: bytes, expected: bool) -> None:
    head = parse([request(b"GET / HTTP/" + version, b"Host: x", line)])[0]
    assert isinstance(head, RequestHead)
    assert head.keep_alive is expected


REFUSED: dict[str, tuple[int, bytes]] = {
    "two lengths": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1", b"Content-Length: 2")),
    "the same length twice": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1", b"Content-Length: 1")),
    "a list of lengths": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1, 1")),
    "signed length": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: +1")),
    "negative length": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: -1")),
    "hex length": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 0x1")),
    "empty length": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length:")),
    "huge length": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 99999999999999999999999")),
    "length, then chunked": (
        400,
        request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    ),
    "chunked, then length": (
        400,
        request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", b"Content-Length: 1"),
    ),
    "length and chunked behind an upgrade": (
        400,
        request(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Connection: upgrade",
            b"Upgrade: h2c",
            b"Content-Length: 1",
            b"Transfer-Encoding: chunked",
        ),
    ),
    "gzip, chunked": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: gzip, chunked")),
    "chunked, gzip": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked, gzip")),
    "identity": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: identity")),
    "xchunked": (400, request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: xchunked")),
    "chunked twice": (
        400,
        request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    ),
    "quoted chunked": (400, request(b"POST / HTTP/1.1", b"Host: x", b'Transfer-Encoding: "chunked"')),
    "chunked in 1.0": (400, request(b"POST / HTTP/1.0", b"Host: x", b"Transfer-Encoding: chunked")),
    "no host": (400, request(b"GET / HTTP/1.1", b"X: y")),
    "two hosts": (400, request(b"GET / HTTP/1.1", b"Host: x", b"Host: x")),
    "two hosts in 1.0": (400, request(b"GET / HTTP/1.0", b"Host: x", b"Host: x")),
    "host with a path": (400, request(b"GET / HTTP/1.1", b"Host: x/y")),
    "host with a user": (400, request(b"GET / HTTP/1.1", b"Host: a@x")),
    "host list": (400, request(b"GET / HTTP/1.1", b"Host: a b")),
    "space before the colon": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A : b")),
    "space in a name": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A b: c")),
    "no name": (400, request(b"GET / HTTP/1.1", b"Host: x", b": c")),
    "no colon": (400, request(b"GET / HTTP/1.1", b"Host: x", b"abc")),
    "name beyond ASCII": (400, request(b"GET / HTTP/1.1", b"Host: x", b"\xe9: c")),
    "folded header": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b", b" c")),
    "folded with a tab": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b", b"\tc")),
    "space before the first header": (400, request(b"GET / HTTP/1.1", b" Host: x")),
    "NUL in a value": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b\0c")),
    "control character in a value": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b\x01c")),
    "bare CR in a value": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b\rc")),
    "bare CR before CRLF": (400, request(b"GET / HTTP/1.1", b"Host: x", b"A: b\r")),
    "bare LF after a value": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n"),
    "bare LF after the request line": (400, b"GET / HTTP/1.1\nHost: x\r\n\r\n"),
    "bare LF before the end": (400, b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n"),
    "only LF": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "leading LF": (400, b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "leading CR": (400, b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "leading space": (400, b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00"),
    "two spaces": (400, request(b"GET  / HTTP/1.1", b"Host: x")),
    "space at the end": (400, request(b"GET / HTTP/1.1 ", b"Host: x")),
    "tab": (400, request(b"GET\t/ HTTP/1.1", b"Host: x")),
    "space in the target": (400, request(b"GET /a b HTTP/1.1", b"Host: x")),
    "target beyond ASCII": (400, request("GET /é HTTP/1.1".encode(), b"Host: x")),
    "control character in the target": (400, request(b"GET /\x7f HTTP/1.1", b"Host: x")),
    "relative target": (400, request(b"GET a/b HTTP/1.1", b"Host: x")),
    "absolute target with a user": (400, request(b"GET http://a@b/ HTTP/1.1", b"Host: x")),
    "ftp target": (400, request(b"GET ftp://a/ HTTP/1.1", b"Host: x")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/1.2": (400, request(b"GET / HTTP/1.2", b"Host: x")),
    "HTTP/2.0": (400, request(b"GET / HTTP/2.0", b"Host: x")),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http/1.1": (400, request(b"GET / http/1.1", b"Host: x")),
    "ICE": (400, request(b"SOURCE / ICE/1.0", b"Host: x")),
    "CONNECT": (400, request(b"CONNECT a:80 HTTP/1.1", b"Host: x")),
    "endless method": (400, request(b"G" * 40 + b" / HTTP/1.1", b"Host: x")),
    "unknown expectation": (417, request(b"POST / HTTP/1.1", b"Host: x", b"Expect: 200-ok", b"Content-Length: 1")),
    "head too large": (431, request(b"GET / HTTP/1.1", b"Host: x", b"A: " + b"b" * 2000)),
    "endless head": (431, b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 2000),
    "too many headers": (431, request(b"GET / HTTP/1.1", b"Host: x", *[b"A: b"] * 20)),
    "body too large": (413, request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1001")),
    "chunked body too large": (
        413,
        request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", body=b"3e9\r\n"),
    ),
}

CHUNKED_REFUSED = {
    "no size": b"\r\n",
    "not hex": b"zz\r\n",
    "0x": b"0x1\r\na\r\n",
    "sign": b"+1\r\na\r\n",
    "underscore": b"1_0\r\n",
    "space before": b" 1\r\na\r\n",
    "space behind": b"1 \r\na\r\n",
    "bare LF": b"1\na\r\n",
    "bare LF in extension": b"1;a\nb\r\na\r\n",
    "bare CR in extension": b"1;a\rb\r\na\r\n",
    "data too long": b"1\r\nab\r\n",
    "data without CRLF": b"1\r\na0\r\n\r\n",
    "data with LF": b"1\r\na\n0\r\n\r\n",
    "huge size": b"11111111111111111\r\n",
    "long extension": b"1;" + b"a" * 1100 + b"\r\na\r\n",
    "many extensions": (b"1;" + b"a" * 900 + b"\r\na\r\n") * 4,
    "bad trailer": b"0\r\nab c: d\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "endless trailers": b"0\r\n" + b"A: b\r\n" * 400,
    "LF trailer": b"0\r\n\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    status, stream = REFUSED[name]
    last = parse([stream])[-1]
    assert isinstance(last, Refused), last
    assert last.status == status, last
    last = parse([bytes((byte,)) for byte in stream])[-1]
    assert isinstance(last, Refused), last
    assert last.status == status, last


@pytest.mark.parametrize("name", CHUNKED_REFUSED)
def test_chunked_refused(name: str) -> None:
    stream = request(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", body=CHUNKED_REFUSED[name])
    last = parse([stream])[-1]
    assert isinstance(last, Refused), last
    assert last.status == 400


def test_a_refusal_is_final() -> None:
    parser = RequestParser(max_head_bytes=100, max_headers=5, max_body_bytes=None)
    parser.feed(b"nonsense\r\n\r\n")
    refused = parser.next_event()
    parser.feed(request(b"GET / HTTP/1.1", b"Host: x"))
    assert isinstance(refused, Refused)
    assert parser.next_event() is refused


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x;e=1\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\nT: 1\r\n\r\n"


bodies = st.binary(max_size=200)
well_formed = st.one_of(
    st.just(request(b"GET /x HTTP/1.1", b"Host: x")),
    bodies.map(lambda body: request(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), body=body)),
    st.lists(bodies, max_size=5).map(
        lambda parts: request(b"PUT / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", body=chunked(parts))
    ),
    st.just(request(b"GET /x HTTP/1.1", b"Host: x", b"Upgrade: h2c", b"Connection: upgrade")),
)
broken = st.sampled_from([stream for _, stream in REFUSED.values()])
chunked_broken = st.sampled_from(list(CHUNKED_REFUSED.values())).map(
    lambda body: request(b"PUT / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n" + body)
)
streams = st.tuples(
    st.lists(well_formed, max_size=4).map(b"".join), st.one_of(st.just(b""), broken, chunked_broken)
).map(b"".join)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    stream = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def without_reasons(events: list[object]) -> list[object]:
    return [each.status if isinstance(each, Refused) else each for each in events]


@given(cut_streams())
@settings(max_examples=300, deadline=None)
def test_cuts_do_not_show(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    assert without_reasons(parse(pieces)) == without_reasons(parse([stream]))


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_nothing_crashes_it(noise: bytes) -> None:
    whole = without_reasons(parse([noise]))
    assert without_reasons(parse([bytes((byte,)) for byte in noise])) == whole


def parse_with_h11(stream: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes] | None:
    """The first request as h11 reads it; None when it refuses it or wants more."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    body = b""
    head: h11.Request | None = None
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert head is not None
    return head.method.decode(), bytes(head.target), [(bytes(n), bytes(v)) for n, v in head.headers], body


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    names = st.sampled_from(
        [b"Host", b"Content-Length", b"Transfer-Encoding", b"A", b"x-y", b"Accept", b"Ho st", b"Connection"]
    )
    values = st.one_of(
        st.sampled_from([b"x", b"3", b"chunked", b"gzip, chunked", b"03", b"close", b"", b"3, 3", b" 3 ", b"\xe9"]),
        st.binary(max_size=5),
    )
    lines = draw(st.lists(st.tuples(names, st.sampled_from([b":", b": ", b" : "]), values).map(b"".join), max_size=5))
    start = draw(st.sampled_from([b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"PUT /c HTTP/1.0", b"GET  / HTTP/1.1"]))
    body = draw(
        st.sampled_from(
            [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n", b"03 \r\nabc\r\n0\r\n\r\n"]
        )
    )
    return request(start, b"Host: x", *lines, body=body)


@given(odd_requests())
@settings(max_examples=500, deadline=None)
def test_what_h11_and_we_both_accept_parses_alike(stream: bytes) -> None:
    theirs = parse_with_h11(stream)
    ours = parse([stream])
    if theirs is None or END not in ours:
        return
    head = ours[0]
    assert isinstance(head, RequestHead)
    target = head.raw_path + (b"?" + head.query_string if head.query_string else b"")
    body = ours[1] if isinstance(ours[1], bytes) else b""
    assert (head.method, target, body) == (theirs[0], theirs[1], theirs[3])
    # h11 writes the coding in lower case and numbers without leading zeros; the values of others are compared.
    framing = (b"transfer-encoding", b"content-length")
    assert [each for each in head.headers if each[0] not in framing] == [
        each for each in theirs[2] if each[0] not in framing
    ]
