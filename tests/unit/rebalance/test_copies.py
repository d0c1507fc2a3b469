"""Comparing copies: after what a comparison asks for is done, the copy is its source."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.rebalance.copies import (
    Difference,
    batches,
    compare,
    doubtful,
    guarded_deletion,
    landed,
    portion,
    read_contents,
    read_versions,
    shares,
)
from miroir.stamps import PLACED_FIELD, SEQ_FIELD, SHARD_FIELD, seq_text, shard_text, stamp_text

versions = st.dictionaries(st.text("abc123-_", min_size=1, max_size=3), st.sampled_from(["v1", "v2", "v3"]))


@given(versions, versions)
def test_a_copy_that_does_what_the_difference_says_equals_its_source(
    source: dict[str, str], copy: dict[str, str]
) -> None:
    difference = compare(source, copy)
    repaired = {key: version for key, version in copy.items() if key not in difference.to_delete}
    repaired |= {key: source[key] for key in difference.to_copy}
    assert repaired == source
    assert not compare(source, repaired)


@given(versions, versions)
def test_only_what_differs_is_touched(source: dict[str, str], copy: dict[str, str]) -> None:
    difference = compare(source, copy)
    assert all(copy.get(key) != source[key] for key in difference.to_copy)
    assert set(difference.to_delete) == copy.keys() - source.keys()
    assert bool(difference) == (source != copy)


def test_the_lists_keep_their_order() -> None:
    assert compare({"c": "1", "a": "1"}, {"z": "1", "b": "1"}) == Difference(("c", "a"), ("z", "b"))


@pytest.mark.parametrize(
    ("document", "primary_key", "found"),
    [
        ({"id": 7, SEQ_FIELD: "s"}, "id", {"7": "s"}),
        ({"id": "7", SEQ_FIELD: "s"}, "id", {"7": "s"}),
        ({"a": {"b": 1}, SEQ_FIELD: "s"}, "a.b", {"1": "s"}),
        ({"a.b": 2, SEQ_FIELD: "s"}, "a.b", {"2": "s"}),
        ({"a": {"b.c": "x"}, SEQ_FIELD: "s"}, "a.b.c", {"x": "s"}),
        ({"id": "no stamp"}, "id", {"no stamp": ""}),
    ],
)
def test_key_and_version_are_read_as_a_node_reads_them(
    document: dict[str, Any], primary_key: str, found: dict[str, str]
) -> None:
    assert read_versions([json.dumps(document).encode()], primary_key) == found


def stamped(stamp: int, **members: Any) -> bytes:
    document = {
        SHARD_FIELD: shard_text(3),
        SEQ_FIELD: seq_text(stamp, 0),
        PLACED_FIELD: stamp_text(stamp),
        **members,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


stamps = st.integers(0, 1 << 54)


@given(stamps, stamps, st.text())
def test_a_document_lands_with_nothing_changed_but_when(stamp: int, landing: int, text: str) -> None:
    moved = json.loads(landed(stamped(stamp, id=1, text=text), landing))
    assert moved == {**json.loads(stamped(stamp, id=1, text=text)), PLACED_FIELD: stamp_text(landing)}


def test_landing_leaves_a_text_alone_that_looks_like_the_stamp() -> None:
    text = f'"{PLACED_FIELD}":"mine"'
    moved = json.loads(landed(stamped(1, id=1, text=text), 2))
    assert moved["text"] == text
    assert moved[PLACED_FIELD] == stamp_text(2)


def test_landing_leaves_a_member_alone_that_is_called_the_same() -> None:
    inner = {PLACED_FIELD: "mine"}
    document = json.dumps({"o": inner, PLACED_FIELD: stamp_text(1)}, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(landed(document.encode(), 2)) == {"o": inner, PLACED_FIELD: stamp_text(2)}


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_batches_hold_every_document_once_in_order_and_stay_small(sizes: list[int], limit: int) -> None:
    documents = [json.dumps("x" * size).encode() for size in sizes]
    made = list(batches(documents, limit))
    assert [text for batch in made for text in json.loads(batch)] == ["x" * size for size in sizes]
    for batch in made:
        assert len(batch) <= limit + 2 or len(json.loads(batch)) == 1
    for one, following in pairwise(made):
        first = json.dumps(json.loads(following)[0])
        assert len(one) + len(first) > limit, "a batch is ended only by a document that does not fit"


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.integers(1, 50), st.integers(1, 5000))
def test_portions_come_to_what_they_should_as_soon_as_sizes_are_known(sizes: list[int], most: int, limit: int) -> None:
    start, count, largest = 0, 10, max(sizes)
    while start < len(sizes):
        taken = sizes[start : start + count]
        start += len(taken)
        following = portion(count, sum(taken), most, limit)
        assert 1 <= following <= min(most, 4 * count)
        if following > 1 and len(taken) == count:
            assert following * sum(taken) / count <= limit
        if following < min(most, 4 * count) and len(taken) == count:
            assert (following + 1) * largest > limit, "a portion is kept small by large documents only"
        count = following


def test_documents_that_are_gone_make_the_next_portion_no_smaller() -> None:
    assert portion(10, 0, 1000, 1 << 20) == 40


@given(st.lists(st.integers(0, 255), min_size=1, unique=True), st.integers(0, 10_000), st.integers(1, 3000))
def test_shares_hold_every_shard_once_and_about_as_many_documents(shards: list[int], documents: int, most: int) -> None:
    made = shares(shards, documents, most)
    assert sorted(shard for share in made for shard in share) == sorted(shards)
    assert max(map(len, made)) - min(map(len, made)) <= 1
    assert len(made) == 1 or documents > most
    assert documents <= most * len(made) or len(made) == len(shards)


def test_nothing_makes_no_batch() -> None:
    assert list(batches([], 10)) == []


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 24))
def test_a_guarded_deletion_spares_whatever_was_written_after_it_looked(before: int, position: int) -> None:
    filter = guarded_deletion(["a", "b"], "id", (3,), before)
    limit = filter.rpartition('<= "')[2].removesuffix('"')
    assert seq_text(before, position) <= limit
    assert seq_text(before + 1, position) > limit


@pytest.mark.parametrize(("primary_key", "written"), [("id", '"id"'), ("a b", '"a b"'), ('a"b', '"a\\"b"')])
def test_a_guarded_deletion_names_keys_shard_and_the_limit(primary_key: str, written: str) -> None:
    assert guarded_deletion(["a", "7"], primary_key, (3,), 8) == (
        f'{written} IN ["a","7"] AND {SHARD_FIELD} IN ["{shard_text(3)}"] AND {SEQ_FIELD} <= "{stamp_text(9)}"'
    )


def test_equal_versions_are_doubtful_from_the_first_write_in_question_on() -> None:
    source = {"old": seq_text(7, 0), "new": seq_text(8, 0), "other": seq_text(9, 0), "missing": seq_text(9, 1)}
    copy = {"old": seq_text(7, 0), "new": seq_text(8, 0), "other": seq_text(8, 0)}
    assert doubtful(source, copy, 8) == ["new"]
    assert doubtful(source, copy, 0) == ["old", "new"]


def test_an_edit_makes_an_old_document_doubtful_again() -> None:
    edited = {"old": seq_text(3, 0) + stamp_text(8), "older": seq_text(3, 1) + stamp_text(7)}
    assert doubtful(edited, dict(edited), 8) == ["old"]
    assert compare(edited, {**edited, "old": seq_text(3, 0)}).to_copy == ("old",)


@given(stamps, stamps, st.dictionaries(st.text(min_size=1), st.integers(), max_size=3))
def test_contents_are_equal_whatever_the_order_of_members_and_the_time_of_landing(
    stamp: int, landing: int, members: dict[str, int]
) -> None:
    document = json.loads(stamped(stamp, **members, id=1))
    turned = json.dumps(dict(reversed(document.items())), ensure_ascii=False, separators=(",", ":")).encode()
    found = read_contents([stamped(stamp, **members, id=1)], "id")
    assert read_contents([landed(turned, landing)], "id") == found
    assert read_contents([stamped(stamp, **{**members, "text": "more"}, id=1)], "id") != found
