"""The merge against its oracle: one plain index, and the same documents split by hand over three stamped ones.

No Miroir takes part: `prepare` makes the requests, the node answers them per "shard node" (an index of its own), and
`merge` must give the plain index's answer byte for byte, processing time aside.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from miroir.errors import ApiError
from miroir.indexes.view import IndexView
from miroir.search.facets import normalise
from miroir.search.merge import NodeAnswer, merge, parse_answer
from miroir.search.request import Prepared, prepare
from miroir.stamps import SEQ_FIELD, STAMP_FIELDS, seq_text, shard_text, stamp_text, strip_text
from tests.client import Api
from tests.nodes import RealNode

DOCUMENTS = 1500
NODES = 3
SHARDS = 16
STAMP = 1_700_000_000_000_000

_TIME = re.compile(rb'"processingTimeMs":\d+')
_WORDS = ["red", "green", "blue", "shoe", "shirt", "jacket", "leather", "cotton", "running", "winter", "light", "heavy"]
_BRANDS = ["Acme", "acme", "ACME ", "Globex", "globex", "Café", "Cafe\u0301", "Initech", "10", "Ümlaut", "ﬁne"]


def corpus(seed: int) -> list[dict[str, Any]]:
    """Documents in insertion order: ties in plenty, mixed types, missing values, unusual spellings."""
    chance = random.Random(seed)
    keys = list(range(DOCUMENTS))
    chance.shuffle(keys)
    documents = []
    for place, key in enumerate(keys):
        full = place < 60  # every field is known to every node early, so members come in one order everywhere
        document: dict[str, Any] = {
            "id": key,
            "title": " ".join(chance.choice(_WORDS) for _ in range(chance.randint(2, 5))),
            "description": " ".join(chance.choice(_WORDS) for _ in range(chance.randint(4, 12))),
            "brand": chance.choice(_BRANDS),
            "price": chance.choice([5, 9.5, 10, 10.0, 100, 250.25, 1e3, 0.1]),
            "rating": chance.randint(1, 5),
            "mixed": chance.choice([1, 2.5, "two", "Three", True, None, ["x", 7], "10", 10]),
            "tags": [chance.choice(["new", "New", "sale", "old", "best"]) for _ in range(chance.randint(0, 3))],
            "specs": {"weight": chance.randint(1, 9), "color": chance.choice(_WORDS[:3]), "_miroir_seq": "theirs"},
            "variants": [{"size": chance.choice("SML"), "stock": chance.randint(0, 3)} for _ in range(2)],
            "group": f"g{chance.randint(0, 120)}",
            "year": chance.randint(1990, 2026),
            "_geo": {"lat": chance.uniform(40, 50), "lng": chance.uniform(0, 10)},
        }
        if not full:
            for name in ("price", "mixed", "specs", "_geo", "group"):
                if chance.random() < 0.1:
                    del document[name]
        documents.append(document)
    return documents


BASE_SETTINGS: dict[str, Any] = {
    "filterableAttributes": [
        "brand", "price", "rating", "mixed", "tags", "specs", "variants.size", "group", "year", "_geo",
    ],
    "sortableAttributes": ["price", "rating", "mixed", "brand", "year", "specs.weight", "title", "_geo"],
    "faceting": {"maxValuesPerFacet": 20, "sortFacetValuesBy": {"*": "alpha", "brand": "count", "rating": "count"}},
}  # fmt: skip
HIDING: dict[str, Any] = {"displayedAttributes": ["title", "brand", "specs.color", "price", "variants"]}
CUSTOM: dict[str, Any] = {
    "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness", "rating:desc", "price:asc"],
}
DISTINCT: dict[str, Any] = {"distinctAttribute": "group"}

_DEFAULT_RULES = ("words", "typo", "proximity", "attribute", "sort", "exactness")


def view_of(uid: str, settings: dict[str, Any]) -> IndexView:
    shown = settings.get("displayedAttributes")
    faceting = settings["faceting"]
    return IndexView(
        uid=uid,
        physical_uid=uid,
        primary_key="id",
        shards=SHARDS,
        settings_version=1,
        displayed=None if shown is None else tuple(shown),
        ranking_rules=tuple(settings.get("rankingRules", _DEFAULT_RULES)),
        sortable=tuple(settings["sortableAttributes"]),
        filterable=tuple(settings["filterableAttributes"]),
        hidden_filterable=frozenset({"id"}),
        distinct=settings.get("distinctAttribute"),
        max_total_hits=1000,
        max_values_per_facet=faceting["maxValuesPerFacet"],
        sort_facet_values_by=tuple(faceting["sortFacetValuesBy"].items()),
        embedders=frozenset(),
        exact_ties=True,
    )


def node_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with our rules, as nodes get them."""
    features = {"facetSearch": False, "filter": {"equality": True, "comparison": True}}
    faceting = settings["faceting"]
    return {
        **settings,
        "filterableAttributes": [
            {"attributePatterns": list(STAMP_FIELDS), "features": features},
            *settings["filterableAttributes"],
            "id",
        ],
        "rankingRules": [*settings.get("rankingRules", _DEFAULT_RULES), f"{SEQ_FIELD}:asc"],
        "displayedAttributes": ["*"],
        "faceting": {**faceting, "maxValuesPerFacet": max(1000, faceting["maxValuesPerFacet"])},
    }


