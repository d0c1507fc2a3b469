"""Filters that choose documents: which may go to a node beside ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.ingest.selection import is_filter, node_filter, original
from miroir.stamps import shard_filter

blank = st.text(alphabet=" \t\n\u0085\u00a0\u1680\u2003\u2028\u3000", max_size=4)
filters = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=6)


@pytest.mark.parametrize("value", ["a = 1", ["a = 1"], ["", "a = 1"], [["a = 1", ""], " "], "x"])
def test_a_filter_is_one(value: Any) -> None:
    assert is_filter(value)


@pytest.mark.parametrize("value", [None, 1, True, {"a": 1}, [1], ["a", 1], [["a", ["b"]]], [{"a": 1}], [["a"], None]])
def test_what_is_no_filter_is_left_to_a_node(value: Any) -> None:
    assert not is_filter(value)


@given(blank | st.lists(blank | st.lists(blank, max_size=2), max_size=3))
def test_what_is_blank_never_stands_beside_ours(value: Any) -> None:
    assert not is_filter(value)


@given(filters)
def test_a_node_is_told_its_shards_first(value: Any) -> None:
    asked = node_filter((1, 4), value)
    assert asked[0] == shard_filter((1, 4))
    assert asked[1:] == ([] if value is None else value if isinstance(value, list) else [value])


def test_details_show_the_filter_as_json() -> None:
    assert original(None) is None
    assert original('a = "é"') == '"a = \\"é\\""'
    assert original(["a = 1", ["b"]]) == '["a = 1",["b"]]'
