"""What clients may not ask for, and node errors made theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.errors import ApiError
from miroir.indexes.settings import check_reserved, clean_error
from miroir.stamps import ALPHABET, RESERVED_FIELDS
from tests.unit.indexes.test_wish import CHANGES, JSON


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ALPHABET), st.text(max_size=3), st.text(max_size=3))
def test_no_letter_of_the_alphabet_becomes_a_word(letter: str, before: str, after: str) -> None:
    for setting in ("nonSeparatorTokens", "dictionary"):
        with pytest.raises(ApiError) as refused:
            check_reserved({setting: ["#", before + letter + after]})
        assert refused.value.code == "miroir_reserved_token"
        assert refused.value.status == 400
    check_reserved({"separatorTokens": [letter], "stopWords": [letter]})


@pytest.mark.parametrize("field", RESERVED_FIELDS)
@pytest.mark.parametrize(
    "change",
    [
        {"displayedAttributes": ["a", "{}"]},
        {"searchableAttributes": ["{}.x"]},
        {"sortableAttributes": ["{}"]},
        {"filterableAttributes": ["{}"]},
        {"filterableAttributes": [{"attributePatterns": ["a", "{}"]}]},
        {"rankingRules": ["words", "{}:desc"]},
        {"distinctAttribute": "{}"},
        {"localizedAttributes": [{"attributePatterns": ["{}"], "locales": ["en"]}]},
        {"typoTolerance": {"disableOnAttributes": ["{}"]}},
        {"faceting": {"sortFacetValuesBy": {"{}": "count"}}},
    ],
)
def test_no_setting_names_a_field_of_ours(change: Any, field: str) -> None:
    named = json.loads(json.dumps(change).replace("{}", field))
    with pytest.raises(ApiError) as refused:
        check_reserved(named)
    assert refused.value.code == "miroir_reserved_field"
    if field == "_miroir_updated_at":
        check_reserved(named, anti_entropy=False)


@settings(deadline=None, max_examples=60)
@given(st.one_of(CHANGES, JSON))
def test_anything_else_is_left_to_a_node(change: Any) -> None:
    check_reserved(change)


def _cleaned(message: str, **how: Any) -> str:
    arguments: dict[str, Any] = {"uid": "books", "physical_uid": "books__3", "hidden": (), **how}
    body = clean_error(json.dumps({"message": message, "code": "c"}).encode(), **arguments)
    found = json.loads(body)
    assert found["code"] == "c"
    return str(found["message"])


def test_index_names_are_mapped_back_where_they_are_quoted() -> None:
    assert _cleaned("Inside `.queries[0]`: Index `books__3` not found.") == (
        "Inside `.queries[0]`: Index `books` not found."
    )
    assert _cleaned("a books__3 and `books__31`") == "a books__3 and `books__31`"


def test_rules_are_counted_from_the_clients_first() -> None:
    text = "enable it in rule #4 or before rule #2\n - `.filterableAttributes[3].features` `.rankingRules[7]`"
    assert _cleaned(text, added_rules=2) == (
        "enable it in rule #2 or before rule #0\n - `.filterableAttributes[1].features` `.rankingRules[7]`"
    )
    assert "[3]" in _cleaned(text, added_rules=2, shifted=0)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"message":5}', b'{"message":"fine"}', b'{ "a": 1 }'])
def test_other_bodies_pass_as_they_are(body: bytes) -> None:
    assert clean_error(body, uid="a", physical_uid="b", hidden=()) is body
