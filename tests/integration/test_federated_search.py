"""`POST /multi-search` with `federation` over shards, answered as one node answers it."""

from __future__ import annotations

import random
import unicodedata
from typing import Any

import pytest

from tests.integration.tokens import token
from tests.integration.twins import SETTINGS, Twins, assert_none, corpus
from tests.nodes import ClusterPool, RealNode

ROUTE = "/multi-search"


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def names(twins: Twins) -> tuple[str, str, str]:
    """Three indexes: two alike, and one with a sort among its rules, hidden members and other facets."""
    shown = {"displayedAttributes": ["id", "title", "rating"], "rankingRules": ["words", "typo", "sort", "price:desc"]}
    found = []
    for place, (settings, count) in enumerate(((SETTINGS, 400), (SETTINGS, 300), ({**SETTINGS, **shown}, 200))):
        documents = [{**document, "id": document["id"] + 1000 * place} for document in corpus(31 + place, count)]
        found.append(twins.load(settings, map(plainly_spelled, documents)))
    first, second, third = found
    return first, second, third


def plainly_spelled(document: dict[str, Any]) -> dict[str, Any]:
    """A document whose facet values have one spelling each: which of several a node shows is nobody's promise."""
    brand = unicodedata.normalize("NFKC", document["brand"]).strip().lower()
    return {**document, "brand": brand, "tags": [tag.lower() for tag in document["tags"]]}


TEXTS = ["red", "red shoe", "light winter", "runing", "sho", "leather jacket blue", "cotton", "nosuchword", "heavy red"]
FILTERS: list[Any] = ["rating = 3", "price > 9", ["brand = acme", "rating > 1"], "specs.weight >= 5", "tags = sale"]
SORTS = [["price:asc"], ["rating:desc"], ["rating:desc", "price:asc"], ["_geoPoint(45,5):asc"], ["mixed:asc"]]
SHOWN: list[dict[str, Any]] = [
    {}, {}, {"attributesToRetrieve": ["id"]}, {"attributesToRetrieve": ["title", "_geo"], "showRankingScore": True},
    {"showRankingScore": True, "showRankingScoreDetails": True, "attributesToRetrieve": ["id", "title"]},
    {"attributesToHighlight": ["title"], "attributesToCrop": ["description:3"], "showMatchesPosition": True},
]  # fmt: skip


def query(chance: random.Random, uid: str) -> dict[str, Any]:
    """One query of a federated search."""
    made: dict[str, Any] = {"indexUid": uid, **chance.choice(SHOWN)}
    if chance.random() < 0.8:
        made["q"] = chance.choice(TEXTS)
    if chance.random() < 0.3:
        made["filter"] = chance.choice(FILTERS)
    if chance.random() < 0.3:
        made["sort"] = chance.choice(SORTS)
    if chance.random() < 0.3:
        made["matchingStrategy"] = chance.choice(["all", "last"])
    if chance.random() < 0.5:
        made["federationOptions"] = {"weight": chance.choice([0, 0.5, 1, 1.0, 1.5, 3, 0.9])}
    return made


def body(chance: random.Random, names: tuple[str, ...]) -> dict[str, Any]:
    """One federated search."""
    federation: dict[str, Any] = {}
    if chance.random() < 0.6:
        federation["limit"] = chance.choice([0, 1, 5, 50])
    if chance.random() < 0.4:
        federation["offset"] = chance.choice([0, 3, 25])
    if chance.random() < 0.4:
        asked = chance.sample(names, chance.randint(1, len(names)))
        facets: list[Any] = [["rating"], ["brand", "price"], ["*"], [], None, ["specs.color", "tags"]]
        federation["facetsByIndex"] = {name: chance.choice(facets) for name in asked}
        if chance.random() < 0.6:
            federation["mergeFacets"] = chance.choice([{}, {"maxValuesPerFacet": 2}, {"maxValuesPerFacet": None}])
    return {
        "federation": federation,
        "queries": [query(chance, chance.choice(names)) for _ in range(chance.randint(0, 4))],
    }


