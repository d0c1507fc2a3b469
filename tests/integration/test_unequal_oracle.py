"""`attribute != value` over nodes of which only some have ever seen the attribute, beside one node that has."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from miroir.cluster import shard_of
from miroir.indexes.inequality import told_by_list, unequal_attributes
from tests.client import Api, wait_until
from tests.integration.twins import Twins, assert_none, timeless
from tests.nodes import Cluster, ClusterPool, RealNode

SETTINGS: dict[str, Any] = {
    "filterableAttributes": [
        "a", "rare", "o.deep", "two words", "none", "t",
        {"attributePatterns": ["late*"], "features": {"facetSearch": False, "filter": {"equality": True}}},
        {"attributePatterns": ["n*"], "features": {"filter": {"equality": False, "comparison": True}}},
    ],
    "sortableAttributes": ["a"],
}  # fmt: skip
VECTORS = {"embedders": {"near": {"source": "userProvided", "dimensions": 2}}}
COUNT = 60
FEATURE = "editDocumentsByFunction"

FILTERS: list[Any] = [
    "rare != 1", "rare != 7", "rare!=1", "NOT rare != 1", "NOT (rare != 1 OR a = 2)", "(rare != 1) AND a != 0",
    "rare != 1 OR a = 1", ["rare != 1", ["a = 1", "a = 2"]], [["rare != 2", "a = 1"], "a != 4"], "o.deep != x",
    "'two words' != \"y z\"", "none != 1", "NOT none != 1", "none != 1 OR a = 3", "rare != 1 AND none != 1",
    "rare != '!=' AND NOT o.deep != x", "rare NOT IN [1] AND rare != 2", "rare EXISTS AND rare != 1",
    ["rare != 1", ""], "a IN [1, 2] AND'two words'!='y z'", "rare != \"\"", "(" * 49 + "rare!=1" + ")" * 49,
]  # fmt: skip
REFUSED: list[Any] = [
    "(" * 50 + "rare!=1" + ")" * 50, "other != 1 OR rare != 1",
    "rare != ", "rare != 1 AND", "!= 1", "rare != 1 AND other = 2", "other != 1", "rare != 1 rare", "rare ! = 1",
    "rare != 'x", "id != 3", "rare != 1 AND id != 3", "n != 3", "rare != 1 AND n != 3", "n = 3 OR n != 3",
    "_geo != 3", "_geoRadius(1, 2, 3) AND rare != 1", "rare != 1 AND a\n != 2 AND other = 1", ["rare != 1", "b ="],
    "_vectors != 3", "id = 3 AND rare != 'x", "rare != 1 AND _geoPoint(1, 2)", [["rare != 1"], 3],
    ["rare != 1", [["a"]]], "rare != 1)", "rare != 1 AND a CONTAINS 1", "'rare != 1", "rare != NOT", "a = rare != 1",
]  # fmt: skip


class Placed:
    """Ids of documents by the node that holds the first copy of their shard."""

    def __init__(self, cluster: Cluster, index: str) -> None:
        shards = cluster.admin.get("/_miroir/shards", index=index)["shards"]
        self._owners = {each["shard"]: each["groups"][0]["write_owners"] for each in shards}

    def of(self, key: int) -> list[str]:
        owners: list[str] = self._owners[shard_of(str(key), len(self._owners))]
        return owners


def documents(placed: Placed, count: int = COUNT) -> list[dict[str, Any]]:
    """Those of the first node's shards have members that no others have."""
    first = placed.of(0)
    made = []
    for number in range(count):
        document: dict[str, Any] = {"id": number, "a": number % 5, "n": 1, "t": f"word {number % 3}"}
        if placed.of(number) == first:
            document |= {"rare": number % 3, "o": {"deep": ["x", "y"][number % 2]}, "two words": "y z"}
        made.append(document)
    return made


def loaded(twins: Twins, cluster: Cluster, settings: dict[str, Any]) -> str:
    """A new index on both; its name. Only some nodes know what is rare."""
    uid = twins.load(settings, [])
    rows = documents(Placed(cluster, uid))
    for api in (twins.plain, twins.miroir):
        api.add_documents(uid, rows)
    knowing = ["rare" in node.api.get(f"/indexes/{uid}/stats")["fieldDistribution"] for node in cluster.nodes]
    assert True in knowing
    assert False in knowing
    return uid


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def index(twins: Twins, cluster_pool: ClusterPool) -> str:
    return loaded(twins, cluster_pool.get(), SETTINGS)


