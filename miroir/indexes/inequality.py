"""`attribute != value` in filters, pure: where it stands, and the same in words that every node takes alike.

As long as no document of an index ever had the attribute, a node finds nothing by `attribute != value`. From the first
one on it finds all without that value, those without the attribute among them. So of several nodes with parts of an
index some may find theirs and others nothing, where one node with all of it would find everything. By `attribute NOT IN
[value]` a node finds the same whether it knows the attribute or not. That is what nodes are asked where the index as a
whole knows the attribute; where it does not, `!=` finds nothing on any of them, as it should.

This is no parser (the grammar is that of Meilisearch's crate `filter-parser`). What is no filter does not become one: a
list of one value may stand wherever an operator and a value may, and is taken for as deep as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from miroir.indexes.filterable import QUOTES, filter_texts, filter_tokens

_SIGN: Final = "!="
_JOINS: Final = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, slots=True)
class Known:
    """What the nodes of an index have said of some attributes, and of a filter that names them."""

    names: frozenset[str]
    """Those that one of them knows."""
    is_complete: bool = True
    """Every shard had a say."""
    is_refused: bool = False
    """They do not take the filter."""


def has_inequality(filter: object) -> bool:
    """Whether a filter has the letters `!=` in it anywhere. A quick look: most have not."""
    if isinstance(filter, str):
        return _SIGN in filter
    if not isinstance(filter, list):
        return False
    for item in filter:
        for text in item if isinstance(item, list) else (item,):
            if isinstance(text, str) and _SIGN in text:
                return True
    return False


def unequal_attributes(filter: object) -> frozenset[str]:
    """The attributes that a filter compares by `!=`, in a text or in texts in arrays.

    But for those whose name is written with a backslash: what such a name is only a node knows.
    """
    if not has_inequality(filter):
        return frozenset()
    return frozenset(name for text in filter_texts(filter) for name, _, _ in _inequalities(text))


def told_by_list(filter: Any, attributes: Collection[str]) -> Any:
    """The filter with `attribute NOT IN [value]` for every `attribute != value` of these attributes."""
    if isinstance(filter, list):
        return [told_by_list(item, attributes) for item in filter]
    return _text_by_list(filter, attributes) if isinstance(filter, str) else filter


def _text_by_list(text: str, attributes: Collection[str]) -> str:
    parts, end = [], 0
    for name, sign, value in _inequalities(text):
        if name in attributes:
            parts += [text[end : sign.start()], " NOT IN [", text[sign.end() : value.end()], "]"]
            end = value.end()
    return "".join([*parts, text[end:]])


def _inequalities(text: str) -> Iterator[tuple[str, re.Match[str], re.Match[str]]]:
    """The attribute, the sign and the value of each `!=` of an expression."""
    if _SIGN not in text:
        return
    tokens = filter_tokens(text)
    words = [token.group() for token in tokens]
    brackets: list[bool] = []  # of each that is open: whether what stands in it is an expression
    for at, word in enumerate(words):
        if word in ("(", "["):
            is_expression = word == "(" and not (at and _is_bare(words[at - 1]))
            brackets.append(is_expression and all(brackets[-1:]))
        elif word in (")", "]"):
            del brackets[-1:]
        elif word == _SIGN and 0 < at < len(words) - 1 and all(brackets[-1:]):
            before = words[at - 2] if at > 1 else "("
            name, value = _name(words[at - 1]), words[at + 1]
            if name is not None and (before == "(" or before in _JOINS) and (value[0] in QUOTES or _is_bare(value)):
                yield name, tokens[at], tokens[at + 1]


def _is_bare(word: str) -> bool:
    """Whether it is a word that names something, such as the function in `_geoRadius(...)`."""
    return word not in _JOINS and word[0] not in "()[],=<>!'\""


def _name(word: str) -> str | None:
    """The attribute that a word stands for; None if it is none, or cannot be told."""
    if word[0] in QUOTES:
        return None if "\\" in word else word[1:-1]
    return word if _is_bare(word) else None