@pytest.mark.parametrize("seed", range(4))
def test_generated_searches(twins: Twins, names: tuple[str, str, str], seed: int) -> None:
    chance = random.Random(seed)
    assert_none([twins.difference("POST", ROUTE, body(chance, names)) for _ in range(60)])


# A, B and C stand for the indexes' names.
Q: dict[str, Any] = {"indexUid": "A", "q": "red"}
REFUSED: list[tuple[Any, list[Any]]] = [
    (1, []), ([], [Q]), ({"foo": 1}, []), ({"page": 1}, [Q]), ({"limit": "x"}, []), ({"limit": None}, [Q]),
    ({"offset": -1}, [Q]), ({"limit": 1.0}, [Q]), ({"facetsByIndex": 1}, [Q]), ({"facetsByIndex": None}, [Q]),
    ({"facetsByIndex": {"not an uid": ["rating"]}}, [Q]), ({"facetsByIndex": {"A": [1]}}, [Q]),
    ({"facetsByIndex": {"A": "rating"}}, [Q]), ({"mergeFacets": 1}, [Q]), ({"mergeFacets": {"foo": 1}}, [Q]),
    ({"mergeFacets": {"maxValuesPerFacet": "x"}}, [Q]), ({"distinct": "rating"}, [Q]),
    ({"facetsByIndex": {"A": ["title"]}}, [Q]), ({"facetsByIndex": {"A": ["id"]}}, [Q, Q]),
    ({"facetsByIndex": {"B": ["id"]}}, [Q]),
    ({"facetsByIndex": {"B": ["title"]}}, [Q]), ({"facetsByIndex": {"none": ["id"]}}, [Q]),
    ({"facetsByIndex": {"none": None}}, [Q]), ({"facetsByIndex": {"A": ["title"]}}, [{"indexUid": "none"}, Q]),
    ({"facetsByIndex": {"A": ["brand"], "D": ["brand"]}, "mergeFacets": {}}, [Q]),
    ({"facetsByIndex": {"A": ["brand"], "D": ["brand"]}, "mergeFacets": {}}, [{"indexUid": "D"}]),
    ({"facetsByIndex": {"A": ["*"], "D": ["*"]}, "mergeFacets": {}}, [{"indexUid": "D"}, Q]),
    ({}, [{"q": "x"}]), ({}, [1]), ({}, [{"indexUid": 7}]), ({}, [{"indexUid": "not an uid"}]),
    ({}, [{"indexUid": ""}]), ({}, [{"indexUid": "none"}]), ({}, [{"indexUid": "none"}, {"indexUid": "A", "limit": 1}]),
    ({}, [{"indexUid": "zzz"}, {"indexUid": "none"}]), ({}, [{"indexUid": "zzz"}, {**Q, "filter": "title = 1"}]),
    ({}, [{**Q, "limit": 1}]), ({}, [{**Q, "page": 1, "hitsPerPage": 2}]), ({}, [{**Q, "limit": None, "offset": 1}]),
    ({}, [{**Q, "hitsPerPage": "x"}]), ({}, [Q, {**Q, "facets": ["rating"], "limit": 1}]), ({}, [{**Q, "facets": []}]),
    ({}, [Q, {**Q, "facets": ["rating", "a\"b\\c\n", "e\u0301\u200b"]}]), ({}, [{**Q, "facets": "rating"}]),
    ({}, [{**Q, "federationOptions": {"remote": "x"}}, {**Q, "limit": 1}]),
    ({}, [{**Q, "limit": 1}, {**Q, "federationOptions": {"remote": "x"}}]),
    ({}, [{**Q, "federationOptions": {"remote": "x"}}, {**Q, "limit": "x"}]),
    ({}, [{**Q, "federationOptions": {"queryPosition": 1}}]), ({}, [{**Q, "federationOptions": {"queryPosition": -1}}]),
    ({}, [{**Q, "federationOptions": {"queryPosition": 1, "remote": "x"}}]),
    ({}, [{**Q, "federationOptions": {"remote": None, "queryPosition": None}}]),
    ({}, [{**Q, "federationOptions": None}]),
    ({}, [{**Q, "federationOptions": {"weight": -1}}]), ({}, [{**Q, "federationOptions": {"weight": None}}]),
    ({}, [{**Q, "federationOptions": {"weight": True}}]), ({}, [{**Q, "federationOptions": {"foo": 1}}]),
    ({}, [{**Q, "federationOptions": 1}]), ({}, [Q, {**Q, "useNetwork": True}]), ({}, [{**Q, "foo": 1}]),
    ({}, [Q, {**Q, "filter": "title = 1"}]), ({}, [Q, {**Q, "filter": "rating ="}]), ({}, [{**Q, "filter": "id = 1"}]),
    ({}, [{**Q, "sort": ["title:asc"]}]), ({}, [{**Q, "sort": ["pr"]}]),
    ({}, [{**Q, "sort": []}]), ({}, [{**Q, "sort": "price:asc"}]), ({}, [{**Q, "matchingStrategy": "some"}]),
    ({}, [{**Q, "distinct": "title"}, {"indexUid": "B", "foo": 1}]), ({}, [{**Q, "vector": [1]}]),
    ({}, [{**Q, "hybrid": {"embedder": "e"}}]), ({}, [{**Q, "hybrid": {"embedder": "e"}, "sort": ["price:asc"]}, Q]),
    ({}, [{**Q, "locales": ["zz"]}]), ({}, [{**Q, "attributesToSearchOn": ["nosuch"]}]),
    # Queries whose hits cannot be compared.
    ({}, [Q, {"indexUid": "A", "sort": ["price:asc"]}]), ({}, [{"indexUid": "A", "sort": ["price:asc"]}, Q]),
    ({}, [{"indexUid": "B", "sort": ["price:asc"]}, {"indexUid": "A", "sort": ["price:desc"]}]),
    ({}, [{"indexUid": "B", "sort": ["title:asc"]}, {"indexUid": "A", "sort": ["price:desc"]}]),
    ({}, [{"indexUid": "B", "sort": ["title"]}, {"indexUid": "A", "sort": ["price:desc"]}]),
    ({}, [{**Q, "indexUid": "B", "sort": ["price:asc", "_geoPoint(1,2):asc"]},
          {**Q, "sort": ["price:asc", "price:desc", "rating:desc"], "matchingStrategy": "all"}]),
    ({}, [{"indexUid": "B", "sort": ["_geoPoint(1,2):asc"]}, {"indexUid": "A", "sort": ["_geoPoint(1,2):desc"]}]),
    ({}, [{"indexUid": "B", "sort": ["_geoPoint(1,2):asc", "_geoPoint(3,2):desc"]}, Q]),
    ({}, [{**Q, "sort": ["price:asc"]}, {**Q, "indexUid": "C", "sort": ["price:asc"]}]),
    ({}, [{"indexUid": "A", "sort": ["price:asc"]}, {"indexUid": "C"}]),
    ({}, [{"indexUid": "A"}, {"indexUid": "A", "sort": ["price:asc"]}, {"indexUid": "C", "sort": ["price:desc"]}]),
    ({}, [{"indexUid": "E", "q": "x"}, {"indexUid": "E"}, Q]), ({}, [Q, {"indexUid": "E", "sort": ["rating:asc"]}]),
    ({}, [{"indexUid": "E", "q": "x", "matchingStrategy": "all"}, {"indexUid": "C", "q": "x", "sort": ["price:asc"]}]),
    ({}, [{"indexUid": "E", "q": "x", "sort": ["rating:asc"]}, {"indexUid": "A", "q": "x", "sort": ["rating:asc"]}]),
]  # fmt: skip