def test_every_way_to_search_finds_what_one_node_finds(twins: Twins, index: str) -> None:
    search, fetch = f"/indexes/{index}/search", f"/indexes/{index}/documents/fetch"
    differences = []
    for place, filter in enumerate(FILTERS):
        asked = {"filter": filter, "limit": 100}
        differences += [
            twins.difference("POST", search, {**asked, "facets": ["a", "rare", "none"]}),
            twins.difference("POST", search, {"filter": filter, "q": "word", "sort": ["a:desc"], "page": 1}),
            twins.difference("POST", f"/indexes/{index}/facet-search", {"facetName": "t", "filter": filter}),
            twins.difference("POST", fetch, asked),
            twins.difference("POST", fetch, {**asked, "sort": ["a:asc"], "offset": place}),
        ]
        if isinstance(filter, str):
            differences.append(twins.difference("GET", search, params={"filter": filter, "limit": "100"}))
            differences.append(twins.difference("GET", f"/indexes/{index}/documents", params={"filter": filter}))
    assert_none(differences)


def test_several_searches_in_one_request(twins: Twins, index: str) -> None:
    queries = [{"indexUid": index, "filter": filter} for filter in FILTERS]
    assert_none([twins.difference("POST", "/multi-search", {"queries": queries})])
    differences = []
    for place, filter in enumerate(FILTERS):
        others = [
            {"indexUid": index, "q": "word", "filter": FILTERS[place - 1]},
            {"indexUid": index, "filter": "a = 3"},
        ]
        for more in ([], others):
            federation = {"limit": 100, "facetsByIndex": {index: ["a", "rare"]}}
            federated = {"federation": federation, "queries": [{"indexUid": index, "filter": filter}, *more]}
            differences.append(twins.difference("POST", "/multi-search", federated))
    assert_none(differences)


def test_similar_documents(twins: Twins, cluster_pool: ClusterPool) -> None:
    running = cluster_pool.get()
    uid = twins.load({**SETTINGS, **VECTORS}, [])
    rows = [{**row, "_vectors": {"near": [1.0, row["id"] / 100]}} for row in documents(Placed(running, uid), 40)]
    for api in (twins.plain, twins.miroir):
        api.add_documents(uid, rows)
    bodies = [{"id": 3, "embedder": "near", "limit": 40, "filter": filter} for filter in FILTERS + REFUSED]
    assert_none([twins.difference("POST", f"/indexes/{uid}/similar", body) for body in bodies])


def test_refusals_are_those_of_a_node_letter_by_letter(twins: Twins, index: str) -> None:
    differences = []
    for filter in REFUSED:
        differences += [
            twins.difference("POST", f"/indexes/{index}/search", {"filter": filter}),
            twins.difference("POST", f"/indexes/{index}/facet-search", {"facetName": "t", "filter": filter}),
            twins.difference("POST", f"/indexes/{index}/documents/fetch", {"filter": filter}),
            twins.difference("POST", "/multi-search", {"queries": [{"indexUid": index, "filter": filter}]}),
            twins.difference(
                "POST", "/multi-search",
                {"federation": {}, "queries": [{"indexUid": index, "filter": each} for each in ("rare != 1", filter)]},
            ),
        ]  # fmt: skip
        if isinstance(filter, str):
            differences.append(twins.difference("GET", f"/indexes/{index}/search", params={"filter": filter}))
    assert_none(differences)


@pytest.mark.allow_stamps
def test_a_stamp_is_refused_as_any_other_name(twins: Twins, index: str) -> None:
    for filter in ("_miroir_shard != 3", "rare != 1 AND _miroir_seq != x"):
        for route in ("search", "documents/fetch"):
            assert twins.difference("POST", f"/indexes/{index}/{route}", {"filter": filter}) is None


def test_an_alias_for_several_indexes_knows_what_one_of_them_knows(
    twins: Twins, index: str, cluster_pool: ClusterPool
) -> None:
    running = cluster_pool.get()
    other = f"{index}_other"
    twins.miroir.create_index(other, "id")
    twins.miroir.update_settings(other, SETTINGS)
    twins.miroir.add_documents(other, [{"id": 1000 + number, "a": number % 5} for number in range(10)])
    running.admin.post("/_miroir/aliases", {"name": f"{index}_both", "target_uids": [index, other]})
    found = twins.miroir.search(f"{index}_both", "", filter="rare != 1", limit=100)
    alone = twins.miroir.search(index, "", filter="rare != 1", limit=100)
    assert found["estimatedTotalHits"] == alone["estimatedTotalHits"] + 10


