"""Answers into bytes, read back by h11."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.http.refusals import format_size, payload_too_large
from miroir.http.response_writer import ResponseMisuseError, ResponseWriter


def writer(method: str = "GET", version: str = "1.1", keep_alive: bool = True) -> ResponseWriter:
    return ResponseWriter(method=method, http_version=version, keep_alive=keep_alive)


def read(stream: bytes, method: bytes = b"GET", *, eof: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(stream)
    if eof:
        client.receive_data(b"")
    body = b""
    head = client.next_event()
    assert isinstance(head, h11.Response)
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += bytes(event.data)
    return head.status_code, dict(head.headers), body


def write(
    one: ResponseWriter, parts: list[bytes], status: int = 200, headers: list[tuple[bytes, bytes]] | None = None
) -> bytes:
    one.start(status, headers or [])
    return b"".join(
        b"".join(one.body(part, more)) for part, more in zip(parts, [True] * (len(parts) - 1) + [False], strict=True)
    )


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_any_answer_is_read_as_it_was_given(parts: list[bytes], stated: bool, is_1_1: bool) -> None:
    one = writer(version="1.1" if is_1_1 else "1.0")
    length = sum(map(len, parts))
    headers = [(b"X-A", b"b"), *([(b"content-length", b"%d" % length)] if stated else [])]
    stream = write(one, parts, headers=headers)
    status, seen, body = read(stream, eof=not one.keep_alive)
    assert (status, seen[b"x-a"], body) == (200, b"b", b"".join(parts))
    assert one.complete
    assert one.keep_alive or not is_1_1


def test_one_piece_leaves_as_one_write() -> None:
    one = writer()
    one.start(200, [(b"content-type", b"text/plain")])
    assert len(one.body(b"hello", False)) == 1


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_no_body_where_none_may_be(status: int, method: str) -> None:
    seen, headers, body = read(write(writer(method), [b"abc"], status), method.encode())
    assert (seen, body) == (status, b"")
    assert b"transfer-encoding" not in headers
    assert (b"content-length" in headers) is (status != 204)


def test_close_is_said() -> None:
    assert read(write(writer(keep_alive=False), [b""]))[1][b"connection"] == b"close"
    one = writer()
    write(one, [b""], headers=[(b"Connection", b"close")])
    assert not one.keep_alive


@pytest.mark.parametrize(
    "header", [(b"a", b"b\r\nc: d"), (b"a\r\nc", b"d"), (b"a", b"b\nc"), (b"a", b"b\rc"), (b"a", b"\0")]
)
def test_no_line_break_leaves_in_a_header(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ResponseMisuseError):
        write(writer(), [b""], headers=[header])


@pytest.mark.parametrize("parts", [[b"ab"], [b"abcd"], [b"ab", b"cd"], [b"a", b"b"]])
def test_a_body_that_is_not_as_long_as_stated_is_misuse(parts: list[bytes]) -> None:
    with pytest.raises(ResponseMisuseError):
        write(writer(), parts, headers=[(b"content-length", b"3")])


def test_out_of_order_is_misuse() -> None:
    with pytest.raises(ResponseMisuseError):
        writer().body(b"", False)
    one = writer()
    write(one, [b""])
    with pytest.raises(ResponseMisuseError):
        one.body(b"", False)
    with pytest.raises(ResponseMisuseError):
        one.start(200, [])


@pytest.mark.parametrize(
    ("size", "text"),  # as Meilisearch 1.21 prints --http-payload-size-limit
    [
        (5, "5 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1024, "1 KiB"),
        (1025, "1.025 KB"),
        (1536, "1.536 KB"),
        (12288, "12 KiB"),
        (98304, "96 KiB"),
        (1024000, "1000 KiB"),
        (1048576, "1 MiB"),
        (1048577, "1.048577 MB"),
        (1572864, "1.5 MiB"),
        (2000000, "2 MB"),
        (123456789, "123.456789 MB"),
        (104857600, "100 MiB"),
    ],
)
def test_sizes_as_meilisearch_prints_them(size: int, text: str) -> None:
    assert format_size(size) == text
    assert payload_too_large(size).message.endswith(f"The maximum accepted payload size is {text}.")
