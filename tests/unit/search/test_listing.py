"""The order of listed documents, and finding a deep page in it."""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from miroir.search.listing import (
    Places,
    Stretch,
    common_start,
    locate,
    merged,
    reach,
    read_sort,
    skipped,
    sorted_entries,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3) | st.sampled_from(["", "a", " A", "é", "z", "É"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=4,
)
documents = st.lists(st.fixed_dictionaries({"v": values, "w": values}), max_size=12)
sorts = st.sampled_from([["v:asc"], ["v:desc"], ["v.x:asc", "w:desc"], ["w:asc", "v:asc"], ["v:asc", "v:desc"]])


def entries(rows: list[tuple[str, dict[str, Any]]], sort: list[str]) -> list[tuple[Any, bytes]]:
    """A list as a node makes it: every place of every document, sorted, insertion order last."""
    criteria = read_sort(sort)
    listed = sorted(
        ((*place, seq), document, seq) for seq, document in rows for place in Places(document, criteria)
    )  # fmt: skip
    return list(sorted_entries(((document, seq, seq.encode()) for _, document, seq in listed), criteria))


@given(documents, sorts, st.randoms(), st.integers(0, 10), st.integers(0, 10))
def test_lists_of_several_nodes_merge_to_the_list_of_one(
    found: list[dict[str, Any]], sort: list[str], random: Any, offset: int, limit: int
) -> None:
    rows = [(f"{number:03d}", document) for number, document in enumerate(found)]
    whole = entries(rows, sort)
    parts: list[list[tuple[str, dict[str, Any]]]] = [[], [], []]
    for row in rows:
        parts[random.randrange(3)].append(row)
    got = merged([entries(part, sort) for part in parts], 0, offset + limit)
    assert got == [raw for _, raw in whole][: offset + limit]
    start = skipped([key[:-1] for key, _ in whole[: offset + limit]], offset)
    wanted = [] if start is None else got[start : start + limit]
    assert merged([entries(part, sort) for part in parts], offset, limit) == wanted
    assert start is None or offset - 1 <= start <= offset


@given(documents, st.integers(0, 14), st.integers(1, 10))
def test_in_insertion_order_an_offset_is_what_it_says(found: list[dict[str, Any]], offset: int, limit: int) -> None:
    rows = [(f"{number:03d}", f"{number:03d}".encode()) for number in range(len(found))]
    lists = [[((seq,), raw) for seq, raw in rows[start::2]] for start in (0, 1)]
    assert merged(lists, offset, limit) == [raw for _, raw in rows][offset : offset + limit]


def test_a_document_stands_where_a_node_lists_it() -> None:
    def of(value: Any, sort: str) -> list[Any]:
        return [element[:2] for (element,) in Places({"v": value}, read_sort([sort]))]

    assert of(["z", 2, 9, " B"], "v:asc") == [(0, 2.0), (1, "b")]
    assert of([1.5, -3], "v:desc") == [(0, -1.5)]
    assert of(True, "v:asc") == [(1, "true")]
    assert of([[1], ["q"]], "v:asc") == [(0, 1.0), (1, "q")]
    assert of([None, "", {"k": 1}, []], "v:asc") == []
    assert of(["", "  "], "v:asc") == [(1, "")]
    assert of("x" * 500, "v:asc") == of("x" * 468 + "y", "v:asc")
    assert [place for (place,) in Places({"n": [{"x": 4}, {"x": "k"}]}, read_sort(["n.x:asc"]))] == [(0, 4.0), (1, "k")]
    assert list(Places({"n.x": 4.5}, read_sort(["n.x:asc"]))) == [((0, 4.5),)]


def test_places_beyond_counting_are_not_counted_through() -> None:
    criteria = read_sort(["v:asc"] * 200)
    found = Places({"v": [1, "a"]}, criteria)
    assert found.total == 1 << 200
    assert found[0] == ((0, 1.0),) * 200
    assert found[1] == (*((0, 1.0),) * 199, (1, "a"))
    assert found[found.total - 1] == ((1, "a"),) * 200
    ((key, raw),) = sorted_entries([({"v": [1, "a"]}, "001", b"{}")], criteria)
    assert (key[:-1], raw) == (found[0], b"{}")


def test_a_text_of_blanks_is_a_place_and_an_empty_one_is_none() -> None:
    criteria = read_sort(["v:asc"])
    assert len(Places({"v": " "}, criteria)) == 1
    assert list(Places({"v": ""}, criteria)) == []
    nowhere = sorted_entries([({"v": ""}, "001", b"{}")], criteria)  # a node that lists it all the same
    somewhere = sorted_entries([({"v": "a"}, "002", b"{}")], criteria)
    assert len(merged([nowhere, somewhere], 0, 5)) == 2


def test_distances() -> None:
    criteria = read_sort(["_geoPoint( 48.85, 2.35 ):asc"])

    def distance(place: Any) -> Any:
        ((element,),) = Places({"_geo": place}, criteria)
        return element

    here, near, far = ({"lat": 48.85, "lng": 2.35}, {"lat": "48.9", "lng": "2.35"}, {"lat": -48.85, "lng": -177.65})
    assert distance(here) == (0, 0.0)
    assert distance(here) < distance(near) < distance(far) < distance(None) == distance({"lat": 1}) == distance([1])
    descending = read_sort(["_geoPoint(48.85,2.35):desc"])
    far_off, nearby, nowhere = (list(Places(found, descending)) for found in ({"_geo": far}, {"_geo": near}, {}))
    assert far_off < nearby < nowhere


def test_what_is_no_criterion_is_left_to_a_node() -> None:
    assert read_sort(["v", "v:up", 7, None, "_geoPoint(1):asc", "_geoPoint(x,1):asc"])[0].path == "_geoPoint(1)"
    assert read_sort(["a:b:desc"])[0].path == "a:b"


stamps = st.lists(st.integers(0, 400), unique=True, max_size=80).map(lambda found: [f"{each:03d}" for each in found])


def parts_of(lists: list[list[str]], windows: list[tuple[int, int]]) -> list[Stretch]:
    return [
        Stretch(own[start:end], cut=start > 0, ended=len(own[start:end]) < end - start)
        for own, (start, end) in zip(lists, windows, strict=True)
    ]


def found_in(lists: list[list[str]], looked: list[Stretch], offset: int, limit: int) -> list[str] | None:
    start = common_start(looked)
    before = 0 if start is None else sum(bisect_left(own, start) for own in lists)
    return locate(looked, before, offset, limit)


@given(stamps, st.randoms(), st.integers(0, 90), st.integers(1, 20), st.sampled_from([0.0, 0.2, 1.0, 3.0]))
def test_a_located_page_is_the_page(found: list[str], random: Any, offset: int, limit: int, spread: float) -> None:
    lists: list[list[str]] = [[], [], []]
    for stamp in sorted(found):
        lists[random.choice([0, 0, 1, 2])].append(stamp)
    page = sorted(found)[offset : offset + limit]
    windows = [reach(len(own), len(found), offset, limit, spread) for own in lists]
    assert found_in(lists, parts_of(lists, windows), offset, limit) in (None, page)
    off_by_one = [(max(start - 1, 0), max(end - 1, 0)) for start, end in windows]
    assert found_in(lists, parts_of(lists, off_by_one), offset, limit) in (None, page)
    assert found_in(lists, parts_of(lists, [(0, offset + limit)] * 3), offset, limit) == page


def test_three_deviations_find_most_pages() -> None:
    random = Random(5)
    lists: list[list[str]] = [[], [], []]
    for number in range(30_000):
        lists[random.randrange(3)].append(f"{number:06d}")
    missed = 0
    for offset in range(600, 29_000, 700):
        windows = [reach(len(own), 30_000, offset, 20, 3.0) for own in lists]
        assert all(end - start < 1200 for start, end in windows)
        located = found_in(lists, parts_of(lists, windows), offset, 20)
        missed += located is None
        assert located is None or located == [f"{number:06d}" for number in range(offset, offset + 20)]
    assert missed <= 2


def test_an_offset_into_groups_is_a_nodes() -> None:
    alone = [((0, float(number)),) for number in range(10)]
    assert [skipped(alone, offset) for offset in range(5)] == [0, 0, 1, 2, 3]
    groups = [((0, float(number // 3)),) for number in range(12)]
    assert [skipped(groups, offset) for offset in range(8)] == [0, 0, 2, None, 3, 5, None, 6]
    assert skipped([], 3) is None
    assert skipped(alone, 30) is None
    assert skipped([(1,) * 2000] * 3, 2) == 2, "a list may be sorted by any number of attributes"
