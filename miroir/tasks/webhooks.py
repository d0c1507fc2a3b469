"""Webhooks: addresses that clients want to be told of every task that ends.

They are ours, never the nodes': a node would tell of its own tasks, under its own numbers and names, once per copy. A
webhook is sent what a node sends: the ended tasks as lines of JSON, gzipped, in one POST. As on a node that is a
courtesy and no ledger: what an address does not take after some tries, or what a crash overtakes, is lost to it, and
`GET /tasks` still knows.
"""

from __future__ import annotations

import gzip
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import trio

from miroir.errors import ApiError, node_error
from miroir.store import Store, TaskRow, WebhookRow
from miroir.tasks.view import task_view
from miroir.telemetry import get_logger

if TYPE_CHECKING:
    import httpx

_log = get_logger(__name__)

_AT_MOST: Final = 20
_HEADERS_AT_MOST: Final = 200
_WAITING_AT_MOST: Final = 10_000
"""Tasks kept for an address that is slow; the oldest go first."""
_AT_ONCE: Final = 1_000
_PAUSES_S: Final = (1.0, 5.0)
"""Before the second and the third try."""
_PATIENCE_S: Final = 10.0
_HEARD_AT_MOST: Final = 1 << 14
_AT_MOST_S: Final = 30.0
"""For one try as a whole: an address that takes a byte at a time is never silent for long."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_WEB: Final = frozenset({"http", "https", "ws", "wss", "ftp"})
_NO_HOST: Final = frozenset(' #%/:<>?@[\\]^|\x7f"`{}')


class Webhooks:
    """The webhooks there are, and the tasks that each has still to be told of."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hooks: dict[str, WebhookRow] = {}
        self._waiting: dict[str, deque[TaskRow]] = {}
        self._busy: set[str] = set()
        self._news = trio.Event()
        self._changing = trio.Lock()

    async def load(self) -> None:
        """Start with what the store holds."""
        for hook in await self._store.list_webhooks():
            self._put(hook)

    # -- as clients handle them --------------------------------------------------------------------------------------

    def all(self) -> list[WebhookRow]:
        """Every webhook, by uuid, as a node lists them."""
        return [self._hooks[uuid] for uuid in sorted(self._hooks)]

    def get(self, uuid: str) -> WebhookRow:
        """One webhook; 404 `webhook_not_found`."""
        hook = self._hooks.get(uuid)
        if hook is None:
            raise node_error(404, "webhook_not_found", f"Webhook `{uuid}` not found.")
        return hook

    async def create(self, url: str | None, headers: Mapping[str, str | None]) -> WebhookRow:
        """A new webhook. 400 `invalid_webhooks` when there are twenty, and what `change` raises."""
        kept = {name: value or "" for name, value in headers.items()}
        return await self._add(WebhookRow(str(uuid4()), url or "", kept))

    async def restore(self, uuid: str, url: str, headers: Mapping[str, str]) -> WebhookRow:
        """A webhook under the uuid it once had; one of that uuid stays as it is. Raises what `create` raises."""
        return self._hooks.get(uuid) or await self._add(WebhookRow(uuid, url, headers))

    async def _add(self, hook: WebhookRow) -> WebhookRow:
        async with self._changing:
            if len(self._hooks) >= _AT_MOST:
                raise node_error(
                    400,
                    "invalid_webhooks",
                    "Defining too many webhooks would crush the server. Please limit the number of webhooks to "
                    f"{_AT_MOST}. You may use a third-party proxy server to dispatch events to more than {_AT_MOST} "
                    "endpoints.",
                )
            return await self._save(hook)

    async def change(self, uuid: str, change: Mapping[str, Any]) -> WebhookRow:
        """Another `url`, or `headers` on top of those there are: a null takes one away, null for all takes all.

        400 `invalid_webhook_url`, `invalid_webhook_headers`; 404.
        """
        async with self._changing:
            hook = self.get(uuid)
            if "url" in change:
                hook = replace(hook, url=change["url"] or "")
            if "headers" in change:
                added = change["headers"]
                merged = {} if added is None else {**hook.headers, **added}
                hook = replace(hook, headers={name: value for name, value in merged.items() if value is not None})
            return await self._save(hook)

    async def delete(self, uuid: str) -> None:
        """No more of it; 404 where there is none."""
        async with self._changing:
            self.get(uuid)
            with trio.CancelScope(shield=True):  # as in `_save`
                await self._store.delete_webhook(uuid)
                del self._hooks[uuid], self._waiting[uuid]

    async def _save(self, hook: WebhookRow) -> WebhookRow:
        _check_headers(hook)
        _check_url(hook)
        hook = replace(hook, headers=dict(sorted(hook.headers.items())))
        with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
            await self._store.put_webhook(hook)
            self._put(hook)
        return hook

    def _put(self, hook: WebhookRow) -> None:
        self._hooks[hook.uuid] = hook
        self._waiting.setdefault(hook.uuid, deque(maxlen=_WAITING_AT_MOST))

    # -- telling -----------------------------------------------------------------------------------------------------

    def ended(self, task: TaskRow) -> None:
        """A task has ended. Costs nothing where there are no webhooks."""
        if self._hooks and task.origin == "client":
            for waiting in self._waiting.values():
                waiting.append(task)
            self._news.set()

    async def run(self) -> None:
        """Tell for ever, each address by itself. A worker for the supervisor."""
        self._busy.clear()
        await self._news.wait()
        import httpx

        # In a thread: the certificates of half the world are read here.
        made = partial(httpx.AsyncClient, timeout=_PATIENCE_S, follow_redirects=False)
        async with await trio.to_thread.run_sync(made) as client, trio.open_nursery() as nursery:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                for uuid, waiting in self._waiting.items():
                    if waiting and uuid not in self._busy:
                        self._busy.add(uuid)
                        nursery.start_soon(self._tell, client, uuid)

    async def _tell(self, client: httpx.AsyncClient, uuid: str) -> None:
        """Send one address all that waits for it."""
        try:
            while waiting := self._waiting.get(uuid):
                tasks = [waiting.popleft() for _ in range(min(len(waiting), _AT_ONCE))]
                body = await trio.to_thread.run_sync(_lines, tasks)
                for pause in (*_PAUSES_S, None):
                    hook = self._hooks.get(uuid)
                    if hook is None or await _post(client, hook, body):
                        break
                    if pause is None:
                        _log.warning("webhook not told", webhook=uuid, tasks=[task.uid for task in tasks[:10]])
                    else:
                        await trio.sleep(pause)
        finally:
            self._busy.discard(uuid)


