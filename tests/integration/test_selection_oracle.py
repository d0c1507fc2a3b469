"""Delete by filter, delete all and edit by function, beside a plain node: answers, tasks, details and what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

FEATURE = "editDocumentsByFunction"
SETTINGS = {
    "filterableAttributes": [
        "a",
        {"attributePatterns": ["n*"], "features": {"facetSearch": False, "filter": {"equality": False}}},
        {"attributePatterns": ["e*"], "features": {"facetSearch": False, "filter": {"equality": True}}},
    ]
}


def documents(count: int = 60) -> list[dict[str, Any]]:
    return [{"id": number, "a": number % 5, "b": number, "n": 1, "e": 3, "t": ["x"] * 2} for number in range(count)]


@pytest.fixture
def both(
    cluster: Callable[..., Cluster], real_node: Callable[..., RealNode], request: pytest.FixtureRequest
) -> tuple[Api, Cluster]:
    """A plain node and a cluster, private, for the feature changes what they answer. Parameter: copies of a shard."""
    return real_node().api, cluster(groups=1, nodes=3, rf=getattr(request, "param", 1), fresh=True)


with_one_copy_and_two = pytest.mark.parametrize("both", [1, 2], ids=["RF 1", "RF 2"], indirect=True)


def switch_on(apis: tuple[Api, Cluster]) -> None:
    for api in (apis[0], *(node.api for node in apis[1].nodes)):
        api.patch("/experimental-features", {FEATURE: True})


def outcome(api: Api, method: str, path: str, body: Any, index: str) -> Any:
    """What a client sees of a change: the answer, the task, and the documents afterwards."""
    response = api.request(method, path, json=body) if body is not None else api.request(method, path)
    answer = response.json()
    if response.status_code != 202:
        return response.status_code, answer
    task = api.wait_task(answer)
    shape = {name: answer[name] for name in answer if name not in ("taskUid", "enqueuedAt")}
    ended = {name: task[name] for name in ("status", "type", "details", "error", "indexUid", "canceledBy")}
    found = api.request("GET", f"/indexes/{index}/documents", params={"limit": 1000})
    contents = found.json()["results"] if found.status_code == 200 else found.json()
    return 202, shape, ended, list(ended["details"]), contents


def compare(both: tuple[Api, Cluster], index: str, steps: list[tuple[str, str, Any]]) -> list[Any]:
    differing = []
    for method, path, body in steps:
        left, right = (
            outcome(api, method, f"/indexes/{index}{path}", body, index) for api in (both[0], both[1].client)
        )
        if left != right:
            differing.append(
                (path, body, *[(one, other) for one, other in zip(left, right, strict=False) if one != other])
            )
    return differing


DELETIONS: list[Any] = [
    {}, {"filter": None}, {"filter": "x", "foo": 1}, {"filter": 1}, [], {"filter": ""}, {"filter": []},
    {"filter": "  "}, {"filter": [" ", [""]]}, {"filter": {"a": 1}}, {"filter": [[["a=3"]]]}, {"filter": [1]},
    {"filter": True}, {"filter": "a = "}, {"filter": ["a = 1", "b = "]}, {"filter": "\u3000\u0085"},
    {"filter": "\x1c"}, {"filter": "a = 1) OR (a = 2"}, {"filter": "a = 1 OR a = 2) AND (a = 3"},
    {"filter": "b = 2"}, {"filter": "n = 3"}, {"filter": "e > 3"}, {"filter": "id = 3"}, {"filter": "id IN [3, 4]"},
    {"filter": ["a = 3", "NOT id EXISTS"]}, {"filter": "_geoRadius(1,2,3)"}, {"filter": "a = 3 AND\n  id = 4"},
    {"filter": "a = 1 AND e = 4"}, {"filter": "a = 1"}, {"filter": "a = 1"}, {"filter": ["a = 2", ["e = 4", "e = 3"]]},
    {"filter": [["", "a = 3"], ""]}, {"filter": "NOT a EXISTS"}, {"filter": "NOT a = 0"}, {"filter": "a EXISTS"},
]  # fmt: skip


@with_one_copy_and_two
def test_deletions_are_those_of_a_node(both: tuple[Api, Cluster], index_name: str) -> None:
    unknown = [("POST", "/documents/delete", body) for body in DELETIONS] + [("DELETE", "/documents", None)]
    assert not compare(both, index_name, unknown)
    for api in (both[0], both[1].client):
        api.create_index(index_name)
    bare = [("DELETE", "/documents", None), ("POST", "/documents/delete", {"filter": "a = 1"})]
    assert not compare(both, index_name, bare)
    for api in (both[0], both[1].client):
        api.update_settings(index_name, SETTINGS)
        api.add_documents(index_name, documents())
    assert not compare(both, index_name, [("POST", "/documents/delete", body) for body in DELETIONS])
    for api in (both[0], both[1].client):
        api.add_documents(index_name, documents(25))
    assert not compare(both, index_name, [("DELETE", "/documents", None)] * 2)
    for api in (both[0], both[1].client):
        api.add_documents(index_name, documents(3))
        assert api.get(f"/indexes/{index_name}")["primaryKey"] == "id"
        assert api.search(index_name, "")["estimatedTotalHits"] == 3


def test_an_empty_filter_deletes_nothing_though_ours_would_match(both: tuple[Api, Cluster], index_name: str) -> None:
    client = both[1].client
    client.add_documents(index_name, documents(10))
    empty: list[object] = ["", " ", [], [[]], ["", [" "]], "\u2003", None]
    for filter in empty:
        response = client.request("POST", f"/indexes/{index_name}/documents/delete", json={"filter": filter})
        assert response.status_code == 400
        assert response.json()["code"] == "invalid_document_filter"
    assert client.get(f"/indexes/{index_name}/documents")["total"] == 10


@pytest.mark.allow_stamps
def test_a_filter_that_names_a_stamp_is_refused_as_by_a_node(both: tuple[Api, Cluster], index_name: str) -> None:
    for api in (both[0], both[1].client):
        api.create_index(index_name, "id")
        api.update_settings(index_name, SETTINGS)
        api.add_documents(index_name, documents(10))
    filters: list[Any] = ["_miroir_seq EXISTS", "a = 1 OR _miroir_shard = 3", ["NOT '_miroir_placed_at' = x"]]
    assert not compare(both, index_name, [("POST", "/documents/delete", {"filter": filter}) for filter in filters])
    switch_on(both)
    edits = [{"function": "doc.x = 1", "filter": filter} for filter in filters]
    assert not compare(both, index_name, [("POST", "/documents/edit", body) for body in edits])


REFUSED_EDITS: list[Any] = [
    {}, {"filter": None}, {"function": "x", "foo": 1}, {"function": 1}, [], {"filter": 1, "function": "doc.x=1"},
    {"function": "doc.x=1", "context": 1}, {"function": None}, {"function": "doc.a", "context": None},
    {"context": {}, "filter": "a=1"}, {"function": "doc.x = ", "context": {}}, {"function": "this.x = 1"},
    {"filter": "", "function": "doc.x=1"}, {"filter": [], "function": "doc.x=1"}, {"filter": "a =", "function": "1"},
    {"function": "import \"x\" as y;"}, {"function": "fn f() { fn g() {} }"}, {"function": "break"},
    {"function": "doc.x = 1", "context": [1]}, {"function": "}; doc = (); {"}, {"function": "}).call(); (|| {"},
]  # fmt: skip

EDITS: list[tuple[str, Any, Any]] = [
    ("doc.x = 1", None, None),
    ("doc.x = doc.b + 1", "a = 1", None),
    ("doc.id = 77", "a = 0", None),
    ('doc.remove("id")', "a = 9", None),
    ("if doc.b == 3 { doc = () }", None, None),
    ("doc = #{id: doc.id}", "a = 4", None),
    ("doc = 1", None, None),
    ("doc.z = context.v", None, {"v": 5}),
    ("doc.z = context.w; // nothing there", None, {"v": [1.5, {"k": None}]}),
    ("doc.z = context.v", None, None),
    ('throw "boo"', None, None),
    ("fn f(x) { return x + 1; }\n\ndoc.z = f(7)", None, None),
    ("private fn f(x) { x + 1 } fn g(x) { f(x) * 2 }\nif doc.b > 20 { return; }\ndoc.z = g(8)", None, None),
    ("doc.q = 1; return; doc.q = 2", ["a = 1", "e = 3"], None),
    ("doc.t = doc.t.map(|x| { if x == 'y' { return 1; } x + `${doc.b}` })", "a = 2", None),
    ('eval("doc.ev = 1")', "a = 3", None),
    ("let doc = #{id: doc.id, shadow: true};", "a = 3", None),
    ("doc.y = 1 / 0", None, None),
    ("doc.y =\n  nope", None, None),
    ("fn f() {\n  nope }\ndoc.y = f()", None, None),
    ("doc.keys = doc.keys()", None, None),
    ("doc.x = 2", "b = 1", None),
    ("doc.x = 2", "id = 1", None),
    ("doc.x = 2", "a = 99", None),
    ("", None, None),
    ("/* } */", "a = 1", None),
    ("loop {}", "a = 1", None),
]


@with_one_copy_and_two
def test_edits_are_those_of_a_node(both: tuple[Api, Cluster], index_name: str) -> None:
    bodies: list[Any] = [
        {"function": function, "filter": filter} if context is None else
        {"function": function, "filter": filter, "context": context}
        for function, filter, context in EDITS
    ]  # fmt: skip
    steps = [("POST", "/documents/edit", body) for body in (*REFUSED_EDITS, *bodies)]
    assert not compare(both, index_name, steps[: len(REFUSED_EDITS) + 2])  # the feature is off
    switch_on(both)
    assert not compare(both, index_name, steps)  # there is no index
    for api in (both[0], both[1].client):
        api.create_index(index_name, "id")
    assert not compare(both, index_name, steps[-5:])
    for api in (both[0], both[1].client):
        api.update_settings(index_name, SETTINGS)
        api.add_documents(index_name, documents(30))
        api.add_documents(index_name, documents(60)[30:])
    assert not compare(both, index_name, steps)


@pytest.mark.allow_stamps
@with_one_copy_and_two
def test_an_edit_keeps_the_stamps_and_renews_them(both: tuple[Api, Cluster], index_name: str) -> None:
    switch_on(both)
    running = both[1]
    running.client.create_index(index_name, "id")
    running.client.update_settings(index_name, SETTINGS)
    running.client.add_documents(index_name, documents(40))

    def stored() -> dict[tuple[str, int], dict[str, Any]]:
        return {
            (node.node_id, each["id"]): each
            for node in running.nodes
            for each in node.api.post(f"/indexes/{index_name}/documents/fetch", {"limit": 1000})["results"]
        }

    before = stored()
    edit = {"function": "doc = #{id: doc.id, a: doc.a, fresh: 1}; if doc.id == 5 { return; }", "filter": "a < 3"}
    versions = set()
    for _ in range(2):
        running.client.succeeded(running.client.post(f"/indexes/{index_name}/documents/edit", edit))
        after = stored()
        assert after.keys() == before.keys()
        for place, document in after.items():
            old = before[place]
            for field in ("_miroir_shard", "_miroir_placed_at"):
                assert document[field] == old[field]
            assert document["_miroir_seq"].startswith(old["_miroir_seq"])
            edited = document["a"] < 3
            assert ("fresh" in document) == edited
            assert (document["_miroir_seq"] != old["_miroir_seq"]) == edited
            assert (document["_miroir_updated_at"] != old["_miroir_updated_at"]) == edited
            if edited:
                versions.add((document["_miroir_seq"][16:], document["_miroir_updated_at"]))
    assert len(versions) == 2
    assert all(version == updated for version, updated in versions)
    # An edit moves no document: lists and searches come in the order they had.
    listed = [each["id"] for each in running.client.get(f"/indexes/{index_name}/documents", limit=100)["results"]]
    assert listed == list(range(40))
    assert [hit["id"] for hit in running.client.search(index_name, "", limit=100)["hits"]] == listed


def test_a_function_that_would_leave_our_part_too_is_refused(both: tuple[Api, Cluster], index_name: str) -> None:
    switch_on(both)
    client = both[1].client
    client.add_documents(index_name, documents(5))
    response = client.request("POST", f"/indexes/{index_name}/documents/edit", json={"function": "exit (1)"})
    assert (response.status_code, response.json()["code"]) == (501, "miroir_not_supported")
    # Where it cannot be seen the document stays as it was, and is found as before.
    for function in ('doc.x = 1; eval("ex" + "it()")', 'doc.x = 1; Fn("exit").call(); return'):
        client.succeeded(client.post(f"/indexes/{index_name}/documents/edit", {"function": function}))
        listed = client.get(f"/indexes/{index_name}/documents")["results"]
        assert [each["id"] for each in listed] == list(range(5))