def named(value: Any, known: dict[str, str]) -> Any:
    """A body of the table with the indexes' names for letters."""
    if isinstance(value, dict):
        return {
            known.get(name, name) if key_is_name(name) else name: named(each, known)
            if name != "indexUid"
            else known.get(each, each)
            if isinstance(each, str)
            else each
            for name, each in value.items()
        }
    return [named(each, known) for each in value] if isinstance(value, list) else value


def key_is_name(name: str) -> bool:
    """Whether a member's name is one of the letters."""
    return len(name) == 1 and name.isupper()


@pytest.fixture(scope="module")
def letters(twins: Twins, names: tuple[str, str, str]) -> dict[str, str]:
    """The indexes above, one with facets in another order, and one with unusual ranking rules."""
    alphabetical = {**SETTINGS, "faceting": {"sortFacetValuesBy": {"*": "count", "brand": "alpha"}}}
    rules = ["typo", "rating:desc", "words", "typo", "rating:asc", "sort", "exactness", "sort", "price:asc"]
    documents = [plainly_spelled(document) for document in corpus(41, 80)]
    more = twins.load(alphabetical, documents), twins.load({**SETTINGS, "rankingRules": rules}, documents)
    return dict(zip("ABCDE", (*names, *more), strict=True))


def test_refusals(twins: Twins, letters: dict[str, str]) -> None:
    bodies = [named({"federation": federation, "queries": queries}, letters) for federation, queries in REFUSED]
    assert_none([twins.difference("POST", ROUTE, each) for each in bodies])