def stamped(document: dict[str, Any], shard: int, place: int) -> dict[str, Any]:
    now = stamp_text(STAMP)
    stamps = dict(zip(STAMP_FIELDS, (shard_text(shard), seq_text(STAMP, place), now, now), strict=False))
    return {"id": document["id"], **stamps, **{name: value for name, value in document.items() if name != "id"}}


@dataclass
class Oracle:
    """The plain index and its split twin."""

    api: Api
    view: IndexView
    split: list[tuple[str, tuple[int, ...]]]

    def plain(self, body: dict[str, Any]) -> tuple[int, bytes]:
        answer = self.api.request("POST", f"/indexes/{self.view.uid}/search", json=body)
        return answer.status_code, _TIME.sub(b'"processingTimeMs":0', answer.content)

    def ask(self, prepared: Prepared) -> list[NodeAnswer]:
        answers = []
        for uid, shards in self.split:
            answer = self.api.request(
                "POST",
                f"/indexes/{uid}/search",
                content=prepared.node_body(shards),
                headers={"content-type": "application/json"},
            )
            assert answer.status_code == 200, answer.text
            answers.append(parse_answer(answer.content))
        return answers

    def merged(self, body: dict[str, Any], view: IndexView | None = None) -> bytes:
        prepared = prepare(body, view or self.view)
        return _TIME.sub(b'"processingTimeMs":0', merge(self.ask(prepared), prepared))


def _wait(api: Api, *tasks: dict[str, Any]) -> None:
    for task in tasks:
        settled = _poll(api, task["taskUid"])
        assert settled["status"] == "succeeded", settled


def _poll(api: Api, uid: int) -> dict[str, Any]:
    while True:
        task: dict[str, Any] = api.get(f"/tasks/{uid}")
        if task["status"] in ("succeeded", "failed", "canceled"):
            return task
        time.sleep(0.01)


@pytest.fixture(scope="module")
def oracle(single_node: RealNode) -> Iterator[Oracle]:
    api = single_node.api
    chance = random.Random(7)
    documents = corpus(7)
    split: list[list[dict[str, Any]]] = [[] for _ in range(NODES)]
    for place, document in enumerate(documents):
        shard = chance.randrange(SHARDS)
        split[shard % NODES].append(stamped(document, shard, place))
    uid = "merge-plain"
    parts = [f"merge-part-{node}" for node in range(NODES)]
    tasks = []
    for name, held, settings in [
        (uid, documents, BASE_SETTINGS),
        *((part, split[node], node_settings(BASE_SETTINGS)) for node, part in enumerate(parts)),
    ]:
        tasks.append(api.post("/indexes", {"uid": name, "primaryKey": "id"}))
        tasks.append(api.patch(f"/indexes/{name}/settings", settings))
        tasks.append(api.post(f"/indexes/{name}/documents", held))
    _wait(api, *tasks)
    shards = [tuple(range(node, SHARDS, NODES)) for node in range(NODES)]
    yield Oracle(api, view_of(uid, BASE_SETTINGS), list(zip(parts, shards, strict=True)))
    _wait(api, *[api.delete(f"/indexes/{name}") for name in (uid, *parts)])