def _lines(tasks: Sequence[TaskRow]) -> bytes:
    """The tasks as lines of JSON, gzipped: of a thousand, too much for the event loop."""
    return gzip.compress(b"".join([orjson.dumps(task_view(task)) + b"\n" for task in tasks]))


async def _post(client: httpx.AsyncClient, hook: WebhookRow, body: bytes) -> bool:
    import httpx

    headers = [(name.encode(), value.strip().encode()) for name, value in hook.headers.items()]
    ours = [(b"Content-Type", b"application/x-ndjson"), (b"Content-Encoding", b"gzip")]
    status = None
    with trio.move_on_after(_AT_MOST_S):
        try:
            async with client.stream("POST", hook.url, content=body, headers=[*ours, *headers]) as answer:
                status = answer.status_code
                heard = 0  # the status is the answer; a short body is read so that the connection can be kept
                async for part in answer.aiter_raw():
                    heard += len(part)
                    if heard > _HEARD_AT_MOST:
                        break
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            _log.info("webhook does not answer", webhook=hook.uuid, reason=repr(failure))
            return False
    if status is None or status >= 400:
        _log.info("webhook refuses", webhook=hook.uuid, status=status)
        return False
    return True


# -- what a node takes -----------------------------------------------------------------------------------------------


def _check_headers(hook: WebhookRow) -> None:
    if len(hook.headers) > _HEADERS_AT_MOST:
        raise _bad_headers(
            f"Too many headers for the webhook `{hook.uuid}`. Please limit the number of headers to "
            f"{_HEADERS_AT_MOST}. Hint: To remove an already defined header set its value to `null`"
        )
    for name, value in sorted(hook.headers.items()):
        if not _TOKEN.fullmatch(name):
            raise _bad_headers(f"Invalid header name `{name}`: invalid HTTP header name")
        if not _VALUE.fullmatch(value):
            raise _bad_headers(f"Invalid header value `{name}`: failed to parse header value")


def _bad_headers(message: str) -> ApiError:
    return node_error(400, "invalid_webhook_headers", message)


def _check_url(hook: WebhookRow) -> None:
    if not hook.url:
        raise node_error(400, "invalid_webhook_url", f"The URL for the webhook `{hook.uuid}` is missing.")
    fault = _url_fault(hook.url)
    if fault is not None:
        raise node_error(400, "invalid_webhook_url", f"Invalid URL `{hook.url}`: {fault}")


def _url_fault(text: str) -> str | None:
    """What is wrong with a URL, in the words of a node's parser; None if nothing is that it looks at."""
    text = text.strip("".join(map(chr, range(33))))
    if not _SCHEME.match(text):
        return "relative URL without a base"
    scheme, _, rest = text.partition(":")
    if scheme.lower() not in _WEB:
        return None
    rest = rest.replace("\\", "/").lstrip("/")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        try:
            urlsplit(f"//[{host}]/")
        except ValueError:
            return "invalid IPv6 address"
        port = port.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
        if not host:
            return "empty host"
        if not _NO_HOST.isdisjoint(host) or any(ord(letter) < 33 for letter in host):
            return "invalid international domain name"
        parts: Sequence[str] = host.rstrip(".").split(".")
        if parts[-1].isdigit() and (len(parts) > 4 or any(not part.isdigit() or int(part) > 255 for part in parts)):
            return "invalid IPv4 address"
    if port and (not port.isdigit() or int(port) > 65535):
        return "invalid port number"
    return None


def webhook_view(hook: WebhookRow) -> dict[str, Any]:
    """A webhook as a node shows it."""
    return {"uuid": hook.uuid, "isEditable": True, "url": hook.url, "headers": dict(hook.headers)}
