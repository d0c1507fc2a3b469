"""Stamps out of error texts. Texts as Meilisearch 1.21.0 wrote them, for an index with our rule and without it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.stamps import STAMP_FIELDS, strip_text

_EACH = "`_miroir_expires_at`, `_miroir_placed_at`, `_miroir_seq`, `_miroir_shard`, `_miroir_updated_at`"
_ALL = _EACH.replace("`, `", ", ")
_NOTHING = "This index does not have configured filterable attributes."
_NOT = "Attribute `x` is not filterable"
_DISTINCT = "cannot be used as distinct attribute"
_NAMES = st.sets(st.text("abcxyz0_.-*", min_size=1, max_size=6), max_size=4)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        # filter: every name in quotes of its own, the filter and the place in it behind
        (
            f"Index `i`: {_NOT}. Available filterable attribute patterns are: {_EACH}.\n1:4 x = 1",
            f"Index `i`: {_NOT}. {_NOTHING}\n1:4 x = 1",
        ),
        (
            f"Attribute `x` is not filterable. Available filterable attribute patterns are: {_EACH}, `a`.\n1:4 x = 1",
            "Attribute `x` is not filterable. Available filterable attribute patterns are: `a`.\n1:4 x = 1",
        ),
        (
            f"Available filterable attribute patterns are: {_EACH}, `a`, `p_*`.\n1:4 x = 1",
            "Available filterable attribute patterns are: `a`, `p_*`.\n1:4 x = 1",
        ),
        # facets and distinct: all names in one pair of quotes
        (
            f"Invalid facet distribution: {_NOT}. Available filterable attributes patterns are: {_ALL}.",
            f"Invalid facet distribution: {_NOT}. {_NOTHING}",
        ),
        (
            f"{_NOT} and thus, {_DISTINCT}. Available filterable attributes patterns are: {_ALL[:-1]}, a, b`.",
            f"{_NOT} and thus, {_DISTINCT}. Available filterable attributes patterns are: `a, b`.",
        ),
        # facet search: more text behind
        (
            f"Available facet-searchable attributes patterns are: {_ALL}. To make it facet-searchable add it to ...",
            _NOTHING.replace("filterable", "facet-searchable") + " To make it facet-searchable add it to ...",
        ),
        # sort: nothing of ours in it, dots in names
        ("Available sortable attributes are: `a.b, c`.",) * 2,
        ("This index does not have configured sortable attributes.",) * 2,
    ],
)
def test_texts_of_a_node(said: str, shown: str) -> None:
    assert strip_text(said) == shown


def test_what_only_we_made_filterable_is_hidden_too() -> None:
    said = f"Available filterable attribute patterns are: {_EACH}, `genre`, `id`.\n1:5 x = 1"
    assert strip_text(said, {"id"}) == "Available filterable attribute patterns are: `genre`.\n1:5 x = 1"
    assert strip_text(said, {"id", "genre"}) == "This index does not have configured filterable attributes.\n1:5 x = 1"
    said = "Available filterable attributes patterns are: `_miroir_seq, genre, id`."
    assert strip_text(said, ["id"]) == "Available filterable attributes patterns are: `genre`."


@settings(deadline=None)
@given(_NAMES, _NAMES, st.sets(st.sampled_from(STAMP_FIELDS)), st.booleans())
def test_any_list_is_the_list_without_us(own: set[str], hidden: set[str], stamps: set[str], each_quoted: bool) -> None:
    def text(names: set[str]) -> str:
        if not names:
            return "This index does not have configured filterable attributes. And more."
        listed = ("`, `" if each_quoted else ", ").join(sorted(names))
        return f"Available filterable attributes patterns are: `{listed}`. And more."

    assert strip_text(text(own | hidden | stamps), hidden) == text(own - hidden)


@settings(deadline=None)
@given(st.text())
def test_other_texts_pass(text: str) -> None:
    assert strip_text(text) == text
