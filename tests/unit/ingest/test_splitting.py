"""Documents cut out of a body: nothing passes that a strict parser refuses, and what passes is what was sent."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.ingest.splitting import are_documents, columns, decoded, spells_plainly, split_list
from tests.unit.ingest.test_payload import documents

names = st.sampled_from(["id", "größe", "_geo", "a.b", "", 'quo"te', "back\\slash", "tab\t"])
MISSING = object()
NOTHING: frozenset[str] = frozenset()


@given(st.lists(documents | st.dictionaries(names, st.integers() | st.text()), max_size=5), names, st.booleans())
def test_members_are_those_of_the_decoded_documents(sent: list[dict[str, Any]], name: str, escaped: bool) -> None:
    body = json.dumps(sent, ensure_ascii=escaped).encode("utf-8", "replace")
    split = split_list(body)
    if split is None:
        return  # integers beyond 64 bits, or what `replace` has done to a lone surrogate's neighbours
    assert [json.loads(document) for document in split] == json.loads(body)
    assert are_documents(split)
    decodings = list(map(orjson.loads, split))
    found = columns(split, ("other", name), NOTHING)
    if found is None:
        assert set(name) & set('"\\\t')
        return
    assert decoded(found[name], MISSING) == [document.get(name, MISSING) for document in decodings]
    forbidden = columns(split, ("other",), frozenset({name}))
    assert (forbidden is None) == any(name in document for document in decodings)


@given(st.lists(documents, min_size=1, max_size=3), st.data())
def test_damaged_bytes_pass_only_where_a_strict_parser_takes_them(
    sent: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = bytearray(json.dumps(sent, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "replace"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\\ud800", b"1e999", b"9" * 400, b"\\u0061", b"-0", b'"', b"\xc3"])
        )
    split = split_list(bytes(body))
    if split is not None:
        assert list(map(orjson.loads, split)) == orjson.loads(bytes(body))
    if are_documents([bytes(body)[1:-1]]):
        assert isinstance(orjson.loads(bytes(body)[1:-1]), dict)


ODD = (b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":1e999}', b'{"a":1' + b"0" * 400 + b"}", b'{"a":"\\ud800"}', b'{"a":01}')
WRONG = (
    b'{"a":1.}',
    b'{"a":tru}',
    b'{"a":"\x01"}',
    b'{"a":[1,]}',
    b'{"a":NaN}',
    b"1",
    b"null",
    b"[]",
    b'{"a":1}]',
    b"{",
)
DEEP = b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"


@pytest.mark.parametrize("inside", [*ODD, *WRONG, DEEP])
def test_what_is_odd_anywhere_is_not_taken(inside: bytes) -> None:
    assert split_list(b'[{"id":1},' + inside + b"]") is None
    assert not are_documents([b'{"id":1}', inside])


def test_lines_that_are_json_only_together_are_no_documents() -> None:
    assert split_list(b'[{"a":[1,2]}]') is not None
    assert not are_documents([b'{"a":[1', b"2]}"])


def test_of_equal_names_the_last_counts_however_it_is_spelled() -> None:
    found = columns([b'{"id":1,"id":2}', b'{"id":1,"\\u0069d":[3]}', b"{}"], ("id",), NOTHING)
    assert found is not None
    assert decoded(found["id"], None) == [2, [3], None]


@pytest.mark.parametrize("text", [b'"\\u005fmiroir_shard"', b'"_\\u006diroir"', b'"\\u0041"'])
def test_a_letter_that_is_spelled_out_is_noticed(text: bytes) -> None:
    assert not spells_plainly(text)
    assert spells_plainly(json.dumps(json.loads(text) + "é€\n").encode())
