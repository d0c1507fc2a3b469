"""The control plane's app: every answer is JSON, and every route asks for an admin key."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import trio

from miroir.admin import SettingsPreview, create_admin_app
from miroir.rebalance import StaleAllocation
from miroir.security import AdminDoor
from miroir.telemetry import Metrics
from tests.unit.admin.test_overview import cluster_with

KEY = "an-admin-key-0123456"
ADMIN = {"authorization": f"Bearer {KEY}"}


class Rig:
    """The app over a cluster with one index; `refreshes` counts, `fails` makes the next refresh fail."""

    def __init__(self) -> None:
        cluster, registry = cluster_with("books")
        self.metrics = Metrics()
        self.refreshes = 0
        self.fails = False
        app = create_admin_app(
            cluster,
            registry,
            AdminDoor([("ada", KEY)]),
            self.metrics,
            self.refresh,
            cast(SettingsPreview, None),
            cast(StaleAllocation, None),
            default_shards=16,
        )
        self.client = app.test_client()

    async def refresh(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise ZeroDivisionError("a secret")
        self.refreshes += 1

    async def call(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any]:
        send = {"GET": self.client.get, "DELETE": self.client.delete}[method]
        response = await send(path, headers=ADMIN if headers is None else headers)
        return response.status_code, await response.get_json()


@pytest.mark.parametrize("path", ["/_miroir/topology", "/_miroir/shards?index=books", "/_miroir/metrics"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-admin-key": "wrong"}])
async def test_without_an_admin_key_nothing_is_told(path: str, headers: dict[str, str]) -> None:
    status, body = await Rig().call(path, headers=headers)
    assert (status, body["code"], body["type"]) == (401, "miroir_invalid_auth", "auth")


@pytest.mark.parametrize("headers", [ADMIN, {"x-admin-key": KEY}])
async def test_with_one_the_cluster_is_shown(headers: dict[str, str]) -> None:
    rig = Rig()
    status, topology = await rig.call("/_miroir/topology", headers=headers)
    assert (status, len(topology["nodes"]), topology["shards"]) == (200, 4, 16)
    status, shards = await rig.call("/_miroir/shards?index=books", headers=headers)
    assert (status, len(shards["shards"])) == (200, 4)


async def test_metrics_are_brought_up_to_date_and_shown() -> None:
    rig = Rig()
    response = await rig.client.get("/_miroir/metrics", headers=ADMIN)
    assert (response.status_code, rig.refreshes) == (200, 1)
    assert (await response.get_data(as_text=False)) == rig.metrics.render()[0]
    assert response.headers["content-type"] == rig.metrics.render()[1]


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/_miroir/nowhere", "GET", 404, "not_found"),
        ("/_miroir/topology", "DELETE", 405, "method_not_allowed"),
        ("/_miroir/shards", "GET", 400, "bad_request"),
        ("/_miroir/shards?index=nothing", "GET", 404, "index_not_found"),
    ],
)
async def test_errors_have_meilisearchs_shape(path: str, method: str, status: int, code: str) -> None:
    got, body = await Rig().call(path, method)
    assert (got, body["code"]) == (status, code)
    assert body.keys() == {"message", "code", "type", "link"}


async def test_what_goes_wrong_is_a_500_that_gives_nothing_away() -> None:
    rig = Rig()
    rig.fails = True
    status, body = await rig.call("/_miroir/metrics")
    assert status == 500
    assert re.fullmatch(r"An internal error has occurred \(request [0-9a-f]{8}\)\.", body.pop("message"))
    assert body == {
        "code": "internal",
        "type": "internal",
        "link": "https://docs.meilisearch.com/errors#internal",
    }


@pytest.mark.parametrize("headers", [ADMIN, {}])
@pytest.mark.parametrize("path", ["/_miroir/topology", "/_miroir/shards", "/_miroir/nowhere"])
async def test_every_answer_carries_the_id_of_its_request(path: str, headers: dict[str, str]) -> None:
    rig = Rig()
    given = await rig.client.get(path, headers={**headers, "x-request-id": "00C0FFEE"})
    assert given.headers["x-request-id"] == "00C0FFEE"
    made = [(await rig.client.get(path, headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in made)
    assert made[0] != made[1]
    odd = await rig.client.get(path, headers={**headers, "x-request-id": "not\tsane"})
    assert re.fullmatch("[0-9a-f]{8}", odd.headers["x-request-id"])


async def test_every_request_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[object, ...]] = []
    monkeypatch.setattr("miroir.admin.app.log_request", lambda *line: lines.append(line[:4]))
    rig = Rig()
    for path in ("/_miroir/shards?index=books", "/_miroir/nowhere"):
        await rig.client.get(path, headers={**ADMIN, "x-request-id": "00C0FFEE"})
    assert lines == [
        ("00C0FFEE", "GET", "/_miroir/shards", 200),
        ("00C0FFEE", "GET", "(unknown)", 404),
    ]
