"""`/keys` and what keys open, against a plain node: the same requests to both, the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

UID = "01b4bc42-eb33-4041-b481-254d00cce834"
SOUND: dict[str, Any] = {"actions": ["search"], "indexes": ["*"], "expiresAt": None}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Pair:
    """Miroir and a node, both asked."""

    ours: Api
    node: Api

    def __iter__(self) -> Iterator[Api]:
        return iter((self.ours, self.node))


@pytest.fixture
def pair(cluster: Callable[..., Cluster], single_node: RealNode) -> Pair:
    return Pair(cluster(groups=1, nodes=2, rf=2).client, single_node.api)


def ask(api: Api, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
    sent = {**(JSON if body is not None else {}), **({"connection": "close"} if body is not None else {}), **headers}
    return api.request(method, path, content=content, headers=sent)


def shape(response: httpx.Response) -> tuple[int, Any]:
    """What must be equal: all but times, values and uids that the server chose."""
    try:
        answer = response.json()
    except ValueError:
        return response.status_code, response.text
    if isinstance(answer, dict) and "createdAt" in answer:
        answer = {name: value for name, value in answer.items() if name not in ("createdAt", "updatedAt", "key")}
        answer = list(answer.items())
        return response.status_code, [each for each in answer if each != ("uid", response.json()["uid"])]
    return response.status_code, answer


def sound(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (SOUND | changes).items() if value is not ...}


WRONG_NAMES: list[Any] = [1, ["x"], {}, True]
CREATIONS: list[Any] = [
    sound(),
    sound(name="n", description="d"),
    sound(name="", description=""),
    sound(name=None),
    sound(uid=UID.upper()),
    sound(uid=UID.replace("-", "")),
    sound(uid=f"{{{UID}}}"),
    sound(uid=f"urn:uuid:{UID}"),
    *(sound(uid=uid) for uid in ("x", 1, None, "", UID[:-1], f" {UID}", f"({UID})")),
    sound(uid=f"urn:uuid:{UID.replace('-', '')}"),
    *(sound(name=wrong) for wrong in WRONG_NAMES),
    sound(description=[1]),
    *(sound(actions=actions) for actions in (..., [], ["doc"], "search", [1], None, ["documents.edit"])),
    sound(actions=["search", "search"]),
    sound(actions=["documents.*", "*.get", "indexes.*", "*"]),
    *(sound(indexes=indexes) for indexes in (..., [], ["a b"], ["p*d"], ["*p"], ["**"], "x", [1], [""])),
    *(sound(indexes=indexes) for indexes in (["*", "x"], ["p_*"], ["x*", "x*"])),
    sound(indexes=["x" * 400]),
    sound(indexes=["x" * 513]),
    *(
        sound(expiresAt=when)
        for when in (
            ...,
            1,
            "",
            "2020-01-01T00:00:00Z",
            "2050-01-01",
            "2050-01-01 00:00:00",
            "2050-01-01T00:00:00",
            "2050-01-01T00:00:00z",
            "2050-01-01T00:00:00.123456789+02:00",
            "2050-13-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "99999-12-31T23:59:59Z",
            "2050-01-01T00:00:60Z",
            "tomorrow",
        )
    ),
    sound(key="x"),
    sound(createdAt="x"),
    {**sound(), "name": 1, "foo": 2},
    {},
    [1],
    7,
    b"{",
    b"",
    b'  {"actions":["search"],"indexes":["*"],"expiresAt":null , "name" : "spaced" }  ',
    b'{"name":"a","name":"b","actions":["search"],"indexes":["*"],"expiresAt":null}',
    b'{"name":1e400,"actions":["search"],"indexes":["*"],"expiresAt":null}',
    b'{"name":18446744073709551616,"actions":["search"],"indexes":["*"],"expiresAt":null}',
]


@pytest.mark.parametrize("body", CREATIONS, ids=lambda body: str(body)[:60])
def test_creations(body: Any, pair: Pair) -> None:
    for api in pair:
        api.request("DELETE", f"/keys/{UID}")
    ours, nodes = (ask(api, "POST", "/keys", body) for api in pair)
    assert shape(ours) == shape(nodes)
    if ours.status_code == 201:
        assert list(ours.json()) == list(nodes.json())
        for api, made in zip(pair, (ours, nodes), strict=True):
            assert api.get(f"/keys/{made.json()['uid']}") == made.json()
            assert api.request("DELETE", f"/keys/{made.json()['key']}").status_code == 204


def test_content_types(pair: Pair) -> None:
    for headers in ({"content-type": "text/plain"}, {}):
        for method, path in (("POST", "/keys"), ("PATCH", f"/keys/{UID}")):
            sent = {"connection": "close", **headers}
            ours, nodes = (api.request(method, path, content=b"{}", headers=sent) for api in pair)
            assert shape(ours) == shape(nodes)
            assert ours.status_code == 415


def test_a_key_from_its_making_to_its_end(pair: Pair) -> None:
    for api in pair:
        api.request("DELETE", f"/keys/{UID}")
    made = [ask(api, "POST", "/keys", sound(uid=UID, name="n", description="d")).json() for api in pair]
    again = [shape(ask(api, "POST", "/keys", sound(uid=UID))) for api in pair]
    assert again[0] == again[1] == (409, again[0][1])
    worse = [shape(ask(api, "POST", "/keys", sound(uid=UID, actions=["x"]))) for api in pair]
    assert worse[0] == worse[1]
    assert worse[0][0] == 400
    changes: list[Any] = [
        *({}, {"name": "new"}, {"name": None}, {"description": None}, {"name": "x", "description": "y"}),
        *({"name": 1}, {"description": {}}, {"actions": []}, {"indexes": ["x"]}, {"expiresAt": None}, {"uid": "x"}),
        *({"createdAt": "x"}, {"updatedAt": "x"}, {"key": "x"}, {"foo": 1}, {"name": "z", "foo": 1}, [1], b"{", b""),
    ]
    for change in changes:
        for place in (UID, UID.upper(), UID.replace("-", ""), "by value", "nope", str(uuid4())):
            answers = [
                shape(ask(api, "PATCH", f"/keys/{key['key'] if place == 'by value' else place}", change))
                for api, key in zip(pair, made, strict=True)
            ]
            if not UID.startswith(place[:3].lower()) and place != "by value":
                assert answers[0] == answers[1]
            assert answers[0] == answers[1], (change, place)
        shown = [shape(api.request("GET", f"/keys/{UID}")) for api in pair]
        assert shown[0] == shown[1]
    found = pair.ours.get(f"/keys/{UID}")
    assert found["createdAt"] == made[0]["createdAt"]
    assert found["updatedAt"] > made[0]["updatedAt"]
    for place in ("nope", "a%20b", "%C3%A9", made[0]["key"].upper(), f"{UID}?x=1", UID[:-1], f"{UID[:-1]}f"):
        answers = [shape(api.request("GET", f"/keys/{place}")) for api in pair]
        assert answers[0] == answers[1], place
    for place in ("nope", UID, UID):
        answers = [shape(api.request("DELETE", f"/keys/{place}")) for api in pair]
        assert answers[0] == answers[1], place
    for api, key in zip(pair, made, strict=True):
        assert api.request("GET", f"/keys/{key['key']}").json()["code"] == "api_key_not_found"


@pytest.mark.parametrize(
    "query", ["limit=x", "limt=1", "offset=-1", "limit=", "limit=0&offset=100000", "limit=1&offset=0", "x=1&y=2"]
)
def test_pages(query: str, pair: Pair) -> None:
    ours, nodes = (api.request("GET", f"/keys?{query}") for api in pair)
    assert ours.status_code == nodes.status_code
    if ours.status_code == 200:
        assert list(ours.json()) == list(nodes.json())
        assert [list(key) for key in ours.json()["results"]] == [list(key) for key in nodes.json()["results"]]
    else:
        assert ours.json() == nodes.json()


def test_a_list_shows_the_newest_first(pair: Pair) -> None:
    made = [ask(pair.ours, "POST", "/keys", sound(name=f"{number}")).json() for number in range(3)]
    page = pair.ours.get("/keys", limit=3)
    assert page["results"] == made[::-1]
    assert page["total"] == len(pair.ours.get("/keys", limit=1000)["results"]) >= 7
    assert pair.ours.get("/keys", limit=1, offset=1)["results"] == [made[1]]


# -- what keys open ----------------------------------------------------------------------------------------------------

ACTIONS = [
    "*",
    "search",
    "documents.*",
    "documents.add",
    "documents.get",
    "documents.delete",
    "indexes.*",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.*",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.*",
    "settings.get",
    "settings.update",
    "stats.*",
    "stats.get",
    "metrics.*",
    "metrics.get",
    "dumps.*",
    "dumps.create",
    "snapshots.*",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.*",
    "chats.get",
    "chats.delete",
    "chatsSettings.*",
    "chatsSettings.get",
    "chatsSettings.update",
    "*.get",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
    "webhooks.*",
]

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/health", None),
    ("GET", "/version", None),
    ("GET", "/stats", None),
    ("GET", "/indexes/i/stats", None),
    ("GET", "/indexes", None),
    ("POST", "/indexes", {}),
    ("GET", "/indexes/i", None),
    ("PATCH", "/indexes/i", {"x": 1}),
    ("DELETE", "/indexes/i%20i", None),
    ("GET", "/indexes/i/documents", None),
    ("POST", "/indexes/i/documents", b"["),
    ("PUT", "/indexes/i/documents", b"["),
    ("DELETE", "/indexes/i%20i/documents", None),
    ("GET", "/indexes/i/documents/1", None),
    ("DELETE", "/indexes/i%20i/documents/1", None),
    ("POST", "/indexes/i/documents/delete-batch", b"["),
    ("POST", "/indexes/i/documents/delete", {}),
    ("POST", "/indexes/i/documents/edit", {}),
    ("POST", "/indexes/i/documents/fetch", {"x": 1}),
    ("GET", "/indexes/i/search?x=1", None),
    ("POST", "/indexes/i/search", {"x": 1}),
    ("POST", "/indexes/i/facet-search", {"facetName": "t"}),
    ("GET", "/indexes/i/similar?x=1", None),
    ("POST", "/indexes/i/similar", {"x": 1}),
    ("POST", "/multi-search", {}),
    ("GET", "/indexes/i/settings", None),
    ("PATCH", "/indexes/i/settings", {"x": 1}),
    ("DELETE", "/indexes/i%20i/settings", None),
    ("GET", "/indexes/i/settings/synonyms", None),
    ("PUT", "/indexes/i/settings/synonyms", [1]),
    ("PATCH", "/indexes/i/settings/pagination", [1]),
    ("DELETE", "/indexes/i%20i/settings/synonyms", None),
    ("GET", "/tasks?limit=x", None),
    ("GET", "/tasks/99999999", None),
    ("POST", "/tasks/cancel", None),
    ("DELETE", "/tasks", None),
    ("GET", "/batches?limit=x", None),
    ("GET", "/batches/99999999", None),
    ("GET", "/keys?limit=x", None),
    ("POST", "/keys", {}),
    ("GET", "/keys/x", None),
    ("PATCH", "/keys/x", {"x": 1}),
    ("DELETE", "/keys/x", None),
    ("POST", "/swap-indexes", {}),
    ("GET", "/experimental-features", None),
    ("PATCH", "/experimental-features", {"x": 1}),
    ("GET", "/webhooks", None),
    ("POST", "/webhooks", {"x": 1}),
    ("GET", "/metrics", None),
    ("GET", "/network", None),
    ("PATCH", "/network", {"x": 1}),
    # Valid, for of a bad body and a bad key at once a node names either; nothing to export, or it would retry for ever.
    ("POST", "/export", {"url": "http://127.0.0.1:1", "indexes": {"nowhere": {}}}),
    ("POST", "/logs/stream", {"x": 1}),
    ("DELETE", "/logs/stream", None),
    ("POST", "/logs/stderr", {"x": 1}),
    ("GET", "/chats", None),
]
"""Nothing that a node would do: whoever is let in is told what is wrong, or reads."""


FAMILIES = {
    "/documents": "documents",
    "/settings": "settings",
    "search": "search",
    "/similar": "search",
    "/stats": "stats",
    "/tasks": "tasks",
    "/batches": "tasks",
    "/keys": "keys",
    "/logs": "metrics",
    "/export": "export",
    "/experimental": "experimental",
    "/webhooks": "webhooks",
    "/network": "network",
    "/metrics": "metrics",
    "/chats": "chats",
    "/version": "version",
    "indexes": "indexes",
}
"""A part of a path -> where to look for the action it takes. All others stand in one key."""


def near(path: str) -> list[str]:
    """The actions that may open the path."""
    family = next((family for part, family in FAMILIES.items() if part in path), "documents")
    return [action for action in ACTIONS if action.split(".")[0] in (family, "*")]


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, ...], str]:
    """Server and actions -> a key of those actions, made once."""
    return {}


def key_of(api: Api, made: dict[tuple[str, ...], str], *actions: str) -> str:
    name = (api.url, *actions)
    if name not in made:
        made[name] = ask(api, "POST", "/keys", sound(actions=actions)).json()["key"]
    return made[name]


@pytest.fixture
def bare(pair: Pair) -> Iterator[dict[str, Api]]:
    """Both without a key of their own."""
    clients = {api.url: api.with_key(None) for api in pair}
    yield clients
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda part: str(part)[:40])
def test_what_each_action_opens(
    method: str, path: str, body: Any, pair: Pair, made: dict[tuple[str, ...], str], bare: dict[str, Api]
) -> None:
    verdicts = []
    for api in pair:
        credentials = {action: key_of(api, made, action) for action in near(path)}
        credentials["others"] = key_of(api, made, *(action for action in ACTIONS if action not in near(path)))
        opened = {}
        for name, key in [*credentials.items(), ("nothing", None), ("rubbish", "x"), ("token", "a.b.c")]:
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            answer = ask(bare[api.url], method, path, body, **headers)
            refused = answer.json() if answer.status_code in (401, 403) else {}
            opened[name] = (refused.get("code"), refused.get("message")) if refused.get("type") == "auth" else "open"
        verdicts.append(opened)
    assert verdicts[0] == verdicts[1]
    assert path == "/health" or "open" in verdicts[0].values()
