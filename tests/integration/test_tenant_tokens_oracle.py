"""Tenant tokens, and keys for some indexes, against a plain node that holds the same key: the same answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client import Api
from tests.integration.tokens import token
from tests.nodes import Cluster, RealNode

INDEXES = ("tok_a", "tok_b", "other_tok")


class Both:
    """Miroir and a node, with the same documents and keys of the same rights. Values differ with the master key."""

    def __init__(self, ours: Api, node: Api) -> None:
        self.sides = (ours, node)
        self.bare = tuple(api.with_key(None) for api in self.sides)
        self._keys: dict[str, list[dict[str, Any]]] = {}
        for api in self.sides:
            tasks = []
            for index in INDEXES:
                settings = {"filterableAttributes": ["t", "n"]}
                tasks += [api.post("/indexes", {"uid": index, "primaryKey": "id"})]
                tasks += [api.patch(f"/indexes/{index}/settings", settings)]
                documents = [{"id": number, "t": "xy"[number % 2], "n": number} for number in range(6)]
                tasks += [api.post(f"/indexes/{index}/documents", documents)]
            for task in tasks:
                api.succeeded(task)

    def close(self) -> None:
        for api in self.bare:
            api.close()

    def key(self, *actions: str, indexes: tuple[str, ...] = ("*",), expires: str | None = None) -> list[dict[str, Any]]:
        """A key of these rights on either side."""
        wish = {"actions": actions, "indexes": indexes, "expiresAt": expires}
        name = json.dumps(wish)
        if name not in self._keys:
            self._keys[name] = [api.post("/keys", wish) for api in self.sides]
        return self._keys[name]

    def ask(
        self, credentials: list[str], method: str, path: str, body: Any = None
    ) -> tuple[tuple[int, Any], tuple[int, Any]]:
        answers = []
        for api, credential in zip(self.bare, credentials, strict=True):
            headers = {"authorization": f"Bearer {credential}"}
            response = api.request(method, path, json=body, headers=headers)
            try:
                answer = response.json()
            except ValueError:
                answer = response.text
            if isinstance(answer, dict):
                for timed in (answer, *answer.get("results", [])):
                    timed.pop("processingTimeMs", None)
                    timed.pop("requestUid", None)
            answers.append((response.status_code, answer))
        return answers[0], answers[1]

    def search(self, tokens: list[str], index: str = "tok_a", **body: Any) -> tuple[tuple[int, Any], tuple[int, Any]]:
        return self.ask(tokens, "POST", f"/indexes/{index}/search", body)


@pytest.fixture(scope="module")
def pooled(cluster_pool: Any) -> Cluster:
    found: Cluster = cluster_pool.get(groups=1, nodes=2, rf=2)
    return found


@pytest.fixture(scope="module")
def both(pooled: Cluster, single_node: RealNode) -> Iterator[Both]:
    made = Both(pooled.client, single_node.api)
    yield made
    for api in made.sides:
        for index in INDEXES:
            api.delete_index(index)
    made.close()


def signed(keys: list[dict[str, Any]], claims: dict[str, Any] | bytes, **options: Any) -> list[str]:
    """The token each side's key signs; `UID` in raw claims stands for the key's."""
    if isinstance(claims, bytes):
        return [token(claims.replace(b"UID", key["uid"].encode()), key["key"], **options) for key in keys]
    return [token({"apiKeyUid": key["uid"], **claims}, key["key"], **options) for key in keys]


UNREADABLE: list[Any] = [None, "*", [1], [["x"]], {"*": 1}, {"*": "t = x"}, {"*": []}, {"*": ["t = x", 1]}]
POINTLESS: list[Any] = [[], {}, ["a b"], {"*": False}]
ODD_FILTERS: list[Any] = [5, "zz = 1", "t =", "", [], {}, True]
ALL = {"searchRules": ["*"]}
FAR = 1 << 40
GOOD: list[tuple[Any, dict[str, Any]]] = [
    (ALL, {}),
    (ALL | {"exp": FAR}, {}),
    (ALL | {"exp": None}, {}),
    (ALL | {"exp": (1 << 63) - 1}, {}),
    (ALL | {"nbf": FAR}, {}),
    (ALL | {"nbf": "x", "iat": "x", "iss": "me", "sub": 1, "x": {"y": [1]}}, {}),
    (ALL | {"aud": None}, {}),
    (ALL | {"aud": 1}, {}),
    (ALL | {"aud": {"x": 1}}, {}),
    (ALL, {"algorithm": "HS384"}),
    (ALL, {"algorithm": "HS512"}),
    (ALL, {"header": {"alg": "HS256"}}),
    (ALL, {"header": {"alg": "HS256", "typ": "foo", "crit": ["x"], "foo": 1, "kid": "x"}}),
    (ALL, {"header": {"alg": "HS256", "typ": None}}),
    (b'{"searchRules":{"*":{"filter":"t = x"},"*":{"filter":"t = y"}},"apiKeyUid":"UID"}', {}),
    ({"searchRules": ["*", "p*d"]}, {}),
]
BAD: list[tuple[Any, dict[str, Any]]] = [
    (ALL | {"exp": 1}, {}),
    (ALL | {"exp": -1}, {}),
    (ALL | {"exp": FAR + 0.5}, {}),
    (ALL | {"exp": str(FAR)}, {}),
    (ALL | {"exp": 1 << 63}, {}),
    (ALL | {"exp": True}, {}),
    (ALL | {"aud": "me"}, {}),
    (ALL | {"aud": []}, {}),
    (ALL, {"algorithm": "none", "signature": ""}),
    (ALL, {"algorithm": "RS256"}),
    (ALL, {"algorithm": "XX"}),
    (ALL, {"header": {"alg": "HS256", "typ": 1}}),
    (ALL, {"header": {"alg": "HS256", "kid": 1}}),
    (ALL, {"header": {"alg": "HS256", "jwk": {"x": 1}}}),
    (ALL, {"header": {"alg": "HS256", "x5c": "x"}}),
    (ALL, {"header": {"typ": "JWT"}}),
    (ALL, {"header": b"{"}),
    (ALL, {"header": [1]}),
    (ALL, {"header": b'{"alg":"HS256","alg":"HS384"}'}),
    (ALL, {"header": {"alg": "HS512"}}),
    (ALL, {"signature": ""}),
    (ALL, {"signature": "AAAA"}),
    (ALL, {"signature": "!"}),
    (b"{", {}),
    (b"[1]", {}),
    (b'{"apiKeyUid":"UID"}', {}),
    (b'{"searchRules":["*"]}', {}),
    (ALL | {"apiKeyUid": "x"}, {}),
    (ALL | {"apiKeyUid": 1}, {}),
    (ALL | {"apiKeyUid": "01b4bc42-eb33-4041-b481-254d00cce8ff"}, {}),
    (b'{"searchRules":["*"],"apiKeyUid":"UID","searchRules":["tok_a"]}', {}),
    (b'{"searchRules":["*"],"apiKeyUid":"UID","exp":9999999999,"exp":1}', {}),
    (b'{"searchRules":["*"],"apiKeyUid":"UID","x":NaN}', {}),
    (b'{"searchRules":{"*":{"filter":"t = x","filter":"t = y"}},"apiKeyUid":"UID"}', {}),
    (b'["*",null,"UID"]', {}),
    *(({"searchRules": rules}, {}) for rules in [*UNREADABLE, *POINTLESS]),
]


@pytest.mark.parametrize(("claims", "options"), GOOD, ids=str)
def test_good_tokens(claims: Any, options: dict[str, Any], both: Both) -> None:
    ours, nodes = both.search(signed(both.key("search"), claims, **options))
    assert ours == nodes
    assert ours[0] == 200


@pytest.mark.parametrize(("claims", "options"), BAD, ids=str)
def test_bad_tokens(claims: Any, options: dict[str, Any], both: Both) -> None:
    ours, nodes = both.search(signed(both.key("search"), claims, **options))
    if "now `" in nodes[1].get("message", ""):  # the clock is in it
        for each in (ours[1], nodes[1]):
            each["message"] = each["message"].partition("and we're now")[0]
    assert ours == nodes
    assert ours[0] == 403


def test_tokens_bent_on_the_way(both: Both) -> None:
    tokens = signed(both.key("search"), ALL)
    for bend in (
        lambda text: text + "=",
        lambda text: text + ".x",
        lambda text: text.rpartition(".")[0],
        lambda text: text.replace(".", "..", 1),
        lambda text: text + "x",
        lambda text: text.upper(),
        lambda _: "a.b.c",
        lambda _: "..",
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
    ):
        ours, nodes = both.search([bend(text) for text in tokens])
        assert ours == nodes
        assert ours[0] == 403


@pytest.mark.parametrize("spelling", [str.upper, lambda uid: uid.replace("-", ""), lambda uid: f"urn:uuid:{uid}"])
def test_spellings_of_the_key(spelling: Callable[[str], str], both: Both) -> None:
    keys = both.key("search")
    tokens = [token({"searchRules": ["*"], "apiKeyUid": spelling(key["uid"])}, key["key"]) for key in keys]
    ours, nodes = both.search(tokens)
    assert ours == nodes
    assert ours[0] == 200


RULES: list[Any] = [
    *(["tok_a"], ["tok_*"], ["tok_b"], ["tok_b", "other_tok"], ["tok_a", "tok_*"], ["*", "nope"]),
    *({"*": None}, {"*": {}}, {"tok_a": None}, {"tok_b": None, "c": {}}, {"*": {"filter": "t = x"}}),
    *({"*": {"filter": None}}, {"tok_*": {"filter": "t = x"}, "tok_a": None}),
    *({"tok_*": {"filter": "t = x"}, "tok_a": {}}, {"tok_*": {"filter": "t = x"}, "tok_a": {"filter": "t = y"}}),
    {"tok_*": {"filter": "t = x"}, "t*": {"filter": "t = y"}, "*": {"filter": "n = 1"}},
    {"*": {"filter": "t = x"}, "tok_a": {"filter": ["n = 2"]}},
    {"*": {"filter": ["n < 4", ["t = x", "n = 5"]]}},
    *({"*": {"filter": each}} for each in ODD_FILTERS),
    *({"*": {"foo": 1}}, {"*": {"filter": "t = x", "foo": 1}}, {"*": ["t = x"]}, {"*": [None]}),
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_rules(rules: Any, both: Both) -> None:
    tokens = signed(both.key("search"), {"searchRules": rules})
    ours, nodes = both.search(tokens)
    assert ours == nodes
    for filter in ("n < 3", ["n < 3", ["t = x", "t = y"]], "n <", 5, None, "", []):
        ours, nodes = both.search(tokens, filter=filter)
        assert ours == nodes, filter
    for path in ("?q=x", "?filter=n%3C3", "?filter=%5B%5D"):
        ours, nodes = both.ask(tokens, "GET", f"/indexes/tok_a/search{path}")
        assert ours == nodes, path


def test_rules_hold_in_every_search(both: Both) -> None:
    by_index = {"tok_a": {"filter": "t = x"}, "other_tok": {"filter": "n = 5"}}
    for rules in (by_index, ["tok_*"], {"*": {"filter": "t ="}}):
        tokens = signed(both.key("search"), {"searchRules": rules})
        for body in ({"facetName": "t"}, {"facetName": "t", "filter": "n < 3"}):
            ours, nodes = both.ask(tokens, "POST", "/indexes/tok_a/facet-search", body)
            assert ours == nodes, (rules, body)
        for names in (("tok_a", "other_tok"), ("tok_a", "tok_b"), ("nope", "tok_a"), ("tok_a", "nope")):
            queries = [{"indexUid": name, "filter": "n > 1"} for name in names]
            ours, nodes = both.ask(tokens, "POST", "/multi-search", {"queries": queries})
            assert ours == nodes, (rules, names)


def test_rights_of_the_key_behind(both: Both) -> None:
    for actions, indexes in (
        (("search",), ("*",)),
        (("*",), ("*",)),
        (("*.get",), ("*",)),
        (("documents.*",), ("*",)),
        (("chatCompletions",), ("*",)),
        ((), ("*",)),
        (("search",), ()),
        (("search",), ("tok_*",)),
        (("search",), ("tok_a", "zzz_*", "b")),
    ):
        keys = both.key(*actions, indexes=indexes)
        for rules in (["*"], ["tok_b"], ["other_tok"], {"tok_*": {"filter": "t = x"}}):
            tokens = signed(keys, {"searchRules": rules})
            for index in ("tok_a", "other_tok", "not_there", "a%20b", "zzz_1"):
                for credentials in (tokens, [key["key"] for key in keys]):
                    ours, nodes = both.search(credentials, index)
                    assert ours == nodes, (actions, indexes, rules, index)


def test_a_token_opens_searches_alone(both: Both) -> None:
    tokens = signed(both.key("*"), ALL)
    for method, path in (
        *(("GET", "/indexes"), ("GET", "/indexes/tok_a"), ("GET", "/indexes/tok_a/documents"), ("GET", "/stats")),
        *(("GET", "/tasks"), ("GET", "/version"), ("GET", "/keys"), ("GET", "/nope"), ("DELETE", "/indexes/tok_a")),
        ("GET", "/health"),
    ):
        ours, nodes = both.ask(tokens, method, path)
        assert ours == nodes, path


def test_keys_and_tokens_that_run_out_or_are_deleted(both: Both) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 12))
    keys = both.key("search", "tasks.get", expires=soon)
    tokens = signed(keys, ALL)
    values = [key["key"] for key in keys]
    deadline = time.monotonic() + 60
    while both.search(values)[0][0] == 200:
        assert time.monotonic() < deadline
    for path in ("/indexes/tok_a/search", "/indexes/not_there/search", "/tasks"):
        for credentials in (values, tokens):
            ours, nodes = both.ask(credentials, "GET", path)
            assert ours == nodes
            assert ours[0] == 403
    assert [api.get(f"/keys/{key}")["expiresAt"] for api, key in zip(both.sides, values, strict=True)] == [soon] * 2
    keys = [api.post("/keys", {"actions": ["search"], "indexes": ["*"], "expiresAt": None}) for api in both.sides]
    tokens, values = signed(keys, ALL), [key["key"] for key in keys]
    assert both.search(tokens)[0][0] == both.search(values)[0][0] == 200
    for api, key in zip(both.sides, values, strict=True):
        api.delete(f"/keys/{key}")
    for credentials in (values, tokens, [text[:-3] + "abc" for text in tokens]):
        ours, nodes = both.search(credentials)
        assert ours == nodes
        assert ours[0] == 403


# -- keys for some indexes ---------------------------------------------------------------------------------------------


def test_lists_show_a_key_its_indexes(both: Both) -> None:
    for indexes in (("tok_*",), ("other_tok",), ("tok_a", "other*"), ()):
        keys = [key["key"] for key in both.key("*", indexes=indexes)]
        for path in ("/indexes", "/indexes?limit=1&offset=1"):
            ours, nodes = both.ask(keys, "GET", path)
            assert ours[0] == nodes[0]
            if ours[0] == 200:
                assert [index["uid"] for index in ours[1]["results"]] == [index["uid"] for index in nodes[1]["results"]]
                assert {name: ours[1][name] for name in ("offset", "limit", "total")} == {
                    name: nodes[1][name] for name in ("offset", "limit", "total")
                }
        ours, nodes = both.ask(keys, "GET", "/stats")
        assert ours[0] == nodes[0]
        assert list(ours[1].get("indexes", [])) == list(nodes[1].get("indexes", []))
        for path in ("/tasks?limit=1000", "/batches?limit=1000", "/tasks?indexUids=tok_b,other_tok&limit=1000"):
            ours, nodes = both.ask(keys, "GET", path)
            assert ours[0] == nodes[0]
            if path.startswith("/tasks") and ours[0] == 200:
                seen = [{task["indexUid"] for task in answer[1]["results"]} & set(INDEXES) for answer in (ours, nodes)]
                assert seen[0] == seen[1]


def test_tasks_of_other_indexes_are_not_there(both: Both) -> None:
    own = [key["key"] for key in both.key("*", indexes=("tok_*",))]
    for place, api in enumerate(both.sides):
        (theirs,) = api.get("/tasks", indexUids="other_tok", limit=1)["results"]
        (mine,) = api.get("/tasks", indexUids="tok_a", limit=1)["results"]
        client = api.with_key(own[place])
        for path, code in ((f"/tasks/{theirs['uid']}", "task"), (f"/batches/{theirs['batchUid']}", "batch")):
            answer = client.request("GET", path)
            assert (answer.status_code, answer.json()["code"]) == (404, f"{code}_not_found")
        assert client.get(f"/tasks/{mine['uid']}")["indexUid"] == "tok_a"
        canceled = client.post("/tasks/cancel", uids=f"{theirs['uid']},{mine['uid']}")
        assert api.succeeded(canceled)["details"]["matchedTasks"] == 1
        assert client.request("GET", f"/tasks/{canceled['taskUid']}").status_code == 404
        deleted = client.delete("/tasks", uids=f"{theirs['uid']}")
        assert api.succeeded(deleted)["details"]["matchedTasks"] == 0
        client.close()


def test_creating_takes_the_right_to_create(both: Both) -> None:
    def outcome(rights: tuple[str, ...], method: str, path: str, body: Any) -> list[Any]:
        found: list[Any] = []
        keys = both.key(*rights, indexes=("new_*", "tok_a"))
        for api, bare, key in zip(both.sides, both.bare, keys, strict=True):
            answer = bare.request(method, path, json=body, headers={"authorization": f"Bearer {key['key']}"})
            if answer.status_code != 202:
                found.append((answer.status_code, answer.json()))
                continue
            task = api.wait_task(answer.json())
            found.append((task["status"], task["error"], task["details"]))
            if api.request("GET", "/indexes/new_tok").status_code == 200:
                api.delete_index("new_tok")
        return found

    writing = ("documents.add", "settings.update")
    for rights in (writing, (*writing, "indexes.create"), ("*",)):
        for method, path, body in (
            ("POST", "/indexes/new_tok/documents", [{"id": 1}]),
            ("PUT", "/indexes/new_tok/documents", [{"id": 1}]),
            ("PATCH", "/indexes/new_tok/settings", {"stopWords": ["a"]}),
            ("PUT", "/indexes/new_tok/settings/stop-words", ["a"]),
            ("DELETE", "/indexes/new_tok/settings", None),
            ("POST", "/indexes", {"uid": "new_tok"}),
            ("POST", "/indexes", {"uid": "elsewhere"}),
            ("POST", "/indexes", {"uid": "else where"}),
            ("POST", "/indexes", {"uid": "elsewhere", "x": 1}),
        ):
            ours, nodes = outcome(rights, method, path, body)
            assert ours == nodes, (rights, method, path, body)
