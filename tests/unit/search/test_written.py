"""Hits that look as ingest writes them take the quick way, and it leads where the exact one does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from miroir.search import written
from miroir.search.display import Presentation
from miroir.search.ranking import SAME_SCORE, Order, key_of, merged, score_of
from miroir.search.written import in_order, parts_before, take_apart, take_apart_scored
from miroir.stamps import EXPIRES_FIELD, SEQ_FIELD, UPDATED_FIELD, document_stamps, encode, seq_text, shard_text

pytestmark = pytest.mark.allow_stamps

SCORES = ("1.0", "0.5", "0.9999999999999999", "0.99999999999999999", "0.1", "1e-7", "0")


def run_of(position: int, *, updated: bool) -> bytes:
    """The stamps of a document as one write puts them in front of it."""
    before, between, after = document_stamps(1_700_000_000_000_000, updated=updated)
    return before + shard_text(7).encode() + between + encode(position, 5).encode() + after


@st.composite
def stamped_hits(draw: st.DrawFn, *, scored: bool) -> bytes:
    """A hit of a node, nearly always as it should be."""
    seq = draw(st.integers(0, 30))
    forms = [
        run_of(seq, updated=True),
        run_of(seq, updated=False),
        f'"{SEQ_FIELD}":"{seq_text(5, seq)}",'.encode(),
        f'"{SEQ_FIELD}":"{seq_text(5, seq)}{encode(9, 11)}",'.encode(),
    ]
    run = draw(st.sampled_from(forms))
    before = draw(st.sampled_from([b'"id":1,', b"", b'"\xe2\x80\x93":"\xe2\x80\x93",']))
    own = b'"%b":"\xe2\x80\x93","x":1' % EXPIRES_FIELD.encode()
    members = [b'"name":"lamp"', b'"said":"\xe2\x80\x93"', b'"x":{%b"y":1}' % run, b'"x":[{}]', own]
    after = draw(st.sampled_from(members))
    score = b',"_rankingScore":' + draw(st.sampled_from(SCORES)).encode() if scored else b""
    return b"{%b%b%b%b}" % (before, run, after, score)


ODD = (b'{"id":1}', b'{"id":1,"_rankingScore":0.5}', b"{}", b'{"id":1,"%b":"theirs","_rankingScore":1}')


def as_raw(lists: Sequence[Sequence[bytes]]) -> list[list[msgspec.Raw]]:
    return [[msgspec.Raw(hit) for hit in hits] for hits in lists]


def are_alike(hits: Sequence[bytes]) -> bool:
    """Whether two of them have nearly one score, which the quick way leaves to the exact one."""
    scores = sorted({score_of(hit) for hit in hits})
    return any(before >= after - SAME_SCORE for before, after in pairwise(scores))


@given(st.data(), st.booleans(), st.booleans(), st.integers(0, 12))
def test_the_order_is_that_of_the_exact_way(data: st.DataObject, scored: bool, exact_ties: bool, most: int) -> None:
    order = Order.SCORE if scored else Order.SEQ
    drawn = data.draw(st.lists(st.lists(stamped_hits(scored=scored), max_size=8), max_size=4))
    lists = as_raw([sorted(hits, key=key_of(order, exact_ties=exact_ties)) for hits in drawn])
    found = in_order(lists, most, scored=scored, exact_ties=exact_ties)
    if found is None:
        assert scored
        assert are_alike([hit for hits in drawn for hit in hits])
        return
    hits, parts = found
    assert list(map(bytes, hits)) == list(merged(lists, key_of(order, exact_ties=exact_ties)))[:most]
    taken = map(take_apart_scored if scored else take_apart, hits)
    assert parts == [each[0] for each in taken]


@pytest.mark.parametrize("most", [1, 20, 100, 250])
def test_a_node_may_have_all_the_best(most: int) -> None:
    """However unevenly the best hits are spread: a list is read on until nothing unread can come before."""
    hits = [b'{"id":1,%b"x":1,"_rankingScore":0.5}' % run_of(seq, updated=True) for seq in range(300)]
    lists = as_raw([hits[:200], hits[200:201], hits[201:]])
    found = in_order(lists, most, scored=True, exact_ties=True)
    assert found is not None
    assert list(map(bytes, found[0])) == hits[:most]


def test_a_list_with_all_the_best_is_taken_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step sorts all that was taken before: in even ones a deep page would hold everybody up for seconds."""
    steps, go_on = [], written._Reading.go_on

    def counted(reading: written._Reading, count: int, *rest: Any, **named: Any) -> bool:
        steps.append(count)
        return go_on(reading, count, *rest, **named)

    monkeypatch.setattr(written._Reading, "go_on", counted)
    hits = [b'{"id":1,%b"x":1}' % run_of(seq, updated=True) for seq in range(4000)]
    found = in_order(as_raw([hits, hits[-1:], hits[-1:]]), 3900, scored=False, exact_ties=True)
    assert found is not None
    assert list(map(bytes, found[0])) == hits[:3900]
    assert len(steps) <= 10


