"""`GET /indexes/{uid}/search`: every parameter, good and bad, answered as one node answers it."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from tests.integration.twins import DIMENSIONS, SETTINGS, Twins, assert_none, corpus, vectors
from tests.nodes import ClusterPool, RealNode

COUNT = 600
EMBEDDERS = {"near": {"source": "userProvided", "dimensions": DIMENSIONS}}
POINT = ",".join(map(str, vectors(5, 1)[0]))

GOOD: dict[str, list[str]] = {
    "q": ["", "red shoe", "null", "nosuchword", "a+b", "red -shoe", '"red shoe"'],
    "offset": ["0", "7", "+3", "0005", "995", "18446744073709551615"],
    "limit": ["0", "1", "+2", "0000000000000000000000000000004", "1001"],
    "page": ["0", "1", "3", "400", "18446744073709551615"],
    "hitsPerPage": ["0", "1", "17", "2000"],
    "attributesToRetrieve": ["", "*", "id", "id,title", "id, title", ",id,,title,", "null", "nope", "specs.color"],
    "attributesToHighlight": ["", "*", "title", "title,", "specs.color,id"],
    "attributesToCrop": ["", "*:2", "title:1", "title:x", "title:2,description:3", "title"],
    "cropLength": ["0", "1", "5", "18446744073709551615"],
    "filter": ["", " ", "rating = 1", '["rating = 1"]', '[["rating = 1","rating = 2"],"price > 9"]', '"rating = 3"',
               "[]", "[[]]", ' ["rating = 1"] ', '""', "_geoRadius(45, 5, 200000)", "rating IN [1, 2]"],
    "sort": ["price:asc", "price:desc , rating:asc", '"price:asc"', " rating:asc", "_geoPoint(45, 5):asc",
             "_geoPoint(45,5):desc,price:asc", "rating:desc,_geoPoint(45 , 5):asc"],
    "distinct": ["group", "rating"],
    "showMatchesPosition": ["true", "false"],
    "showRankingScore": ["true", "false"],
    "showRankingScoreDetails": ["true", "false"],
    "retrieveVectors": ["true", "false"],
    "facets": ["", "*", "rating", "rating,price,", "group"],
    "highlightPreTag": ["", "<b>", ",", "null"],
    "highlightPostTag": ["", "</b>", ","],
    "cropMarker": ["", "~", ","],
    "matchingStrategy": ["last", "all"],
    "attributesToSearchOn": ["", "title", "title,description", "*", "nope"],
    "rankingScoreThreshold": ["0", "0.5", "1", ".7", "9.9e-1", "1.", "+0.5"],
    "locales": ["", ",", "fra", "fra,eng", "fr"],
    "hybridEmbedder": ["near"],
}  # fmt: skip

BAD: list[str] = [
    *[f"{name}={quote(text)}" for name in ("offset", "limit", "page", "hitsPerPage", "cropLength")
      for text in ("", "-1", "1.0", "many", " 1", "null", "18446744073709551616")],
    *[f"{name}={text}" for name in ("retrieveVectors", "showMatchesPosition", "showRankingScore",
      "showRankingScoreDetails") for text in ("", "TRUE", "1", "null", "yes")],
    *[f"filter={quote(text)}" for text in ("null", "1", "true", "{}", '{"a":1}', "[1]", "[null]", "[", "rating = ",
      "title = 1", '["title = 1"]', '"', '["rating = 1"', "1e400", "[1e400]", "NaN", '"\\ud800"', "rating",
      "123456789012345678901234567890", "_geoRadius(1,2)", "_geoRadius(100,2,3)", "_miroir_shard = 1",
      "id = 1")],
    *[f"sort={quote(text)}" for text in ("", "price", "price:asc,", ",", "title:asc", "_geoPoint(1", "price:up",
      "_geoPoint(1,2)", "_geoPoint(1,2):asc:desc,price:asc", "_geoPoint(100,2):asc", "_geoRadius(1,2):asc",
      "_miroir_seq:asc", "id:asc")],
    "distinct=", "distinct=title", "distinct=rating,price", "distinct=id",
    "facets=title", "facets=rating,title", "facets=id", "facets=_miroir_shard",
    "matchingStrategy=", "matchingStrategy=LAST", "matchingStrategy=Last", "matchingStrategy=some",
    "locales=zz", "locales=fra,zz", "locales=FRA",
    *[f"rankingScoreThreshold={text}" for text in ("", "a", "1.5", "-1", "inf", "1_0", "0,5", "0x1")],
    *[f"hybridEmbedder=near&hybridSemanticRatio={text}" for text in ("", "a", "1.5", "-1", "inf")],
    "hybridSemanticRatio=0.5", "hybridSemanticRatio=a",
    "vector=", "vector=1", "vector=1,a", "vector=1,%202", f"vector={POINT}", f"vector={POINT}&hybridSemanticRatio=0.5",
    "vector=1&hybridEmbedder=near", "vector=&hybridEmbedder=near", f"vector={POINT}&hybridEmbedder=far",
    "vector=1_0&hybridEmbedder=near",
    "hybridEmbedder=&q=red", "hybridEmbedder=far&q=red",
    "bla=1", "limi=1", "Q=red", "=", "limit=1&=3", "limit=1&a", "limit", "filter[]=a", "limit=1;offset=1",
    "limit=a&offset=b", "offset=b&limit=a", "media=x", "showPerformanceDetails=true", "hybrid=near",
]  # fmt: skip


@pytest.fixture(scope="module")
def twins(cluster_pool: ClusterPool, single_node: RealNode) -> Twins:
    return Twins(single_node.api, cluster_pool.get().client)


@pytest.fixture(scope="module")
def index(twins: Twins) -> str:
    documents = corpus(3, COUNT)
    for document, vector in zip(documents, vectors(5, COUNT), strict=True):
        document["_vectors"] = {"near": vector}
    return twins.load({**SETTINGS, "embedders": EMBEDDERS}, documents)


def test_every_value_of_every_parameter(twins: Twins, index: str) -> None:
    differences = []
    for name, texts in GOOD.items():
        for text in texts:
            for context in ({}, {"q": "red", "attributesToCrop": "title:2", "showRankingScore": "true"}):
                if name == "distinct":  # without pages a total is an estimate
                    context = {**context, "hitsPerPage": "9"}
                if name == "hybridEmbedder":
                    context = {"q": "red", "hybridSemanticRatio": "0"}
                query = urlencode({**context, name: text})
                differences.append(twins.difference("GET", f"/indexes/{index}/search?{query}"))
    assert_none(differences)


def test_odd_spellings_of_a_query(twins: Twins, index: str) -> None:
    assert_none(
        [
            twins.difference("GET", f"/indexes/{index}/search?{query}")
            for query in ("", "&limit=1&&", "q", "limit=1&limit=2", "limit=x&limit=2", "li%6dit=1", "q=%zz", "q=%ff",
                          "q=%F0%9F&limit=1", "q=caf%C3%A9", "q=%00", "q=red+shoe", "q=red%2Bshoe")
        ]
    )  # fmt: skip


def test_everything_together_is_what_a_body_asks_for(twins: Twins, index: str) -> None:
    query = {
        "q": "red shoe", "offset": "2", "limit": "9", "attributesToRetrieve": "id,title", "facets": "rating,price",
        "attributesToHighlight": "title", "filter": '["rating > 1", ["price < 50", "mixed EXISTS"]]',
        "sort": "price:desc,_geoPoint(45,5):asc", "showRankingScoreDetails": "true", "matchingStrategy": "all",
        "attributesToSearchOn": "title,description", "rankingScoreThreshold": "0.1",
    }  # fmt: skip
    assert twins.difference("GET", f"/indexes/{index}/search?{urlencode(query)}") is None


@pytest.mark.parametrize("ratio", ["1", "0.9"])
def test_vectors(twins: Twins, index: str, ratio: str) -> None:
    """The same as by a body; a node's own search of vectors is approximate, so not compared with one."""
    common = {"attributesToRetrieve": ["id"], "limit": 10, "q": "red"}
    vector = [float(part) for part in POINT.split(",")]
    hybrid = {"embedder": "near", "semanticRatio": float(ratio)}
    by_body = twins.miroir.post(f"/indexes/{index}/search", {**common, "vector": vector, "hybrid": hybrid})
    query = f"attributesToRetrieve=id&limit=10&q=red&vector={POINT}&hybridEmbedder=near&hybridSemanticRatio={ratio}"
    by_query = twins.miroir.request("GET", f"/indexes/{index}/search?{query}").json()
    assert by_query["hits"] == by_body["hits"]
    assert by_query["semanticHitCount"] == by_body["semanticHitCount"] > 0


