"""The dump out of a form: whatever the form is, in bounded memory, and with an answer that says what is wrong."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest

from miroir.admin.dump_upload import _Body
from miroir.errors import ApiError

FORM = b"multipart/form-data; boundary=x"
PIECE = bytes(1 << 16)


def body_of(pieces: Iterable[bytes]) -> _Body:
    left = iter(pieces)

    async def receive() -> dict[str, object]:
        piece = next(left, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return _Body(receive, FORM)


async def whole(body: _Body) -> bytes:
    found = b""
    while data := await body.next():
        found += data
    return found


def part(name: bytes, more: bytes = b"") -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n' % (name, more)


@pytest.mark.parametrize("at_once", [997, 1 << 16, 1 << 30])
async def test_a_file_larger_than_what_is_held_of_a_form_is_found(at_once: int) -> None:
    dump = bytes(range(256)) * 12_000
    form = part(b"note") + b"hello\r\n" + part(b"file", b'; filename="a.dump"') + dump + b"\r\n--x--\r\n"
    assert await whole(body_of(form[at : at + at_once] for at in range(0, len(form), at_once))) == dump


DUMPS = [b"", b"abc", b"\r", b"\n", b"\r\n\r\n", b"a\r\n--b\r\nc\r", b"--y", b"\r\n--", b"x\r\n-", b"\r\n--y"]
NO_BOUNDARIES = [b"\r\n--x1", b"\r\n--x-1", b"\r\n--x \ta", b"\r\n--x -\r\n--"]
ENDS = [b"--", b"--\r\n", b"-- \r\n", b"--\r\nepilogue", b" \t\r\n" + part(b"note")[5:] + b"hello\r\n--x--\r\n"]


@pytest.mark.parametrize("start", [b"", b"preamble\r\n", part(b"note") + b"hello\r\n"])
@pytest.mark.parametrize("end", ENDS)
async def test_a_form_may_be_cut_at_every_byte(start: bytes, end: bytes) -> None:
    for dump in DUMPS + NO_BOUNDARIES:
        form = start + part(b"file", b'; filename="a.dump"') + dump + b"\r\n--x" + end
        for cut in range(len(form)):
            assert await whole(body_of([form[:cut], form[cut:]])) == dump, (form[:cut], form[cut:])
        assert await whole(body_of(form[at : at + 1] for at in range(len(form)))) == dump


@pytest.mark.parametrize(
    "start",
    [b"", b"--x\r\nContent-Disposition: ", part(b"file", b'; filename="a"') + b"\r\n--x--\r\n"],
    ids=["no boundary", "a head without end", "behind the end"],
)
async def test_what_belongs_to_no_part_is_not_held_without_end(start: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ApiError) as refused:
            await whole(body_of([start, *[PIECE] * 320]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == 400
    assert peak < 8 << 20


async def test_a_form_of_many_parts_is_refused() -> None:
    with pytest.raises(ApiError, match="more than 16 parts") as refused:
        await whole(body_of([(part(b"note") + b"hello\r\n") * 17 + b"--x--\r\n"]))
    assert refused.value.status == 400


async def test_a_boundary_with_blanks_without_end_is_refused() -> None:
    start = part(b"file", b'; filename="a"') + b"\r\n--x"
    with pytest.raises(ApiError, match="bytes that belong to none") as refused:
        await whole(body_of([start, *[b" " * (1 << 16)] * 40]))
    assert refused.value.status == 400