@pytest.fixture(params=["plain", "hiding", "custom", "distinct"])
def shaped(request: pytest.FixtureRequest, oracle: Oracle) -> Iterator[tuple[str, Oracle]]:
    """The oracle under other settings."""
    extra = {"plain": {}, "hiding": HIDING, "custom": CUSTOM, "distinct": DISTINCT}[request.param]
    settings = {**BASE_SETTINGS, **extra}

    def apply(wanted: dict[str, Any], reset: dict[str, Any]) -> None:
        tasks = [oracle.api.patch(f"/indexes/{oracle.view.uid}/settings", {**wanted, **reset})]
        tasks += [
            oracle.api.patch(f"/indexes/{part}/settings", {**node_settings(wanted), **reset})
            for part, _ in oracle.split
        ]
        _wait(oracle.api, *tasks)

    if extra:
        apply(settings, {})
    yield request.param, replace(oracle, view=view_of(oracle.view.uid, settings))
    if extra:
        undo: dict[str, Any] = {"displayedAttributes": ["*"]}
        if "distinctAttribute" in extra:
            undo["distinctAttribute"] = None
        oracle_settings = dict(BASE_SETTINGS)
        tasks = [
            oracle.api.patch(
                f"/indexes/{oracle.view.uid}/settings",
                {"rankingRules": list(_DEFAULT_RULES), **oracle_settings, **undo},
            )
        ]
        tasks += [
            oracle.api.patch(f"/indexes/{part}/settings", {**node_settings(oracle_settings), **undo})
            for part, _ in oracle.split
        ]
        _wait(oracle.api, *tasks)


_SORTS = ["price:asc", "price:desc", "rating:desc", "mixed:asc", "mixed:desc", "brand:asc", "year:desc",
          "specs.weight:asc", "title:desc", "_geoPoint(45, 5):asc", "_geoPoint(45, 5):desc"]  # fmt: skip
_FILTERS: list[Any] = ["price > 9",
                       "rating IN [1, 2, 5]", "brand = acme", ["rating > 2", ["brand = acme", "year = 2000"]],
                       "tags = new AND NOT rating = 3", "mixed EXISTS", "specs.color = red", [], "",
                       "_geoRadius(45, 5, 300000)", "price 5 TO 50", "mixed IS NULL"]  # fmt: skip
_ATTRIBUTES = ["id", "title", "brand", "specs", "specs.color", "variants.size", "tags", "nope", "_geo", "mixed"]


