"""What a client sees of a hit: the quick way and the exact way agree on everything."""

from __future__ import annotations

import itertools

import pytest

from miroir.search.display import Presentation
from miroir.stamps import document_stamps, seq_text, shard_text

_PIECES = document_stamps(1_700_000_000_000_000)
RUN = (_PIECES[0].decode() + shard_text(3) + _PIECES[1].decode() + seq_text(0, 7)[11:] + _PIECES[2].decode()).encode()
BARE = RUN.removesuffix(b",")
DOCUMENTS = (
    b'{"id":1,%b"name":"lamp"' % RUN,
    b'{%b"id":1' % RUN,
    b'{"id":1,%b' % BARE,
    b"{%b" % BARE,
    b'{"id":1,"name":"lamp"',
    b'{"id":1,%b"inner":{"_miroir_seq":"theirs"}' % RUN,
    b'{"id":1,%b"inner":{"_miroir_seq":1,"_rankingScore":0.5}' % RUN,
    b'{"id":1,%b"text":"\\"_miroir_seq\\":\\"\\"_rankingScore\\":1"' % RUN,
    b'{"a":{"_miroir_shard":"x"},%b"z":null' % RUN,
)
SCORE = b',"_rankingScore":0.98'
DETAILS = b',"_rankingScoreDetails":{"words":{"order":0,"score":1.0},"_miroir_seq:asc":{"order":1,"value":"x"}}'


@pytest.mark.allow_stamps
@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize(("has_score", "has_details"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize(("keep_score", "keep_details"), list(itertools.product((False, True), repeat=2)))
def test_the_quick_way_is_the_exact_one(
    document: bytes, has_score: bool, has_details: bool, keep_score: bool, keep_details: bool
) -> None:
    presentation = Presentation(
        has_score=has_score, has_details=has_details, keep_score=keep_score, keep_details=keep_details
    )
    hit = document + (SCORE if has_score else b"") + (DETAILS if has_details else b"") + b"}"
    assert b"".join(presentation.shown([hit, hit])) == b",".join([presentation.present(hit)] * 2)


def test_stamps_and_scores_are_cut() -> None:
    hit = DOCUMENTS[0] + SCORE + DETAILS + b"}"
    shown = b"".join(Presentation(has_score=True, has_details=True).shown([hit]))
    assert shown == b'{"id":1,"name":"lamp"}'


@pytest.mark.allow_stamps
@pytest.mark.parametrize("lookalike", [RUN, BARE, b'"_miroir_seq":"theirs"', b'"said":"\xe2\x80\x93"'])
@pytest.mark.parametrize("before", [True, False])
def test_a_run_of_the_clients_own_is_no_run_of_ours(lookalike: bytes, before: bool) -> None:
    """Wherever it stands: a field that was named in the settings first comes before our stamps."""
    theirs = b'"inner":{%b}' % lookalike.removesuffix(b",")
    document = b'{%b,%b"id":1' % (theirs, RUN) if before else b'{"id":1,%b%b' % (RUN, theirs)
    shown = b"".join(Presentation(has_score=True).shown([document + SCORE + b"}"]))
    assert shown == document.replace(b"," + RUN if before else RUN, b"," if before else b"", 1) + b"}"