@pytest.mark.allow_stamps  # a refusal repeats the name it is about
def test_refusals(twins: Twins, index: str) -> None:
    differences = []
    for query in BAD:
        left, _ = twins.ask("GET", f"/indexes/{index}/search?{query}")
        assert left.status_code == 400, f"a node takes {query}: the table is wrong"
        differences.append(twins.difference("GET", f"/indexes/{index}/search?{query}"))
    for uid in ("does_not_exist", "not%20an%20uid", "a" * 513):
        for query in ("", "limit=1", "limit=x", "bla=1", "filter=null", "locales=zz", "hybridSemanticRatio=1"):
            differences.append(twins.difference("GET", f"/indexes/{uid}/search?{query}"))
    assert_none(differences)


@pytest.mark.parametrize("query", ["rankingScoreThreshold=nan", "vector=nan,1&hybridEmbedder=near"])
def test_numbers_that_only_a_query_can_say_are_refused_openly(twins: Twins, index: str, query: str) -> None:
    answer = twins.miroir.request("GET", f"/indexes/{index}/search?{query}")
    assert (answer.status_code, answer.json()["code"]) == (501, "miroir_not_supported")


def test_a_body_is_judged_before_its_index_is_looked_for(twins: Twins) -> None:
    bodies = [{}, {"limit": "x"}, {"bla": 1}, b"{", b"[]", {"matchingStrategy": "some"}]
    assert_none(
        [
            twins.difference("POST", f"/indexes/{uid}/search", body)
            for uid in ("does_not_exist", "not%20an%20uid")
            for body in bodies
        ]
    )
