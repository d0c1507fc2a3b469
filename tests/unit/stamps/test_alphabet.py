"""Numbers as silent text: exact, of one width, in the numbers' order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.stamps import ALPHABET, decode, encode, is_silent
from miroir.stamps.fields import (
    SEQ_FIELD,
    STAMP_FIELDS,
    document_stamps,
    position_bytes,
    seq_text,
    shard_filter,
    shard_text,
    stamp_text,
)

_STAMPS = st.integers(0, 2**55 - 1)
_POSITIONS = st.integers(0, 2**25 - 1)


def test_the_alphabet() -> None:
    """As the design names it: 32 letters in code-point order, three bytes each."""
    assert ALPHABET == "⁖⁘⁙⁚⁛⁜⁝⁞⸀⸁⸆⸇⸈⸋⸎⸏⸐⸑⸒⸓⸔⸕⸖⸘⸙⸛⸞⸟⸪⸫⸬⸭"
    assert len(set(ALPHABET)) == 32
    assert list(ALPHABET) == sorted(ALPHABET)
    assert {len(letter.encode()) for letter in ALPHABET} == {3}
    assert not any(letter.isalnum() for letter in ALPHABET)


@settings(deadline=None)
@given(st.data(), st.integers(1, 20))
def test_encoding_is_exact(data: st.DataObject, width: int) -> None:
    value = data.draw(st.integers(0, 32**width - 1))
    text = encode(value, width)
    assert len(text) == width
    assert set(text) <= set(ALPHABET)
    assert decode(text) == value
    digits = [value >> 5 * place & 31 for place in reversed(range(width))]
    assert text == "".join(ALPHABET[digit] for digit in digits)


@settings(deadline=None)
@given(st.lists(st.integers(0, 32**7 - 1), min_size=2, max_size=2), st.integers(7, 9))
def test_order_is_the_numbers_order(values: list[int], width: int) -> None:
    """As text (code points), and as bytes, which is how a node's comparisons may see it."""
    one, other = values
    texts = encode(one, width), encode(other, width)
    assert (texts[0] < texts[1]) == (one < other)
    assert (texts[0].encode() < texts[1].encode()) == (one < other)


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 2**70))
def test_what_does_not_fit_is_refused(width: int, above: int) -> None:
    with pytest.raises(OverflowError):
        encode(32**width + above, width)
    with pytest.raises(OverflowError):
        encode(-1 - above, width)


def test_the_first_and_the_last_of_a_width() -> None:
    assert encode(0, 4) == ALPHABET[0] * 4
    assert encode(32**4 - 1, 4) == ALPHABET[31] * 4
    assert encode(0, 0) == ""
    assert decode("") == 0


@settings(deadline=None)
@given(st.text(ALPHABET), st.characters(exclude_characters=ALPHABET), st.text(ALPHABET))
def test_other_letters_are_no_stamp(before: str, letter: str, after: str) -> None:
    with pytest.raises(ValueError, match="not a stamp"):
        decode(before + letter + after)


@settings(deadline=None)
@given(st.text(), st.sampled_from(ALPHABET), st.text())
def test_one_letter_of_ours_is_noticed(before: str, letter: str, after: str) -> None:
    assert is_silent(before + letter + after)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters=ALPHABET)))
def test_texts_without_one_are_let_through(text: str) -> None:
    assert not is_silent(text)


# -- fields ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 2**20 - 1), _STAMPS, _POSITIONS)
def test_fields_have_fixed_widths(shard: int, stamp: int, position: int) -> None:
    assert (len(shard_text(shard)), decode(shard_text(shard))) == (4, shard)
    assert (len(stamp_text(stamp)), decode(stamp_text(stamp))) == (11, stamp)
    seq = seq_text(stamp, position)
    assert len(seq) == 16
    assert (decode(seq[:11]), decode(seq[11:])) == (stamp, position)


def test_what_no_field_can_hold() -> None:
    for write in (
        lambda: shard_text(2**20),
        lambda: stamp_text(2**55),
        lambda: seq_text(0, 2**25),
        lambda: position_bytes(2**25),
    ):
        with pytest.raises(OverflowError):
            write()


@settings(deadline=None)
@given(st.tuples(_STAMPS, _POSITIONS), st.tuples(_STAMPS, _POSITIONS))
def test_sequences_order_by_stamp_then_position(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (seq_text(*one) < seq_text(*other)) == (one < other)


@settings(deadline=None)
@given(st.integers(0, 2**20 - 1), _STAMPS, _POSITIONS, st.booleans())
def test_the_pieces_of_a_document(shard: int, stamp: int, position: int, updated: bool) -> None:
    head, middle, tail = document_stamps(stamp, updated=updated)
    members = head + shard_text(shard).encode() + middle + position_bytes(position) + tail
    own = f'"_miroir_updated_at":"{stamp_text(stamp)}",' if updated else ""
    assert members.decode() == (
        f'"_miroir_shard":"{shard_text(shard)}","{SEQ_FIELD}":"{seq_text(stamp, position)}",'
        f'{own}"_miroir_placed_at":"{stamp_text(stamp)}",'
    )


def test_the_filter_of_some_shards() -> None:
    assert shard_filter((3, 40)) == f'_miroir_shard IN ["{shard_text(3)}","{shard_text(40)}"]'
    assert shard_filter(iter([7])) == f'_miroir_shard IN ["{shard_text(7)}"]'


def test_the_names_are_ours() -> None:
    assert len(set(STAMP_FIELDS)) == 5
    assert all(name.startswith("_miroir_") for name in STAMP_FIELDS)