def test_what_is_told_otherwise_finds_the_same_on_one_node(twins: Twins, index: str) -> None:
    """Filters of every kind, sound and not: the way they are told changes nothing on a node that knows everything."""
    chance = random.Random(77)
    path = f"/indexes/{index}/documents/fetch"
    soup = [
        "rare", "rare != 1", "a!=x", "'two words'", "o.deep", "!=", "=", "AND", "OR", "NOT", "(", ")", "1", "x",
        "EXISTS", "IN [1, 2]", "_geoRadius(1, 2, 3)", "'", ",", "IS NULL", "\u00a0", "late 1 TO 3",
    ]  # fmt: skip

    def condition(depth: int) -> str:
        name = chance.choice(["rare", "a", "'two words'", "o.deep", '"rare"'])
        blank = chance.choice(["", " ", "  ", "\n"])
        draw = chance.random()
        if depth and draw < 0.3:
            inner = f"{condition(depth - 1)} {chance.choice(['AND', 'OR'])} {condition(depth - 1)}"
            return chance.choice(["{}", "({})", "NOT ({})", "NOT({})"]).format(inner)
        if draw < 0.4:
            return f"NOT {condition(0)}"
        value = chance.choice(["1", "2", "x", "'y z'", '"!="', "'a != 1'", "'it\\'s'"])
        sign = chance.choice(["!=", "!=", "!=", "=", "<"])
        return f"{name} {sign} {value}" if sign == "<" else f"{name}{blank}{sign}{blank}{value}"

    seen: Counter[tuple[int, bool]] = Counter()
    for number in range(400):
        tokens = chance.choices(soup, k=chance.randint(2, 7))
        text = condition(3) if number % 2 else chance.choice(["", " "]).join(tokens)
        told = told_by_list(text, unequal_attributes(text))
        one, other = (twins.plain.request("POST", path, json={"filter": each, "limit": 100}) for each in (text, told))
        assert one.status_code == other.status_code, (text, told, one.text, other.text)
        if one.status_code == 200:
            assert timeless(one) == timeless(other), (text, told)
        seen[one.status_code, text != told] += 1
    assert seen[200, True] > 100
    assert seen[400, True] > 20


# -- changes ---------------------------------------------------------------------------------------------------------


class Pair:
    """A plain node and a cluster of the test's own: the feature of edits is switched on for all that is on them."""

    def __init__(self, plain: Api, cluster: Cluster) -> None:
        self.twins = Twins(plain, cluster.client)
        self.cluster = cluster
        for api in (plain, *(node.api for node in cluster.nodes)):
            api.patch("/experimental-features", {FEATURE: True})

    def outcome(self, api: Api, uid: str, path: str, body: Any) -> Any:
        """What a client sees of a change, and the documents afterwards."""
        response = api.request("POST", f"/indexes/{uid}{path}", json=body)
        answer = response.json()
        if response.status_code != 202:
            return response.status_code, answer
        task = api.wait_task(answer)
        ended = {name: task[name] for name in ("status", "type", "details", "error", "indexUid")}
        return 202, ended, api.get(f"/indexes/{uid}/documents", limit=1000)["results"]

    def copies(self, uid: str) -> dict[int, list[Any]]:
        """The copies of each document on the nodes, without what each node has of its own."""
        found: dict[int, list[Any]] = {}
        for node in self.cluster.nodes:
            for row in node.api.post(f"/indexes/{uid}/documents/fetch", {"limit": 1000})["results"]:
                found.setdefault(row["id"], []).append({k: v for k, v in row.items() if k != "_miroir_placed_at"})
        return found

    def wait_for_equal_copies(self, uid: str) -> None:
        """Until each document that the plain node has is there as often as it should be, and nothing else is."""
        left = {row["id"] for row in self.twins.plain.get(f"/indexes/{uid}/documents", limit=1000)["results"]}

        def are_equal() -> bool:
            copies = self.copies(uid)
            wanted = self.cluster.rf * self.cluster.groups
            return copies.keys() == left and all(each == each[:1] * wanted for each in copies.values())

        wait_until(are_equal, 60, "every copy like the others")


@pytest.fixture
def pair(request: pytest.FixtureRequest, cluster: Callable[..., Cluster], real_node: Callable[..., RealNode]) -> Pair:
    """Parameter: copies of a shard, two unless it is said."""
    return Pair(real_node().api, cluster(groups=1, nodes=3, rf=getattr(request, "param", 2), fresh=True))


@pytest.mark.allow_stamps
@pytest.mark.parametrize("pair", [1, 2], ids=["RF 1", "RF 2"], indirect=True)
def test_changes_by_filter_are_those_of_one_node(pair: Pair) -> None:
    uid = loaded(pair.twins, pair.cluster, SETTINGS)
    refused = REFUSED if pair.cluster.rf == 2 else REFUSED[:3]  # one node is much like another there
    edit = {"function": "doc.seen = (if doc.seen == () {0} else {doc.seen}) + 1"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("/documents/edit", {**edit, "filter": filter}) for filter in [*FILTERS[:6], "none != 1", *refused[:8]]
    ]
    steps += [("/documents/delete", {"filter": filter}) for filter in refused]
    steps += [
        ("/documents/delete", {"filter": filter})
        for filter in ("none != 1", "rare != 7 AND a = 0", ["o.deep != x", ["a = 1"]], "NOT rare != 1", "rare!=0")
    ]
    differing = []
    for path, body in steps:
        one, other = (pair.outcome(api, uid, path, body) for api in (pair.twins.plain, pair.twins.miroir))
        if one != other:
            differing.append((path, body, one, other))
        if len(differing) == 3:
            break
    assert not differing
    assert 0 < pair.twins.plain.get(f"/indexes/{uid}/documents")["total"] < COUNT
    pair.wait_for_equal_copies(uid)