def test_keys_and_tokens(twins: Twins, names: tuple[str, str, str]) -> None:
    """A key must cover every index; a token's filter holds for the hits, the total and the facets of its index."""
    first, second, _ = names
    body = {
        "federation": {"limit": 40, "facetsByIndex": {first: ["rating"]}, "mergeFacets": {}},
        "queries": [
            {"indexUid": first, "q": "red"},
            {"indexUid": first, "q": "shoe"},
            {"indexUid": second, "q": "red"},
        ],
    }
    apis = []
    for api in (twins.plain, twins.miroir):
        key = api.post("/keys", {"actions": ["search"], "indexes": [first, second], "expiresAt": None})
        rules = {first: {"filter": "rating = 2"}, second: {"filter": "price > 9"}}
        apis.append(api.with_key(token({"apiKeyUid": key["uid"], "searchRules": rules}, key["key"])))
        narrow = api.post("/keys", {"actions": ["search"], "indexes": [second], "expiresAt": None})
        apis.append(api.with_key(narrow["key"]))
    found = [Twins(apis[0], apis[2]).difference("POST", ROUTE, body)]
    ratings = apis[2].post(ROUTE, body)["facetDistribution"]["rating"]
    # A node that refuses a body unread goes deaf on that connection.
    found.append(Twins(apis[1], apis[3]).difference("POST", ROUTE, body, headers={"connection": "close"}))
    for api in apis:
        api.close()
    assert_none(found)
    assert set(ratings) == {"2"}


def test_as_part_of_a_network(twins: Twins, names: tuple[str, str, str]) -> None:
    """With that feature on, hits say what they are compared by, and nothing of ours; there is no remote, though."""
    proxied = {"meili-proxy-search": "true"}
    queries: list[dict[str, Any]] = [
        {
            "indexUid": names[0],
            "q": "red",
            "sort": ["price:asc"],
            "federationOptions": {"queryPosition": 7, "weight": 2},
        },
        {"indexUid": names[1], "q": "red", "sort": ["price:asc"], "attributesToRetrieve": ["id"]},
    ]
    body = {"federation": {}, "queries": queries}
    remote = {"federation": {}, "queries": [{"indexUid": names[0], "federationOptions": {"remote": "x"}}]}
    asked: list[tuple[Any, dict[str, Any]]] = [(body, {"headers": proxied}), (body, {}), (remote, {})]
    off = [twins.difference("POST", ROUTE, each, **more) for each, more in asked]
    for api in (twins.plain, twins.miroir):
        api.patch("/experimental-features", {"network": True})
    try:
        on = [twins.difference("POST", ROUTE, each, **more) for each, more in asked]
    finally:
        for api in (twins.plain, twins.miroir):
            api.patch("/experimental-features", {"network": False})
    assert_none([*off, *on])
    assert twins.miroir.get("/experimental-features")["network"] is False
    queries[0].pop("federationOptions")
    assert twins.difference("POST", ROUTE, body) is None  # the nodes keep what we need of them
