"""Stamps out of documents: what comes out is, byte for byte, what the client put in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.stamps import ALPHABET, EXPIRES_FIELD, STAMP_FIELDS, UPDATED_FIELD, encode, strip

_SILENT = st.text(ALPHABET, min_size=1, max_size=16)
# What could be mistaken for a member of ours: quotes, backslashes, our names, our letters.
_PIECES = st.sampled_from(['"', "\\", ",", ":", "{", "}", "_miroir_", "_miroir_seq", '"_miroir_seq":"', *ALPHABET[:3]])
_TEXT = st.one_of(st.text(max_size=8), st.lists(_PIECES, max_size=6).map("".join))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_TEXT.filter(lambda key: key not in STAMP_FIELDS), inner, max_size=3),
    ),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(_TEXT.filter(lambda key: key not in STAMP_FIELDS), _JSON, max_size=5)
_STAMPS = st.dictionaries(st.sampled_from(STAMP_FIELDS), _SILENT, max_size=5)


def _text(value: object) -> bytes:
    """JSON as a node writes it: no spaces, letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _members(document: dict[str, Any]) -> list[bytes]:
    return [_text(name) + b":" + _text(value) for name, value in document.items()]


def _object(members: list[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), _DOCUMENTS, _STAMPS)
def test_stamps_anywhere_among_the_members(
    data: st.DataObject, document: dict[str, Any], stamps: dict[str, str]
) -> None:
    members = _members(document)
    original = _object(members)
    for stamp in _members(stamps):
        members.insert(data.draw(st.integers(0, len(members))), stamp)
    assert strip(_object(members)) == original


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_DOCUMENTS, _DOCUMENTS, _STAMPS)
def test_hits_carry_them_twice(document: dict[str, Any], formatted: dict[str, Any], stamps: dict[str, str]) -> None:
    document = {name: value for name, value in document.items() if name != "_formatted"}
    inside = _object(_members(stamps) + _members(formatted))
    hit = _object([*_members(stamps), *_members(document), b'"_formatted":' + inside])
    assert strip(hit) == _object([*_members(document), b'"_formatted":' + _object(_members(formatted))])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_DOCUMENTS, st.sampled_from((EXPIRES_FIELD, UPDATED_FIELD)), _JSON, _STAMPS)
def test_optional_fields_of_the_client_stay(
    document: dict[str, Any], field: str, value: object, stamps: dict[str, str]
) -> None:
    """With anti-entropy or expiry off they are the client's, whatever they hold but texts of our letters only."""
    if (
        isinstance(value, str)
        and value
        and set(value) <= set(map(chr, (*range(0x2040, 0x2080), *range(0x2E00, 0x2E40))))
    ):
        value += "."
    stamps.pop(field, None)
    members = _members(document) + _members({field: value})
    assert strip(_object(_members(stamps) + members)) == _object(members)
    assert strip(_object(members + _members(stamps))) == _object(members)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (b"{}", b"{}"),
        (b'{"_miroir_seq":"S"}', b"{}"),
        (b'{"_miroir_seq":"S","_miroir_placed_at":"S"}', b"{}"),
        (b'{"id":1,"_miroir_seq":"S"}', b'{"id":1}'),
        (b'{"id":1,"_miroir_shard":"S","_miroir_seq":"S","a":2}', b'{"id":1,"a":2}'),
        (b'{"_miroir_shard":"S","id":1,"_miroir_seq":"S","a":2,"_miroir_placed_at":"S"}', b'{"id":1,"a":2}'),
        (b'{"id":1,"a":{},"_miroir_seq":"S"}', b'{"id":1,"a":{}}'),
        (b'{"_miroir_seq":"plain"}', b'{"_miroir_seq":"plain"}'),
        (b'{"_miroir_seq":""}', b'{"_miroir_seq":""}'),
        (b'{"_miroir_sequence":"S"}', b'{"_miroir_sequence":"S"}'),
        (b'{"my_miroir_seq":"S"}', b'{"my_miroir_seq":"S"}'),
        (rb'{"id":1,"a\"_miroir_seq":"S"}', rb'{"id":1,"a\"_miroir_seq":"S"}'),
        (rb'{"id":1,"a\\":2,"_miroir_seq":"S"}', rb'{"id":1,"a\\":2}'),
        (b'{"id":1,"a":"x,","_miroir_seq":"S"}', b'{"id":1,"a":"x,"}'),
        (rb'{"id":"\"_miroir_seq\":\"S\","}', rb'{"id":"\"_miroir_seq\":\"S\","}'),
    ],
)
def test_every_place_a_stamp_can_stand(stored: bytes, shown: bytes) -> None:
    text = encode(1_770_000_000_000_000, 11).encode()
    assert strip(stored.replace(b"S", text)) == shown.replace(b"S", text)
