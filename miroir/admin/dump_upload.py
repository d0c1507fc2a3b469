"""`POST /_miroir/dumps/import`: a dump, as large as it may be, straight from the connection to the disk.

Beside the QuartTrio app, which would hold it in memory. The body is the dump as it is, or a form with the dump as its
file.
"""

from __future__ import annotations

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


class _Body:
    """The bytes of the dump, out of the form if it is in one."""

    def __init__(self, receive: Receive, content_type: bytes) -> None:
        self._receive = receive
        self._ended = False
        self._form: MultipartDecoder | None = None
        self._in_file = self._found = False
        kind, options = parse_options_header(content_type.decode("latin-1"))
        if kind == "multipart/form-data":
            boundary = options.get("boundary", "")
            if not boundary:
                raise _bad("The form does not name its boundary.")
            self._form = MultipartDecoder(
                boundary.encode("latin-1", "replace"), max_form_memory_size=_FORM_HELD_AT_MOST, max_parts=_PARTS_AT_MOST
            )

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

    def _out_of_form(self, form: MultipartDecoder, chunk: bytes) -> bytes:
        try:
            found = b"".join(self._file_data(_events(form, chunk, ended=self._ended)))
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


def _events(form: MultipartDecoder, chunk: bytes, *, ended: bool) -> Iterable[Event]:
    """What the form tells of, once it has these bytes too; in pieces, since it counts what it holds before it looks."""
    for start in range(0, len(chunk), _FORM_PIECE):
        form.receive_data(chunk[start : start + _FORM_PIECE])
        yield from _told(form)
    if ended:
        form.receive_data(None)
        yield from _told(form)


def _told(form: MultipartDecoder) -> Iterable[Event]:
    while not isinstance(event := form.next_event(), NeedData | Epilogue):
        yield event


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
