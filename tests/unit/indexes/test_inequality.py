"""`!=` in filters: where it is found, and that nothing else changes by telling it otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.indexes.filterable import filter_tokens
from miroir.indexes.inequality import has_inequality, told_by_list, unequal_attributes
from tests.unit.indexes.filter_grammar import NoFilter, read

NAMES = ["a", "o.x", "été", "_geo", "x-1", "7"]
VALUES = [*NAMES, "'!='", '"b != c"', "'it\\'s'", '"\\\\"', "'a != \"b'", "''", "-3.5"]


def names() -> st.SearchStrategy[str]:
    return st.sampled_from([*NAMES, "'a'", '"o.x"', "'two words'", "'NOT'", '"!="'])


blanks = st.text(alphabet=" \t\n", max_size=2)
some_blanks = st.text(alphabet=" \t\n", min_size=1, max_size=2)
conditions = st.one_of(
    st.builds("{1}{0}{2}!={3}{4}".format, blanks, names(), blanks, blanks, st.sampled_from(VALUES)),
    st.builds("{0} {1} {2}".format, names(), st.sampled_from(["=", "!=", "<", ">="]), st.sampled_from(VALUES)),
    st.builds("{0} {1}IN [{2}, {3},]".format, names(), st.sampled_from(["", "NOT "]), *[st.sampled_from(VALUES)] * 2),
    st.builds("{0} {1}EXISTS".format, names(), st.sampled_from(["", "NOT "])),
    st.just("_geoRadius(1, 2,3)"),
)
expressions: st.SearchStrategy[str] = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds("{1}{0}AND{2}{3}".format, some_blanks, inner, some_blanks, inner),
        st.builds("{1}{0}OR{2}{3}".format, some_blanks, inner, some_blanks, inner),
        st.builds("NOT{0}{1}".format, some_blanks, inner),
        st.builds("({0}{1}{2})".format, blanks, inner, blanks),
        st.builds("NOT({0})".format, inner),
    ),
    max_leaves=6,
)
soup = st.lists(
    st.sampled_from(
        [*VALUES, *"()[],=<>!'\" ", "!=", "!=", "AND", "OR", "NOT", "IN", "EXISTS", "_geoRadius(", "\u00a0"]
    ),
    max_size=12,
)


def said(text: str) -> Any:
    try:
        return read(text)
    except NoFilter:
        return None


def told(filter: Any) -> Any:
    return told_by_list(filter, unequal_attributes(filter))


@given(expressions)
def test_a_filter_says_the_same_and_no_sign_is_left(text: str) -> None:
    meant = said(text)
    assert meant is not None
    assert said(told(text)) == meant
    assert "!=" not in re.sub(r"""'(?:\\.|[^'])*'|"(?:\\.|[^"])*\"""", "", told(text))


@given(soup.map("".join) | soup.map(" ".join))
def test_what_is_no_filter_does_not_become_one(text: str) -> None:
    assert said(told(text)) == said(text)


@given(expressions, expressions)
def test_only_the_attributes_named_are_told_otherwise(one: str, other: str) -> None:
    text = f"({one}) AND ({other})"
    for name in unequal_attributes(text):
        assert unequal_attributes(told_by_list(text, [name])) == unequal_attributes(text) - {name}
    assert told_by_list(text, ["nobody"]) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a != v", "a  NOT IN [ v]"),
        ("a!=v", "a NOT IN [v]"),
        ("b = 1 AND a != v", "b = 1 AND a  NOT IN [ v]"),
        ("NOT a != v", "NOT a  NOT IN [ v]"),
        ("NOT(a!=v)", "NOT(a NOT IN [v])"),
        ("b=1 OR(a!=v)", "b=1 OR(a NOT IN [v])"),
        ("'b'=1 AND'a'!='v'AND c=1", "'b'=1 AND'a' NOT IN ['v']AND c=1"),
        ("b = 1 AND\u00a0a !=\u00a0v", "b = 1 AND\u00a0a  NOT IN [\u00a0v]"),
        ("_geoRadius(1, 2, 3) AND a != v", "_geoRadius(1, 2, 3) AND a  NOT IN [ v]"),
        ("a IN [b, c] OR \"a b\" != 'c != d'", "a IN [b, c] OR \"a b\"  NOT IN [ 'c != d']"),
        ("b IN [']', \"[\", c] AND a != v AND d IN []", "b IN [']', \"[\", c] AND a  NOT IN [ v] AND d IN []"),
        (["a != v", ["b = 1", "a!=1"], 3], ["a  NOT IN [ v]", ["b = 1", "a NOT IN [1]"], 3]),
    ],
)
def test_how_it_is_told(text: Any, wanted: Any) -> None:
    assert told(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a = '!='", '"a != b" = c', "!= v", "a ! = v", "a b != v", "NOT != v", "a = b != c", "a != 'v",
        "a !=", "(a != )", "a != (b)", "'a != v",
        "_other(x, a != v)", "_other(x, (a != v))", "a IN [b != c]", "'a\\'s' != v", "\"a\\\\b\" != v", "AND != v",
    ],
)  # fmt: skip
def test_what_is_left_as_it_is(text: str) -> None:
    assert told(text) == text


def test_a_quote_that_is_never_closed_is_followed_once() -> None:
    """Followed from every quote behind it, a text of this length would take minutes."""
    assert told("'" + "\\'" * 200_000 + " != v").startswith("'")
    assert told("a != '" + "\\'" * 200_000).startswith("a != ")


def test_a_list_of_values_is_one_token() -> None:
    """However long: taken apart, 100,000 ids were half a second of the loop."""
    listed = "[" + ", ".join(f"'k{number}'" for number in range(1000)) + "]"
    assert [token.group() for token in filter_tokens(f"a IN {listed}")] == ["a", "IN", listed]


@pytest.mark.parametrize("filter", [None, 3, {"a": "a != b"}, [], [[]], [3, ["a = b"]], ["a = b", [["a != b"]]]])
def test_a_quick_look_finds_none_where_no_filter_has_one(filter: Any) -> None:
    assert not has_inequality(filter)
    assert not unequal_attributes(filter)
    assert told(filter) == filter


@pytest.mark.parametrize("filter", ["a != b", ["a = 1", "a!=b"], [["a = 1"], ["b = 1", "'!=' = 3"]]])
def test_a_quick_look_finds_the_letters(filter: Any) -> None:
    assert has_inequality(filter)
