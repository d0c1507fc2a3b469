"""Any split of a ranked list merges back to the whole, and the client sees nothing of ours."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.search.facets import normalise, number_text
from miroir.search.merge import merge, parse_answer
from miroir.search.request import prepare
from miroir.stamps import ALPHABET, SEQ_FIELD, STAMP_FIELDS, seq_text, shard_text, stamp_text
from tests.unit.search.views import view

_STAMP = 1_700_000_000_000_000

_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine drawing examples takes seconds."""


def stamps(place: int, shard: int = 0) -> dict[str, str]:
    now = stamp_text(_STAMP)
    return dict(zip(STAMP_FIELDS, (shard_text(shard), seq_text(_STAMP, place), now, now), strict=False))


def answer(hits: list[dict[str, Any]], **members: Any) -> Any:
    total = {"estimatedTotalHits": len(hits)} if "totalHits" not in members else {}
    return parse_answer(orjson.dumps({"hits": hits, "query": "x", "processingTimeMs": 1, **total, **members}))


def split(hits: list[Any], owners: list[int], nodes: int) -> list[list[Any]]:
    return [[hit for hit, owner in zip(hits, owners, strict=True) if owner == node] for node in range(nodes)]


_scores = st.lists(st.sampled_from([1.0, 0.9, 0.5, 0.25, 0.3, 0.30000000000000004]), max_size=40)


@_patient
@given(_scores, st.integers(1, 5), st.integers(0, 12), st.integers(0, 30), st.randoms(use_true_random=False))
def test_any_split_merges_by_score(
    scores: list[float], nodes: int, offset: int, limit: int, chance: random.Random
) -> None:
    ranked = sorted(scores, reverse=True)
    whole = [{"id": place, "_rankingScore": score} for place, score in enumerate(ranked)]
    owners = [chance.randrange(nodes) for _ in whole]
    stored = [{"id": hit["id"], **stamps(int(hit["id"])), "_rankingScore": hit["_rankingScore"]} for hit in whole]
    prepared = prepare({"q": "x", "offset": offset, "limit": limit, "showRankingScore": True}, view())
    answers = [answer(part[: offset + limit], estimatedTotalHits=len(part)) for part in split(stored, owners, nodes)]
    body = merge(answers, prepared)
    merged = orjson.loads(body)
    assert merged["hits"] == whole[offset : offset + limit]
    assert merged["estimatedTotalHits"] == len(whole)
    assert merge(answers, prepared) == body


def _price_rank(value: float | str | None, descending: bool) -> tuple[Any, ...]:
    if value is None:
        return (2,)
    if isinstance(value, str):
        return (1, [-ord(letter) for letter in value] + [1] if descending else [ord(letter) for letter in value])
    return (0, -value if descending else value)


_values = st.none() | st.sampled_from(["a", "b", "ab", "é"]) | st.sampled_from([1, 2.5, -3, 10])