@given(st.data(), st.booleans(), st.booleans())
def test_a_list_in_an_order_of_its_own_is_left_to_the_exact_way(
    data: st.DataObject, scored: bool, exact_ties: bool
) -> None:
    """A node knows more of its order than scores and stamps tell."""
    hits = data.draw(st.lists(stamped_hits(scored=scored), min_size=2, max_size=6))
    key = key_of(Order.SCORE if scored else Order.SEQ, exact_ties=exact_ties)
    keys = list(map(key, hits))
    assume(keys != sorted(keys))
    assert in_order(as_raw([hits]), len(hits), scored=scored, exact_ties=exact_ties) is None


@given(st.lists(stamped_hits(scored=True), min_size=1, max_size=5), st.sampled_from(ODD), st.data())
def test_a_hit_that_looks_otherwise_is_told(hits: list[bytes], odd: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(hits)))
    lists = as_raw([[*hits[:place], odd, *hits[place:]]])
    assert in_order(lists, len(hits) + 1, scored=True, exact_ties=True) is None


@given(st.data(), st.booleans())
def test_what_is_shown_is_what_the_exact_way_shows(data: st.DataObject, scored: bool) -> None:
    some = stamped_hits(scored=scored) | stamped_hits(scored=False) | st.sampled_from(ODD[:3])
    hits = data.draw(st.lists(some, max_size=5))
    shape = Presentation(has_score=scored)
    exact = b",".join(map(shape.present, hits))
    assert b"".join(shape.shown(hits)) == exact
    found = in_order(as_raw([hits]), len(hits), scored=scored, exact_ties=False)
    if found is not None:
        assert b"".join(shape.shown(*found)) == exact


@pytest.mark.parametrize("updated", [True, False])
def test_the_stamps_of_ingest_are_found_whole(updated: bool) -> None:
    run = run_of(3, updated=updated)
    assert (UPDATED_FIELD.encode() in run) is updated
    stamp = seq_text(1_700_000_000_000_000, 3).encode()
    assert take_apart(b'{"id":1,%b"name":1}' % run) == [(b'{"id":1,', stamp, b'"name":1', b"")]
    scored = b'{"id":1,%b"name":1,"_rankingScore":0.5}' % run
    assert take_apart_scored(scored) == [(b'{"id":1,', stamp, b'"name":1', b"0.5")]
    assert parts_before(b',"_rankingScore":', scored) == (b'{"id":1,', stamp, b'"name":1', b"")
    with_nothing_behind = b'{"id":1,%b,"_rankingScore":0.5}' % run[:-1]
    assert take_apart_scored(with_nothing_behind) == [(b'{"id":1,', stamp, b"", b"0.5")]
    assert parts_before(b',"_rankingScore":', with_nothing_behind) == (b'{"id":1,', stamp, b"", b"")
