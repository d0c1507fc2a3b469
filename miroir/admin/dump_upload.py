"""`POST /_miroir/dumps/import`: a dump, as large as it may be, straight from the connection to the disk.

Beside the QuartTrio app, which would hold it in memory. The body is the dump as it is, or a form with the dump as its
file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from time import perf_counter
from typing import Final
from urllib.parse import parse_qsl

import orjson
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, File, MultipartDecoder, NeedData

from miroir.errors import ApiError, node_error
from miroir.http import ClientDisconnected, Receive, Scope, Send
from miroir.security import AdminDoor
from miroir.telemetry import log_request, request_id
from miroir.upkeep import DumpImports, IfExists, import_view

PATH: Final = "/_miroir/dumps/import"
_CHOICES: Final[dict[str, IfExists]] = {"fail": "fail", "merge": "merge"}
_PARTS_AT_MOST: Final = 16
_FORM_HELD_AT_MOST: Final = 1 << 20
"""Bytes of a form in which nothing is found yet: its head, the heads of its parts, what follows its end."""
_FORM_PIECE: Final = 1 << 16
_BLANKS: Final = re.compile(rb"[ \t]*")
_MAY_END: Final = re.compile(rb"-|[ \t]*")
"""What may stand behind a boundary before its line is known to be one: half of what ends a form, or blanks."""


def is_upload(scope: Scope) -> bool:
    """Whether the request is for `DumpUpload`."""
    method, path = scope["method"], scope["path"]
    return bool(method == "POST" and path == PATH)


class DumpUpload:
    """An ASGI app for this one request."""

    def __init__(self, imports: DumpImports, door: AdminDoor) -> None:
        self._imports = imports
        self._door = door
        self._rng = Random()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One upload."""
        started = perf_counter()
        headers = dict(reversed(scope["headers"]))
        own_id = request_id(headers.get(b"x-request-id"), self._rng)
        status = 499
        try:
            try:
                self._door.admit(headers.get(b"authorization"), headers.get(b"x-admin-key"))
                if_exists = _if_exists(scope["query_string"])
                body = _Body(receive, headers.get(b"content-type", b""))
                answer = import_view(await self._imports.take(body.next, if_exists))
                status, extra = 202, {}
            except ApiError as error:
                status, answer, extra = error.status, dict(error.body()), dict(error.headers)
            payload = orjson.dumps(answer)
            sent = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(payload)),
                (b"x-request-id", own_id.encode()),
                *((name.encode(), value.encode()) for name, value in extra.items()),
            ]
            await send({"type": "http.response.start", "status": status, "headers": sent})
            await send({"type": "http.response.body", "body": payload})
        except ClientDisconnected:
            status = 499
        finally:
            log_request(own_id, "POST", PATH, status, (perf_counter() - started) * 1000.0)


class _Form:
    """A form, taken apart as it comes, wherever it is cut.

    Werkzeug (3.1.9, the newest there is) takes the line break before a boundary for data when the bytes it has end
    behind the boundary and before the end of its line. So a line that may become one waits here for its rest.
    """

    def __init__(self, boundary: bytes) -> None:
        self._decoder = MultipartDecoder(boundary, max_form_memory_size=_FORM_HELD_AT_MOST, max_parts=_PARTS_AT_MOST)
        self._delimiter = b"--" + boundary
        self._waiting = b""

    def events(self, chunk: bytes, *, ended: bool) -> Iterable[Event]:
        """What the form tells of, once it has these bytes too.

        In pieces, since the decoder counts what it holds before it looks. `RequestEntityTooLarge` for more than may be
        held, `ValueError` for what is no form.
        """
        for start in range(0, len(chunk), _FORM_PIECE):
            piece = self._waiting + chunk[start : start + _FORM_PIECE]
            end = self._unfinished_line(piece)
            self._waiting = piece[end:]
            if len(self._waiting) > _FORM_HELD_AT_MOST:
                raise RequestEntityTooLarge
            if end:
                self._decoder.receive_data(piece[:end])
                yield from self._told()
        if ended:
            self._decoder.receive_data(self._waiting)
            self._decoder.receive_data(None)
            yield from self._told()

    def _unfinished_line(self, piece: bytes) -> int:
        """Where a line begins, its line break included, that may yet become a boundary; else where the piece ends."""
        start, line = _last_line(piece)
        if start < 0 or not (self._delimiter.startswith(line) or self._is_behind(line, _MAY_END)):
            return len(piece)
        if not line and self._is_behind(_last_line(piece[:start])[1], _BLANKS):
            return len(piece)  # the line break is the boundary's own
        return start

    def _is_behind(self, line: bytes, behind: re.Pattern[bytes]) -> bool:
        return line.startswith(self._delimiter) and behind.fullmatch(line, len(self._delimiter)) is not None

    def _told(self) -> Iterable[Event]:
        while not isinstance(event := self._decoder.next_event(), NeedData | Epilogue):
            yield event


def _last_line(piece: bytes) -> tuple[int, bytes]:
    """What follows the last line break, and where that begins; -1 if there is none."""
    at = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
    return (at - 1 if piece[at - 1 : at + 1] == b"\r\n" else at), piece[at + 1 :]


class _Body:
    """The bytes of the dump, out of the form if it is in one."""

    def __init__(self, receive: Receive, content_type: bytes) -> None:
        self._receive = receive
        self._ended = False
        self._form: _Form | None = None
        self._in_file = self._found = False
        kind, options = parse_options_header(content_type.decode("latin-1"))
        if kind == "multipart/form-data":
            boundary = options.get("boundary", "")
            if not boundary:
                raise _bad("The form does not name its boundary.")
            self._form = _Form(boundary.encode("latin-1", "replace"))

    async def next(self) -> bytes:
        """The next bytes; none at the end. `ClientDisconnected` when the rest does not come."""
        while not self._ended:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk: bytes = event.get("body", b"")
            self._ended = not event.get("more_body")
            data = chunk if self._form is None else self._out_of_form(self._form, chunk)
            if data:
                return data
        return b""

    def _out_of_form(self, form: _Form, chunk: bytes) -> bytes:
        try:
            found = b"".join(self._file_data(form.events(chunk, ended=self._ended)))
        except RequestEntityTooLarge:
            raise _bad(
                f"The form cannot be read: it has more than {_PARTS_AT_MOST} parts, or more than {_FORM_HELD_AT_MOST} "
                "bytes that belong to none."
            ) from None
        except ValueError as failure:
            raise _bad(f"The form cannot be read: {failure}.") from None
        if self._ended and not self._found:
            raise _bad("There is no file in the form.")
        return found

    def _file_data(self, events: Iterable[Event]) -> Iterable[bytes]:
        for event in events:
            if isinstance(event, File):
                if self._found:
                    raise _bad("There is more than one file in the form.")
                self._in_file = self._found = True
            elif isinstance(event, Data) and self._in_file:
                yield event.data
                self._in_file = event.more_data


def _if_exists(query: bytes) -> IfExists:
    chosen: IfExists = "fail"
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name != "if_exists":
            raise _bad(f"Unknown parameter `{name[:100]}`: expected `if_exists`.")
        if value not in _CHOICES:
            raise _bad("Invalid value in parameter `if_exists`: expected `fail` or `merge`.")
        chosen = _CHOICES[value]
    return chosen


def _bad(message: str) -> ApiError:
    return node_error(400, "bad_request", message)