@_patient
@given(
    st.lists(st.tuples(st.sampled_from([1.0, 0.5]), _values), max_size=30),
    st.booleans(),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_any_split_merges_rule_by_rule(
    rows: list[tuple[float, Any]], descending: bool, nodes: int, chance: random.Random
) -> None:
    rows.sort(key=lambda row: (-row[0], _price_rank(row[1], descending)))
    rule = f"price:{'desc' if descending else 'asc'}"
    stored, whole = [], []
    for place, (score, value) in enumerate(rows):
        details = {"words": {"order": 0, "score": score}, rule: {"order": 1, "value": value}}
        own = {f"{SEQ_FIELD}:asc": {"order": 2, "value": seq_text(_STAMP, place)}}
        whole.append({"id": place, "_rankingScoreDetails": details})
        stored.append({"id": place, **stamps(place), "_rankingScoreDetails": {**details, **own}})
    owners = [chance.randrange(nodes) for _ in rows]
    prepared = prepare({"sort": [rule], "showRankingScoreDetails": True, "limit": 100}, view())
    merged = orjson.loads(merge([answer(part) for part in split(stored, owners, nodes)], prepared))
    assert merged["hits"] == whole


def test_geo_distance_and_redaction() -> None:
    def hit(place: int, distance: float | None) -> dict[str, Any]:
        details = {
            "_geoPoint(1, 2):desc": {"order": 0, "value": None, "distance": distance},
            "price:asc": {"order": 1, "value": 3},
            f"{SEQ_FIELD}:asc": {"order": 2, "value": seq_text(_STAMP, place)},
        }
        return {"_rankingScoreDetails": details}

    prepared = prepare(
        {"sort": ["_geoPoint(1, 2):desc", "price:asc"], "showRankingScoreDetails": True}, view(displayed=("title",))
    )
    merged = orjson.loads(merge([answer([hit(2, 5.0), hit(0, None)]), answer([hit(1, 9.5), hit(3, 5.0)])], prepared))
    distances = [h["_rankingScoreDetails"]["_geoPoint(1, 2):desc"]["distance"] for h in merged["hits"]]
    assert distances == [9.5, 5.0, 5.0, None]
    assert merged["hits"][0]["_rankingScoreDetails"] == {
        "_geoPoint(1, 2):desc": {"order": 0, "value": None, "distance": 9.5},
        "<hidden-rule-1>": {"order": 1, "value": "<hidden>"},
    }


def test_no_answer_at_all() -> None:
    assert merge([], prepare({"q": 'a"b', "facets": ["color", "*"]}, view())) == (
        b'{"hits":[],"query":"a\\"b","processingTimeMs":0,"limit":20,"offset":0,"estimatedTotalHits":0,'
        b'"facetDistribution":{"color":{}},"facetStats":{}}'
    )
    assert merge([], prepare({"page": 2}, view())) == (
        b'{"hits":[],"query":"","processingTimeMs":0,"hitsPerPage":20,"page":2,"totalPages":0,"totalHits":0}'
    )


def test_totals_are_clamped_and_the_slowest_counts() -> None:
    prepared = prepare({"hitsPerPage": 7}, view())
    answers = [answer([], totalHits=700, processingTimeMs=4), answer([], totalHits=800, processingTimeMs=9)]
    merged = orjson.loads(merge(answers, prepared))
    assert (merged["totalHits"], merged["totalPages"], merged["processingTimeMs"]) == (1000, 143, 9)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"hits":3,"processingTimeMs":1}', b'{"hits":[1],"processingTimeMs":1}']
)
def test_malformed_answers(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_answer(body)


_letters = st.text(ALPHABET, min_size=1, max_size=5)
_names = st.sampled_from([*STAMP_FIELDS, "a", "_formatted", "o", "_rankingScore", 'q"_miroir_seq":"⁖'])
_leaf = st.integers(-5, 5) | st.floats(-1e300, 1e300) | st.booleans() | st.none() | _letters | st.text(max_size=6)
_nested = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=6
)