def queries(seed: int, count: int, *, distinct: bool = True) -> Iterator[dict[str, Any]]:
    """Random searches over the parameters that the merge has to do with."""
    chance = random.Random(seed)

    def some(values: list[Any], most: int) -> list[Any]:
        return chance.sample(values, chance.randint(1, most))

    for _ in range(count):
        body: dict[str, Any] = {}
        if chance.random() < 0.75:
            words = [chance.choice(_WORDS) for _ in range(chance.randint(1, 3))]
            if chance.random() < 0.2:
                words[0] = words[0][:-1] + "x"
            body["q"] = " ".join(words)
        if chance.random() < 0.4:
            body["filter"] = chance.choice(_FILTERS)
        if chance.random() < 0.35:
            body["sort"] = some(_SORTS, 2)
        if chance.random() < 0.4:
            body["facets"] = chance.choice(
                [["*"], ["brand"], ["brand", "price", "mixed"], ["specs", "rating"], [], ["tags", "year"]]
            )
        if chance.random() < 0.4:
            if chance.random() < 0.5:
                body["limit"] = chance.choice([0, 1, 5, 50, 1000, 5000])
                body["offset"] = chance.choice([0, 3, 40, 990, 2000])
            else:
                body["page"] = chance.choice([0, 1, 2, 7, 300])
                body["hitsPerPage"] = chance.choice([0, 1, 10, 60, 2000])
        if chance.random() < 0.4:
            body["attributesToRetrieve"] = chance.choice([["*"], [], some(_ATTRIBUTES, 4)])
        if chance.random() < 0.25:
            body["attributesToHighlight"] = chance.choice([["*"], some(_ATTRIBUTES, 3)])
        if chance.random() < 0.2:
            body["attributesToCrop"] = chance.choice([["*"], ["*:3", "title"], ["description:4", "title:2", "specs:1"]])
        for flag in ("showRankingScore", "showRankingScoreDetails", "showMatchesPosition"):
            if chance.random() < 0.2:
                body[flag] = chance.choice([True, True, False])
        if distinct and chance.random() < 0.15:
            body["distinct"] = chance.choice(["brand", "group", "mixed", "specs.color"])
        if chance.random() < 0.1:
            body["matchingStrategy"] = chance.choice(["all", "last"])
        yield body


def _folded(raw: bytes, body: dict[str, Any], index: IndexView) -> bytes:
    """An answer without what may differ: the spelling of a facet text, and counts under `distinct`."""
    answer = orjson.loads(raw)
    distinct = body.get("distinct") or index.distinct
    if distinct is not None:
        for name in ("estimatedTotalHits", "facetDistribution", "facetStats"):
            answer.pop(name, None)
    facets = answer.get("facetDistribution", {})
    for name, values in facets.items():
        facets[name] = [(normalise(value), count) for value, count in values.items()]
    return orjson.dumps(answer)


def test_equals_one_node(shaped: tuple[str, Oracle]) -> None:
    shape, oracle = shaped
    for number, body in enumerate(queries(11, 150 if shape == "plain" else 60)):
        status, plain = oracle.plain(body)
        assert status == 200, (plain, body)
        ours = oracle.merged(body)
        assert b'"_miroir_shard"' not in ours
        if ours != plain:
            assert _folded(ours, body, oracle.view) == _folded(plain, body, oracle.view), (shape, number, body)


def test_pages_add_up(oracle: Oracle) -> None:
    for base in ({"q": "red"}, {"sort": ["rating:desc"]}, {}, {"q": "shoe", "sort": ["mixed:asc"]}):
        whole = orjson.loads(oracle.merged({**base, "limit": 50}))["hits"]
        pages = [orjson.loads(oracle.merged({**base, "limit": 10, "offset": at}))["hits"] for at in range(0, 50, 10)]
        assert [hit for page in pages for hit in page] == whole
        assert len(whole) == 50


def test_without_exact_ties_ties_come_in_the_order_of_the_nodes(oracle: Oracle) -> None:
    view = replace(oracle.view, exact_ties=False)
    hits = orjson.loads(oracle.merged({"q": "shoe", "limit": 200, "showRankingScore": True}, view))["hits"]
    scores = [hit["_rankingScore"] for hit in hits]
    assert len(hits) == 200
    assert scores == sorted(scores, reverse=True)