@pytest.mark.allow_stamps
def test_a_deletion_knows_what_the_writes_before_it_bring(pair: Pair) -> None:
    uid = pair.twins.load(SETTINGS, [])
    rows = documents(Placed(pair.cluster, uid))
    for api in (pair.twins.plain, pair.twins.miroir):
        base = f"/indexes/{uid}/documents"
        api.add_documents(uid, [{"id": row["id"], "a": row["a"]} for row in rows])
        api.succeeded(api.post(f"{base}/delete", {"filter": "late != 1"}))  # nobody has it: nothing goes
        assert api.get(base)["total"] == COUNT
        api.post(base, [{"id": 0, "a": 0, "late": 1}])  # the first that has it, not waited for
        api.succeeded(api.post(f"{base}/delete", {"filter": "late != 1 AND a < 3"}))
        api.post(f"{base}/edit", {"function": "doc.later = 2", "filter": "late = 1"})
        api.succeeded(api.post(f"{base}/edit", {"function": "doc.seen = 1", "filter": "later != 2 AND a = 3"}))
    one, other = (
        sorted(api.get(f"/indexes/{uid}/documents", limit=100)["results"], key=lambda row: row["id"])
        for api in (pair.twins.plain, pair.twins.miroir)
    )
    assert one == other
    assert 0 < len(one) < COUNT
    assert 1 < sum("seen" in row for row in one) < len(one)
    pair.wait_for_equal_copies(uid)


def test_a_copy_that_was_away_when_documents_came_and_went_is_not_the_only_one_asked(pair: Pair) -> None:
    uid = pair.twins.load(SETTINGS, [{"id": number, "a": number % 5} for number in range(COUNT)])
    owners = Placed(pair.cluster, uid).of(0)
    away = pair.cluster.node(owners[1])
    away.kill()
    pair.cluster.wait_failed(1)
    base = f"/indexes/{uid}/documents"
    for api in (pair.twins.plain, pair.twins.miroir):
        api.add_documents(uid, [{"id": 0, "a": 0, "rare": 1}])
        api.succeeded(api.delete(f"{base}/0"))
        api.add_documents(uid, [{"id": 0, "a": 0}])
    away.restart()
    pair.cluster.wait_all_healthy()

    def is_whole() -> bool:
        shards = pair.cluster.admin.get("/_miroir/shards", index=uid)["shards"]
        return all(len(shard["in_sync"]) == pair.cluster.rf for shard in shards)

    wait_until(is_whole, 60, "every copy trusted again")
    for api in (pair.twins.plain, pair.twins.miroir):
        api.succeeded(api.post(f"{base}/delete", {"filter": "rare != 1 AND a > 0"}))
        assert api.get(base)["total"] == COUNT / 5


def test_an_attribute_stays_known_when_no_document_has_it_any_more(pair: Pair) -> None:
    uid = loaded(pair.twins, pair.cluster, SETTINGS)
    for api in (pair.twins.plain, pair.twins.miroir):
        api.succeeded(api.post(f"/indexes/{uid}/documents/delete", {"filter": "rare EXISTS"}))
    search = f"/indexes/{uid}/search"
    assert_none([pair.twins.difference("POST", search, {"filter": f"{name} != 1"}) for name in ("rare", "o.deep")])
    pair.cluster.server.restart()
    pair.cluster.wait_all_healthy()
    assert_none([pair.twins.difference("POST", search, {"filter": f"{name} != 1"}) for name in ("rare", "o.deep")])
    for api in (pair.twins.plain, pair.twins.miroir):
        api.succeeded(api.delete(f"/indexes/{uid}/documents"))
        api.add_documents(uid, [{"id": number, "a": number} for number in range(20)])
    pair.cluster.server.restart()
    pair.cluster.wait_all_healthy()
    assert_none([pair.twins.difference("POST", search, {"filter": "rare != 1"})])
    for api in (pair.twins.plain, pair.twins.miroir):  # another index of that name has seen nothing
        api.delete_index(uid)
        api.create_index(uid, "id")
        api.update_settings(uid, SETTINGS)
        api.add_documents(uid, [{"id": number, "a": number} for number in range(20)])
    assert_none([pair.twins.difference("POST", search, {"filter": "rare != 1"})])
    assert pair.twins.miroir.search(uid, "", filter="rare != 1")["estimatedTotalHits"] == 0
