"""The data plane through ASGI by hand: who may come in, what every answer carries, what becomes of what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from miroir.api import Admission, DataPlane, Router
from miroir.api.bodies import BodyBudget
from miroir.api.messages import Request, Response, json_response
from miroir.api.routing import Endpoint
from miroir.errors import miroir_error
from miroir.http import Message
from miroir.security import DataDoor
from miroir.telemetry import Metrics
from tests.unit.security.strangers import Nobody, no_keys

KEY = "a-master-key-01234567"
TIMEOUT_S = 5.0


class Rig:
    """A data plane over endpoints that do what their names say."""

    def __init__(self, *, limit: int = 4, unknown: Endpoint | None = None) -> None:
        self.metrics = Metrics()
        self.requests: list[Request] = []
        router = Router()
        router.add("GET", "/open", self.echo, action=None)
        router.add("POST", "/echo/{name}", self.echo, action="stats.get")
        router.add("GET", "/slow", self.slow, action="stats.get")
        router.add("GET", "/broken", self.broken, action="stats.get")
        router.add("GET", "/broken-inside", self.broken_inside, action="stats.get")
        router.add("GET", "/overloaded", self.overloaded, action="stats.get")
        self.plane = DataPlane(
            router,
            DataDoor(KEY, no_keys(), Nobody()),
            Admission(limit),
            BodyBudget(1000, largest=1000),
            self.metrics,
            timeout_s=TIMEOUT_S,
            rng=Random(7),
            unknown=unknown,
        )

    async def echo(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        self.requests.append(request)
        return json_response(200, {"body": request.body.decode()}, [(b"x-extra", b"1")])

    async def slow(self, _: Request) -> Response:
        await trio.sleep(60)
        return Response(200)

    async def broken(self, _: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("the secret of the document")

    async def broken_inside(self, request: Request) -> Response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.broken, request)
        return Response(200)

    async def overloaded(self, _: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise miroir_error("miroir_overloaded", "Come again.")

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Sequence[bytes] = (b"",),
        key: str | None = KEY,
        headers: Sequence[tuple[bytes, bytes]] = (),
        gone_after: int | None = None,
    ) -> Answer | None:
        """The answer to a request whose body comes in these pieces; None when nothing was sent."""
        events: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": number < len(body)}
            for number, piece in enumerate(body, 1)
        ]
        if gone_after is not None:
            events[gone_after:] = [{"type": "http.disconnect"}]
        sent: list[Message] = []

        async def receive() -> Message:
            await trio.lowlevel.checkpoint()
            return events.pop(0)

        async def send(event: Message) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(event)

        path, _, query = path.partition("?")
        authorization = [(b"authorization", f"Bearer {key}".encode())] if key else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [*authorization, *headers],
        }
        await self.plane(scope, receive, send)
        return Answer(sent) if sent else None

    async def answer(self, method: str, path: str, **how: Any) -> Answer:
        answer = await self.call(method, path, **how)
        assert answer is not None
        return answer

    def counted(self, method: str, template: str, status: int) -> float:
        labels = {"method": method, "path_template": template, "status": str(status)}
        value = self.metrics.registry.get_sample_value("miroir_request_duration_seconds_count", labels)
        return value or 0.0

    @property
    def in_flight(self) -> float | None:
        return self.metrics.registry.get_sample_value("miroir_requests_in_flight")


class Answer:
    """What was sent: exactly one start, exactly one body, and the two agree."""

    def __init__(self, sent: list[Message]) -> None:
        start, body = sent
        assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
        assert not body.get("more_body")
        self.status: int = start["status"]
        self.headers: dict[bytes, bytes] = dict(start["headers"])
        self.body: bytes = body["body"]
        assert int(self.headers[b"content-length"]) == len(self.body)

    @property
    def json(self) -> Any:
        assert self.headers[b"content-type"] == b"application/json"
        return orjson.loads(self.body)

    @property
    def request_id(self) -> str:
        return self.headers[b"x-request-id"].decode()


async def test_an_endpoint_gets_the_whole_request() -> None:
    rig = Rig()
    answer = await rig.answer("POST", "/echo/a%20b?q=1", body=[b"one ", b"", b"two"], headers=[(b"x-a", b"b")])
    assert (answer.status, answer.json) == (200, {"body": "one two"})
    assert answer.headers[b"x-extra"] == b"1"
    (request,) = rig.requests
    assert (request.method, request.params, request.query()) == ("POST", ("a b",), [("q", "1")])
    assert request.headers[b"x-a"] == b"b"
    assert request.request_id == answer.request_id
    assert rig.counted("POST", "/echo/{name}", 200) == 1
    assert rig.in_flight == 0


@pytest.mark.parametrize("given", [b"deadbeef", b"0123-4567-89AB-cdef", b"a" * 64])
async def test_a_sane_request_id_is_taken_over(given: bytes) -> None:
    answer = await Rig().answer("GET", "/open", headers=[(b"x-request-id", given)])
    assert answer.headers[b"x-request-id"] == given


@pytest.mark.parametrize("given", [None, b"", b"a" * 65, b"xyz", b"a b", b"a\r\nb", b"a_b", "é".encode()])
async def test_any_other_request_gets_one_of_8_hex_digits(given: bytes | None) -> None:
    headers = [] if given is None else [(b"x-request-id", given)]
    rig = Rig()
    ids = [(await rig.answer("GET", "/open", headers=headers)).request_id for _ in range(20)]
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in ids)
    assert len(set(ids)) == 20


@pytest.mark.parametrize("path", ["/nowhere", "/broken", "/open"])
async def test_every_answer_has_a_request_id(path: str) -> None:
    assert (await Rig().answer("GET", path, headers=[(b"x-request-id", b"abc")])).request_id == "abc"


async def test_an_unknown_path_is_an_empty_404_before_anybody_asks_for_a_key() -> None:
    rig = Rig()
    answer = await rig.answer("GET", "/nowhere/secret", key=None)
    assert (answer.status, answer.body) == (404, b"")
    assert b"content-type" not in answer.headers
    assert rig.counted("GET", "(unknown)", 404) == 1, "a path is never a label"
    answer = await rig.answer("PATCH", "/open", key=None)
    assert (answer.status, answer.body) == (405, b"")


async def test_only_the_master_key_opens_a_path_that_no_route_has() -> None:
    async def unknown(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return json_response(200, request.path)

    rig = Rig(unknown=unknown)
    for key in (None, "wrong"):
        answer = await rig.answer("GET", "/nowhere", key=key)
        assert (answer.status, answer.body) == (404, b"")
    assert (await rig.answer("GET", "/nowhere")).json == "/nowhere"
    assert rig.counted("GET", "(unknown)", 200) == 1
    assert (await rig.answer("PATCH", "/open")).status == 405


async def test_without_the_key_nothing_is_done() -> None:
    rig = Rig()
    missing = await rig.answer("POST", "/echo/x", key=None)
    assert (missing.status, missing.json["code"]) == (401, "missing_authorization_header")
    wrong = await rig.answer("POST", "/echo/x", key="wrong")
    assert (wrong.status, wrong.json["code"]) == (403, "invalid_api_key")
    assert rig.requests == []
    assert (await rig.answer("GET", "/open", key=None)).status == 200


async def test_an_answer_that_takes_too_long_is_a_504(autojump_clock: MockClock) -> None:
    rig = Rig()
    start = trio.current_time()
    answer = await rig.answer("GET", "/slow")
    assert trio.current_time() - start == pytest.approx(TIMEOUT_S)
    assert (answer.status, answer.json["code"], answer.json["type"]) == (504, "miroir_timeout", "system")
    assert answer.json["link"] == "/_miroir/errors#miroir_timeout"
    assert rig.counted("GET", "/slow", 504) == 1


@pytest.mark.parametrize("path", ["/broken", "/broken-inside"])
async def test_whatever_goes_wrong_the_client_gets_an_answer_that_gives_nothing_away(path: str) -> None:
    rig = Rig()
    answer = await rig.answer("GET", path)
    assert answer.status == 500
    assert answer.json == {
        "message": f"An internal error has occurred (request {answer.request_id}).",
        "code": "internal",
        "type": "internal",
        "link": "https://docs.meilisearch.com/errors#internal",
    }
    assert rig.counted("GET", path, 500) == 1


async def test_an_error_of_ours_carries_its_headers() -> None:
    answer = await Rig().answer("GET", "/overloaded")
    assert (answer.status, answer.json["message"]) == (503, "Come again.")
    assert answer.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize("after", [0, 1])
async def test_a_client_that_leaves_before_its_body_is_here_is_not_answered(after: int) -> None:
    rig = Rig()
    assert await rig.call("POST", "/echo/x", body=[b"one", b"two"], gone_after=after) is None
    assert rig.requests == []
    assert rig.counted("POST", "/echo/{name}", 499) == 1
    assert rig.in_flight == 0


async def test_more_requests_than_places_are_turned_away(autojump_clock: MockClock) -> None:
    rig = Rig(limit=1)
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await rig.answer("GET", "/slow"))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert rig.in_flight == 2, "the third was turned away at once"
        assert (await rig.answer("GET", "/open")).status == 200, "health needs no place"
    assert sorted(answer.json["code"] for answer in answers) == [
        "miroir_overloaded",
        "miroir_overloaded",
        "miroir_timeout",
    ]


async def test_the_log_line_says_what_and_how_long_but_nothing_of_the_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rig = Rig()
    capsys.readouterr()
    answer = await rig.answer("POST", "/echo/my-document?q=my-query", body=[b'"my-body"'])
    lines = [line for line in capsys.readouterr().out.splitlines() if answer.request_id in line]
    assert len(lines) == 1
    assert "/echo/{name}" in lines[0]
    assert not any(secret in lines[0] for secret in ("my-", KEY))