def test_facet_orders_above_three_thousand_candidates(single_node: RealNode) -> None:
    """Numbers come by text up to 3,000 candidates and by value above, though every node alone has fewer."""
    api = single_node.api
    settings = {**BASE_SETTINGS, "filterableAttributes": ["n", "w"], "sortableAttributes": []}
    documents: list[dict[str, Any]] = [
        {"id": number, "n": number % 15, "w": f"w{number % 4}"} for number in range(4200)
    ]
    parts = [f"merge-many-{node}" for node in range(NODES)]
    tasks = []
    for name, held, wanted in [
        ("merge-many", documents, settings),
        *(
            (part, [stamped(d, node, d["id"]) for d in documents if d["id"] % NODES == node], node_settings(settings))
            for node, part in enumerate(parts)
        ),
    ]:
        tasks.append(api.post("/indexes", {"uid": name, "primaryKey": "id"}))
        tasks.append(api.patch(f"/indexes/{name}/settings", wanted))
        tasks.append(api.post(f"/indexes/{name}/documents", held))
    _wait(api, *tasks)
    oracle = Oracle(api, view_of("merge-many", settings), [(part, (node,)) for node, part in enumerate(parts)])
    try:
        for body in ({"facets": ["*"], "limit": 1}, {"facets": ["n"], "filter": "w = w1"}, {"facets": ["w"]}):
            assert oracle.merged(body) == oracle.plain(body)[1], body
    finally:
        _wait(api, *[api.delete(f"/indexes/{name}") for name in ("merge-many", *parts)])


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "id = 1"},
        {"filter": ["rating = 1", "  id   IN [1, 2]"]},
        {"filter": ["rating = 1", ["brand = acme", '"id" = 1']]},
        {"filter": "rating = 1\n AND (id EXISTS)"},
        {"filter": "NOT id 1 TO 2"},
        {"filter": "rating IN [1, 2] AND _geoRadius(45, 5, 10) OR id = 4"},
        {"filter": "_miroir_shard = 3"},
        {"facets": ["brand", "id"]},
        {"facets": ["_miroir_seq"]},
        {"distinct": "id"},
        {"distinct": "_miroir_shard"},
    ],
)
def test_refuses_what_only_we_made_filterable(oracle: Oracle, body: dict[str, Any]) -> None:
    answer = oracle.api.request("POST", f"/indexes/{oracle.view.uid}/search", json=body)
    with pytest.raises(ApiError) as refusal:
        prepare(body, oracle.view)
    assert refusal.value.status == answer.status_code == 400
    assert refusal.value.body() == answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "brand = id"},
        {"filter": "brand = '_miroir_shard'"},
        {"filter": "_geoRadius(45, 5, 100000)"},
        {"filter": [[]]},
        {"filter": None},
        {"facets": ["*"]},
        {"attributesToRetrieve": ["_miroir_seq", "id"]},
        {"q": "red", "attributesToRetrieve": [], "attributesToHighlight": ["specs", "_miroir_shard"]},
        {"q": "red", "attributesToSearchOn": ["_miroir_seq"]},
    ],
)
def test_names_of_ours_where_they_mean_nothing(oracle: Oracle, body: dict[str, Any]) -> None:
    ours, plain = oracle.merged(body), oracle.plain(body)[1]
    assert _folded(ours, body, oracle.view) == _folded(plain, body, oracle.view)


@pytest.mark.parametrize(
    "body",
    [
        {"limit": "a"},
        {"limit": -1},
        {"limit": None, "offset": 3},
        {"page": 1, "limit": "a"},
        {"hitsPerPage": 1.5},
        {"nonsense": 1, "q": "red"},
        {"filter": 3},
        {"filter": ["rating = 1", 3]},
        {"filter": "rating = = 2"},
        {"filter": ["rating = 1", "nope = 2"]},
        {"sort": "price"},
        {"sort": ["price"]},
        {"showRankingScore": "yes"},
        {"attributesToRetrieve": "title"},
        {"attributesToHighlight": [1]},
        {"q": 3},
    ],
)
def test_malformed_requests_reach_the_nodes_as_they_are(oracle: Oracle, body: dict[str, Any]) -> None:
    """The node's refusal is the plain node's, but for the names of our fields, which others take out."""
    status, plain = oracle.plain(body)
    uid, shards = oracle.split[0]
    answer = oracle.api.request(
        "POST",
        f"/indexes/{uid}/search",
        content=prepare(body, oracle.view).node_body(shards),
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, status) == (400, 400)
    expected = orjson.loads(plain)
    said = answer.json()
    assert strip_text(said["message"], {"id"}).replace(uid, oracle.view.uid) == expected["message"]
    assert said["code"] == expected["code"]