@_patient
@given(
    st.dictionaries(st.sampled_from(["a", "b", "o", "zz"]), _nested, max_size=4),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_only_our_own_members_go(
    document: dict[str, Any], at: int, formatted: bool, scores: bool, scattered: bool
) -> None:
    """Stamps leave the top level and `_formatted`; the client's nested members of those names stay."""
    ours, members = stamps(3), list(document.items())
    stored: dict[str, Any] = dict([*members[:at], *ours.items(), *members[at:]])
    if scattered:
        stored = dict(sorted(stored.items(), key=lambda item: item[0][::-1]))
    expected = {name: value for name, value in stored.items() if name not in ours}
    body: dict[str, Any] = {"q": "x", "showRankingScore": scores}
    if formatted:
        body["attributesToHighlight"] = ["*"]
        inner = dict(stored)
        stored["_formatted"] = inner
        if shown := {name: value for name, value in inner.items() if name not in ours}:
            expected["_formatted"] = shown
    stored["_rankingScore"] = 0.5
    if scores:
        expected["_rankingScore"] = 0.5
    text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
    node = parse_answer(f'{{"hits":[{text}],"processingTimeMs":0,"estimatedTotalHits":1}}'.encode())
    merged = merge([node, answer([])], prepare(body, view()))
    wanted = json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode()
    assert merged.startswith(b'{"hits":[' + wanted + b'],"query"')


def test_numbers_stay_as_sent() -> None:
    node = parse_answer(
        b'{"hits":[{"id":1,"n":1.0,"big":123456789012345678901234567890,"e":1e400,'
        b'"_miroir_seq":"%s","_rankingScore":1.0}],"processingTimeMs":0}' % seq_text(1, 1).encode()
    )
    merged = merge([node, node], prepare({"q": "x", "limit": 1}, view()))
    assert merged.startswith(b'{"hits":[{"id":1,"n":1.0,"big":123456789012345678901234567890,"e":1e400}]')


def test_fields_fetched_for_distinct_are_cut_again() -> None:
    body = {"distinct": "o.y", "attributesToRetrieve": ["o.x", "t"], "attributesToHighlight": ["t"], "hitsPerPage": 5}
    prepared = prepare(body, view(filterable=("o",)))

    def hit(place: int, y: Any) -> dict[str, Any]:
        document = {"t": "T", "o": {"x": place, "y": y}, **stamps(place)}
        return {**document, "_formatted": document}

    answers = [answer([hit(0, "A"), hit(2, 1)], totalHits=2), answer([hit(1, ["a ", 3]), hit(3, None)], totalHits=2)]
    merged = orjson.loads(merge(answers, prepared))
    kept = [{"t": "T", "o": {"x": place}} for place in (0, 2, 3)]
    assert merged["hits"] == [{**document, "_formatted": document} for document in kept]
    assert merged["totalHits"] == 3


def test_matches_of_hidden_fields_are_hidden() -> None:
    hit = {"t": "x", SEQ_FIELD: seq_text(1, 1), "_matchesPosition": {"o.x": [], "o.y": [], "secret": [], "t": []}}
    prepared = prepare({"showMatchesPosition": True}, view(displayed=("t", "o.x")))
    merged = orjson.loads(merge([answer([hit])], prepared))
    assert merged["hits"] == [{"t": "x", "_matchesPosition": {"o.x": [], "t": []}}]


def test_hybrid_hits_weigh_in() -> None:
    def keyword(place: int, score: float) -> dict[str, Any]:
        details = {"words": {"order": 0, "score": score}, f"{SEQ_FIELD}:asc": {"order": 1, "value": seq_text(1, place)}}
        return {"id": place, "_rankingScore": score, "_rankingScoreDetails": details}

    def semantic(place: int, similarity: float) -> dict[str, Any]:
        return {
            "id": place,
            "_rankingScore": similarity,
            "_rankingScoreDetails": {"vectorSort": {"order": 0, "similarity": similarity}},
        }

    prepared = prepare({"q": "x", "limit": 3, "hybrid": {"embedder": "e", "semanticRatio": 0.7}}, view())
    answers = [
        answer([semantic(1, 0.9), keyword(2, 1.0)], semanticHitCount=1),
        answer([semantic(3, 0.8), keyword(4, 0.5)], semanticHitCount=1),
    ]
    merged = orjson.loads(merge(answers, prepared))
    assert merged["hits"] == [{"id": 1}, {"id": 3}, {"id": 2}]
    assert merged["semanticHitCount"] == 2


_spellings = st.sampled_from(["red", "Red", " RED", "blue", "Blue ", "é", "e\u0301", "ﬁ", "fi", "10", "10a"])
_documents = st.lists(
    st.tuples(st.none() | st.sampled_from([1, 2.5, 10, -3, 1e21, 10.0]), st.none() | _spellings), max_size=40
)


def _counted(rows: list[tuple[Any, Any]]) -> dict[str, Any]:
    """One node's facets over some documents, alpha order, written after Meilisearch's rules."""
    numbers = Counter(number_text(number) for number, _ in rows if number is not None)
    texts: dict[str, tuple[str, int]] = {}
    for _, text in rows:
        if text is not None:
            spelling, count = texts.get(normalise(text), (text, 0))
            texts[normalise(text)] = (spelling, count + 1)
    values = dict(sorted(numbers.items()))
    for _, (spelling, count) in sorted(texts.items()):
        if spelling not in values:
            values[spelling] = count
    found = [float(number) for number, _ in rows if number is not None]
    stats = {"f": {"min": min(found), "max": max(found)}} if found else {}
    return {"facetDistribution": {"f": values, "_miroir_shard": {"⁖": 1}, "id": {"1": 1}}, "facetStats": stats}


@_patient
@given(_documents, st.integers(1, 4), st.randoms(use_true_random=False))
def test_facets_add_up(rows: list[tuple[Any, Any]], nodes: int, chance: random.Random) -> None:
    rows = [(number, None if number is not None and text == "10" else text) for number, text in rows]
    has_ten = any(number == 10 for number, _ in rows)
    rows = [(number, None if has_ten and text == "10" else text) for number, text in rows]
    parts = split(rows, [chance.randrange(nodes) for _ in rows], nodes)
    prepared = prepare({"facets": ["*"], "limit": 0}, view(max_values_per_facet=1000))
    merged = orjson.loads(merge([answer([], **_counted(part)) for part in parts], prepared))
    whole = _counted(rows)
    assert merged["facetStats"] == whole["facetStats"]
    assert set(merged["facetDistribution"]) == {"f"}
    fold = [(normalise(value), count) for value, count in whole["facetDistribution"]["f"].items()]
    assert [(normalise(value), count) for value, count in merged["facetDistribution"]["f"].items()] == fold


def _shown(facets: list[dict[str, dict[str, int]]], **changes: Any) -> dict[str, list[tuple[str, int]]]:
    stats = [{"n": {"min": 1.0, "max": 200.0}} for _ in facets]
    answers = [answer([], facetDistribution=part, facetStats=stat) for part, stat in zip(facets, stats, strict=True)]
    prepared = prepare({"facets": ["n", "t"]}, view(**changes))
    merged: dict[str, Any] = orjson.loads(merge(answers, prepared))["facetDistribution"]
    return {name: list(values.items()) for name, values in merged.items()}


def test_facets_by_value() -> None:
    facets = [
        {"n": {"20": 2, "3": 5}, "t": {"a": 2, "B": 2, "c": 1}},
        {"n": {"100": 2, "20": 1}, "t": {"b": 3, "c": 2}},
    ]
    assert _shown(facets) == {"n": [("100", 2), ("20", 3), ("3", 5)], "t": [("a", 2), ("b", 5), ("c", 3)]}


def test_facets_by_value_above_three_thousand_candidates() -> None:
    """A node that lists 3 before 20 has that many."""
    facets = [{"n": {"3": 5, "20": 2}}, {"n": {"100": 2, "20": 1}}]
    assert _shown(facets)["n"] == [("3", 5), ("20", 3), ("100", 2)]


def test_facets_by_count_are_cut() -> None:
    facets = [
        {"n": {"3": 5, "20": 2}, "t": {"B": 2, "a": 2, "c": 1}},
        {"n": {"100": 3, "20": 1}, "t": {"b": 3, "c": 2}},
    ]
    counted = _shown(facets, sort_facet_values_by=(("*", "count"), ("t", "alpha")), max_values_per_facet=2)
    assert counted == {"n": [("3", 5), ("100", 3)], "t": [("a", 2), ("b", 5)]}


def test_texts_that_look_like_numbers_stay_texts() -> None:
    facets = [{"n": {"3": 1, "10": 4}}, {"n": {"10": 1}}]
    stats = [{"n": {"min": 3.0, "max": 3.0}}, {}]
    answers = [answer([], facetDistribution=f, facetStats=s) for f, s in zip(facets, stats, strict=True)]
    merged = orjson.loads(merge(answers, prepare({"facets": ["n"]}, view())))
    assert list(merged["facetDistribution"]["n"].items()) == [("3", 1), ("10", 5)]


def _ranked(place: int, details: dict[str, Any]) -> dict[str, Any]:
    return {"id": place, **stamps(place), "_rankingScore": 0.0, "_rankingScoreDetails": details}


def _ids(lists: list[list[dict[str, Any]]], body: dict[str, Any], **settings: Any) -> list[int]:
    merged = orjson.loads(merge([answer(hits) for hits in lists], prepare(body, view(**settings))))
    return [hit["id"] for hit in merged["hits"]]


def test_searches_cut_off_before_our_rule_keep_insertion_order() -> None:
    skipped = {"skipped": {"order": 0}}
    lists = [[_ranked(2, skipped), _ranked(3, skipped)], [_ranked(1, skipped), _ranked(4, skipped)]]
    assert _ids(lists, {"sort": ["price:asc"]}) == [1, 2, 3, 4]


def test_hits_a_metre_apart_are_equally_far() -> None:
    """The next rule decides between them, as on a node; two metres are another distance."""

    def hit(place: int, distance: float, tag: str) -> dict[str, Any]:
        point = {"order": 0, "value": {"lat": 1.0, "lng": 2.0}, "distance": distance}
        return _ranked(place, {"_geoPoint(1.0, 2.0):asc": point, "tag:asc": {"order": 1, "value": tag}})

    lists = [[hit(1, 10.0, "b"), hit(2, 13.5, "a")], [hit(3, 10.9, "a"), hit(4, 11.9, "a")]]
    assert _ids(lists, {"sort": ["_geoPoint(1, 2):asc", "tag:asc"]}) == [3, 1, 4, 2]


def test_what_only_our_rule_ranks_has_the_score_of_one_that_nothing_ranks() -> None:
    """Our rule gives a node something to skip when a search is cut off at once."""
    flags = {"showRankingScore": True, "showRankingScoreDetails": True}
    body = merge([answer([_ranked(1, {"skipped": {"order": 0}})])], prepare(flags, view()))
    assert orjson.loads(body)["hits"] == [{"id": 1, "_rankingScore": 1.0, "_rankingScoreDetails": {}}]


def test_distinct_by_empty_texts_and_by_blank_ones() -> None:
    """A text of blanks is a value, an empty one is none."""
    texts = ["", " ", "", "  ", "a"]
    hits = [{"id": place, **stamps(place), "t": text, "_rankingScore": 1.0} for place, text in enumerate(texts)]
    merged = orjson.loads(merge([answer(hits[:2]), answer(hits[2:])], prepare({"q": "x", "distinct": "t"}, view())))
    assert [hit["id"] for hit in merged["hits"]] == [0, 1, 2, 4]
