"""The data plane: an ASGI app that turns requests into endpoint calls, and everything that goes wrong into errors.

Around each endpoint, in this order: routing (an unknown path is an empty 404 before anybody asks for a key), the door,
admission, the deadline; then metrics and one log line.
"""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import Any, Final

import trio

from miroir.api.admission import Admission
from miroir.api.bodies import BodyBudget
from miroir.api.compression import compressed, refusal
from miroir.api.cors import cors_headers, preflight
from miroir.api.idempotency import HEADER, IdempotencyKeys
from miroir.api.leaving import Clients, Watched
from miroir.api.messages import Request, Response, error_response
from miroir.api.routing import Endpoint, Route, Router
from miroir.errors import ApiError, miroir_error, node_error
from miroir.http import ClientDisconnected, Receive, Scope, Send
from miroir.security import Access, Action, DataDoor
from miroir.store import StoreError
from miroir.telemetry import Metrics, get_logger, log_request
from miroir.telemetry import request_id as new_request_id

_log = get_logger(__name__)

_UNKNOWN: Final = "(unknown)"
_CLIENT_GONE: Final = 499
"""Nobody gets it: the status in metrics and logs of a request whose client left before the answer."""


class DataPlane:
    """The Meilisearch API over a router."""

    def __init__(
        self,
        router: Router,
        door: DataDoor,
        admission: Admission,
        budget: BodyBudget,
        metrics: Metrics,
        *,
        timeout_s: float,
        rng: Random,
        clients: Clients | None = None,
        keys: IdempotencyKeys | None = None,
        unknown: Endpoint | None = None,
    ) -> None:
        """`clients`: watched for those that leave; None watches nobody. `keys`: None ignores `Idempotency-Key`.

        `unknown`: answers who holds the master key on paths that no route has; None: 404, as to everybody else.
        """
        self._router = router
        self._door = door
        self._admission = admission
        self._budget = budget
        self._clients = clients or Clients()
        self._keys = keys
        self._unknown = None if unknown is None else Route(_UNKNOWN, unknown, None)
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._rng = rng

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = perf_counter()
        headers = dict(reversed(scope["headers"]))  # of a name sent twice the first counts, as on a node
        request_id = new_request_id(headers.get(b"x-request-id"), self._rng)
        template = _UNKNOWN
        self._metrics.request_started()
        status = _CLIENT_GONE
        context: dict[str, Any] = {}
        try:
            accepted = headers.get(b"accept-encoding")
            asked = preflight(scope["method"], headers) or refusal(accepted)
            found = self._router.find(scope["method"], _raw_path(scope))
            if asked is not None:
                response = asked
            elif found == 404 and self._unknown is not None and self._door.is_master(headers.get(b"authorization")):
                request = Request(scope["method"], scope["path"], scope["query_string"], headers, b"", (), request_id)
                response = await self._answer(self._unknown, request, receive)
            elif isinstance(found, int):
                response = self._unrouted(found, scope)
            else:
                route, params = found
                template = route.template
                request = Request(
                    scope["method"], scope["path"], scope["query_string"], headers, b"", params, request_id
                )
                response = await self._answer(route, request, receive)
            status, context = response.status, response.context
            common = cors_headers(headers)
            if accepted is not None:
                body, packed = await compressed(response.body, accepted)
                response = Response(response.status, body, response.headers, response.content_type)
                common += packed
            await _send(send, response, request_id, common)
        except ClientDisconnected:
            status = _CLIENT_GONE
        finally:
            seconds = perf_counter() - started
            self._metrics.request_finished(scope["method"], template, status, seconds)
            log_request(request_id, scope["method"], template, status, seconds * 1000.0, **context)

    async def _answer(self, route: Route, request: Request, receive: Receive) -> Response:
        """The door first, then the body: who may not come in need not be listened to."""
        watched: Watched | None = None
        try:
            if route.action is None:
                return await route.endpoint(request)
            request.access = await self._admit(route.action, route, request)
            request.held = self._budget.body(receive)
            async with request.held as request.body:
                with trio.CancelScope(deadline=trio.current_time() + self._timeout_s) as scope:
                    async with self._admission:
                        if not route.reads:
                            if self._keys is not None and request.headers.get(HEADER):
                                return await self._keys.answer(request, route.endpoint)
                            return await route.endpoint(request)
                        watched = self._clients.watch(receive, scope)
                        try:
                            return await route.endpoint(request)
                        finally:
                            await watched.end()
                if watched is not None and watched.client_left:
                    raise ClientDisconnected
                raise self._too_slow()
        except ApiError as error:
            return error_response(error)
        except ClientDisconnected:
            raise
        except trio.TooSlowError:
            return error_response(self._too_slow())
        except StoreError as failure:
            _log.error("store away", request_id=request.request_id, reason=str(failure))
            return error_response(
                miroir_error("miroir_overloaded", "The task store cannot be reached. Try again shortly.")
            )
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the operator a log line
            _log.exception("request failed", request_id=request.request_id, path_template=route.template)
            return error_response(
                node_error(
                    500, "internal", f"An internal error has occurred (request {request.request_id}).", type="internal"
                )
            )

    async def _admit(self, action: Action, route: Route, request: Request) -> Access:
        """What the request may touch, or a node's refusal. Only a credential that nobody knows takes time."""
        authorization = request.headers.get(b"authorization")
        index = request.params[0] if route.names_index else None
        access = self._door.admit(authorization, action, index)
        if access is None:
            with trio.fail_after(self._timeout_s):
                access = await self._door.ask(authorization, action, index)
        return access

    def _too_slow(self) -> ApiError:
        seconds = f"{self._timeout_s:g}"
        return miroir_error("miroir_timeout", f"No answer within {seconds} s. Try again, or ask for less at once.")

    def _unrouted(self, status: int, scope: Scope) -> Response:
        """404 and 405 without a body, as a node; a 405 says what is allowed."""
        allowed = self._router.methods(_raw_path(scope)) if status == 405 else ()
        headers = [(b"allow", ", ".join(allowed).encode())] if allowed else []
        return Response(status, headers=headers, content_type=b"")


def _raw_path(scope: Scope) -> str:
    """The path as it was sent: its parts are decoded one by one, after the slashes between them were seen."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


async def _send(send: Send, response: Response, request_id: str, common: tuple[tuple[bytes, bytes], ...]) -> None:
    headers = [
        (b"content-length", b"%d" % len(response.body)),
        (b"x-request-id", request_id.encode()),
        *response.headers,
        *common,
    ]
    if response.content_type:
        headers.insert(0, (b"content-type", response.content_type))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
