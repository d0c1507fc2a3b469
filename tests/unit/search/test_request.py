"""What the nodes are asked."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.errors import ApiError
from miroir.indexes.filterable import filter_attributes
from miroir.search.merge import merge
from miroir.search.ranking import Order
from miroir.search.request import prepare
from miroir.stamps import SEQ_FIELD, shard_filter
from tests.unit.search.views import view

_PARAMETERS = [
    "q", "offset", "limit", "page", "hitsPerPage", "attributesToRetrieve", "attributesToHighlight", "attributesToCrop",
    "filter", "sort", "distinct", "facets", "showRankingScore", "showRankingScoreDetails", "showMatchesPosition",
    "hybrid", "vector", "retrieveVectors", "unknown",
]  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["*", "id", "color:3", "price:asc", "_miroir_seq", "id = 1", "[", "'"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def sent(body: dict[str, Any], shards: tuple[int, ...] | None = (1, 2), **changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = orjson.loads(prepare(body, view(**changes)).node_body(shards))
    return asked


@given(st.dictionaries(st.sampled_from(_PARAMETERS) | st.text(max_size=5), _json, max_size=6), st.booleans())
def test_no_json_object_crashes(body: dict[str, Any], hides: bool) -> None:
    index = view(displayed=("title", "color") if hides else None)
    try:
        prepared = prepare(body, index)
    except ApiError:
        return  # it names what only we made filterable
    asked = orjson.loads(prepared.node_body((1, 5)))
    for name, value in body.items():
        if name not in _PARAMETERS or name == "unknown":
            assert name in asked
            assert asked[name] == value or isinstance(value, (list, dict, int, float))
    assert isinstance(orjson.loads(prepared.node_body(None)), dict)
    assert isinstance(orjson.loads(merge([], prepared)), dict)


@pytest.mark.parametrize(
    ("given_filter", "elements"),
    [
        (None, []),
        ("", [""]),
        ("a = 1 OR b = 2", ["a = 1 OR b = 2"]),
        ([], []),
        (["a = 1", ["b = 2", "c = 3"]], ["a = 1", ["b = 2", "c = 3"]]),
        ([[]], [[]]),
        (["a = 1", 3], ["a = 1", 3]),
    ],
)
def test_shards_stand_before_the_elements(given_filter: Any, elements: list[Any]) -> None:
    assert sent({"filter": given_filter})["filter"] == [shard_filter((1, 2)), *elements]
    assert sent({"filter": given_filter}, None)["filter"] == given_filter


def test_filters_of_other_kinds_and_none_at_all() -> None:
    assert sent({"filter": 3})["filter"] == 3
    assert sent({"filter": {"a": 1}})["filter"] == {"a": 1}
    assert sent({})["filter"] == [shard_filter((1, 2))]
    assert "filter" not in sent({}, None)


def test_bodies_are_built_once_per_shards() -> None:
    prepared = prepare({"q": "x"}, view())
    assert prepared.node_body((1,)) is prepared.node_body((1,))
    assert prepared.node_body((1,)) != prepared.node_body((2,))


@pytest.mark.parametrize(
    ("body", "window", "asked"),
    [
        ({}, (0, 20), {"limit": 20}),
        ({"limit": 5, "offset": 30}, (30, 5), {"limit": 35, "offset": 0}),
        ({"limit": 5000, "offset": 990}, (990, 10), {"limit": 1000, "offset": 0}),
        ({"offset": 5000}, (1000, 0), {"limit": 0, "offset": 0}),
        ({"limit": 0, "offset": 7}, (7, 0), {"limit": 0, "offset": 0}),
        ({"page": 3, "hitsPerPage": 10}, (20, 10), {"page": 1, "hitsPerPage": 30}),
        ({"page": 0}, (0, 0), {"page": 1, "hitsPerPage": 0}),
        ({"hitsPerPage": 0}, (0, 0), {"page": 1, "hitsPerPage": 0}),
        ({"page": 2, "hitsPerPage": 999}, (999, 1), {"page": 1, "hitsPerPage": 1000}),
        ({"page": 300}, (1000, 0), {"page": 1, "hitsPerPage": 0}),
        ({"page": (1 << 63) + 2, "hitsPerPage": 2}, (2, 2), {"page": 1, "hitsPerPage": 4}),
        ({"page": (1 << 64) - 1, "hitsPerPage": 2}, (1000, 0), {"page": 1, "hitsPerPage": 0}),
        ({"page": None, "limit": 3}, (0, 3), {"limit": 3, "page": None}),
    ],
)
def test_windows(body: dict[str, Any], window: tuple[int, int], asked: dict[str, Any]) -> None:
    prepared = prepare(body, view())
    assert (prepared.window.offset, prepared.window.limit) == window
    node = orjson.loads(prepared.node_body(None))
    for name in ("limit", "offset", "page", "hitsPerPage"):
        assert node.get(name) == asked.get(name)


@pytest.mark.parametrize("body", [{"limit": "a", "offset": 3}, {"limit": -1}, {"page": 1.5}, {"hitsPerPage": True}])
def test_malformed_windows_stay(body: dict[str, Any]) -> None:
    asked = sent(body, None)
    assert {name: asked[name] for name in body} == body


@pytest.mark.parametrize(
    ("body", "rules", "order"),
    [
        ({}, (), Order.SEQ),
        ({"q": "  "}, (), Order.SEQ),
        ({"q": "x"}, (), Order.SCORE),
        ({"q": "x", "sort": []}, (), Order.SCORE),
        ({"sort": ["price:asc"]}, (), Order.DETAILS),
        ({"q": "x"}, ("words", "price:desc"), Order.DETAILS),
        ({"q": "x", "hybrid": {"embedder": "e"}}, (), Order.HYBRID),
        ({"q": "x", "hybrid": {"embedder": "e", "semanticRatio": 1}}, (), Order.DETAILS),
        ({"q": "x", "hybrid": {"embedder": "e", "semanticRatio": 0}}, (), Order.SCORE),
    ],
)
def test_only_what_the_merge_needs_is_asked(body: dict[str, Any], rules: tuple[str, ...], order: Order) -> None:
    prepared = prepare(body, view(ranking_rules=rules))
    asked = orjson.loads(prepared.node_body(None))
    assert prepared.order is order
    assert asked.get("showRankingScore", False) is (order in (Order.SCORE, Order.HYBRID))
    assert asked.get("showRankingScoreDetails", False) is (order in (Order.DETAILS, Order.HYBRID))


def test_fields() -> None:
    assert "attributesToRetrieve" not in sent({"q": "x"})
    assert sent({"q": "x", "attributesToRetrieve": ["a"]})["attributesToRetrieve"] == ["a", SEQ_FIELD]
    assert sent({"q": "x", "attributesToRetrieve": ["a", "*"]})["attributesToRetrieve"] == ["a", "*"]
    assert sent({"attributesToRetrieve": ["a"], "sort": ["a:asc"]})["attributesToRetrieve"] == ["a", SEQ_FIELD]
    assert sent({"attributesToRetrieve": [SEQ_FIELD, "a"], "sort": ["a:asc"]})["attributesToRetrieve"] == [
        "a",
        SEQ_FIELD,
    ]
    assert sent({"attributesToRetrieve": ["a"]}, exact_ties=False)["attributesToRetrieve"] == ["a"]
    assert sent({"attributesToRetrieve": ["a"], "distinct": "color"})["attributesToRetrieve"] == [
        "a",
        SEQ_FIELD,
        "color",
    ]
    assert sent({"q": "x", "attributesToRetrieve": "a"})["attributesToRetrieve"] == "a"


def test_displayed_attributes_are_the_clients() -> None:
    hiding = ("title", "o.x")
    assert sent({}, displayed=hiding)["attributesToRetrieve"] == ["o.x", "title", SEQ_FIELD]
    assert sent({"attributesToRetrieve": ["o", "title"]}, displayed=hiding)["attributesToRetrieve"] == [
        "title",
        SEQ_FIELD,
    ]
    asked = sent({"attributesToHighlight": ["*"], "attributesToCrop": ["*:3", "title", "secret:2"]}, displayed=hiding)
    assert asked["attributesToHighlight"] == ["o.x", "title"]
    assert asked["attributesToCrop"] == ["o.x:3", "title:3", "title"]
    assert sent({"retrieveVectors": True}, displayed=hiding)["retrieveVectors"] is True  # shown whatever is displayed


def test_distinct_with_pages_asks_for_every_winner() -> None:
    assert sent({"distinct": "color", "hitsPerPage": 2})["hitsPerPage"] == 1000
    assert sent({"distinct": "color", "limit": 2})["limit"] == 2
    assert sent({"hitsPerPage": 2}, distinct="color")["hitsPerPage"] == 1000


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a = 1", ["a"]),
        ("NOT (a > 1 AND \"b c\" IN ['d', e]) OR f 1 TO 2", ["a", "b c", "f"]),
        ("_geoRadius(1, 2, 3) AND g IS NOT NULL AND h EXISTS", ["g", "h"]),
        ("a = AND", ["a"]),
        ("a IN [", ["a"]),
        ("", []),
    ],
)
def test_attributes_of_filters(text: str, names: list[str]) -> None:
    assert [name for name, _ in filter_attributes(text)] == names


def test_refusals_name_the_clients_rules() -> None:
    with pytest.raises(ApiError) as refusal:
        prepare({"filter": "color = red AND id = 1"}, view())
    assert refusal.value.message == (
        "Index `things`: Attribute `id` is not filterable. Available filterable attribute patterns are: "
        "`color`, `o.x`.\n17:19 color = red AND id = 1"
    )
    nothing = {"attributePatterns": ["id"], "features": {"filter": {"equality": False, "comparison": False}}}
    with pytest.raises(ApiError, match="matched rule #1 in filterableAttributes"):
        prepare({"facets": ["id"]}, view(filterable=("color", nothing)))
    every = view(filterable=({"attributePatterns": ["*"]},), hidden_filterable=frozenset())
    prepare({"filter": "color = id"}, every)
    with pytest.raises(ApiError, match=r"`_miroir_seq` (is not filterable|matched rule #0)"):
        prepare({"facets": ["_miroir_seq"]}, every)


def test_integers_past_64_bits_travel() -> None:
    assert b"18446744073709551616" in prepare({"limit": 1 << 64}, view()).node_body(None)
