"""Which attributes a filter may name: the client's filterable rules, and what a node says about the others.

Nodes carry rules of ours, so a node would accept a filter on an attribute that the client never made filterable. Such a
filter is refused by us, in a node's words; under which code, and whether at once or as a task, is the caller's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from miroir.indexes.settings_rules import Features, Rule, features_of, matches, patterns_of
from miroir.indexes.view import IndexView
from miroir.stamps import STAMP_FIELDS

HIDDEN: Final = "<..hidden-attributes>"
"""What stands in a list of a node's for names that are not displayed."""

_STAMPS: Final = frozenset(STAMP_FIELDS)

QUOTES: Final = frozenset("'\"")

# One token of a filter: a quoted text, a list of values, a bracket or comma, an operator, a quote that is never closed,
# or a bare word. A list is taken whole: it may be of 100,000 ids, and nothing in it is compared.
_QUOTED: Final = r"""'(?:\\.|[^'\\])*+'|"(?:\\.|[^"\\])*+\""""
_TOKEN: Final = re.compile(
    rf"""{_QUOTED}|\[(?:[^'"()\[\]]++|{_QUOTED})*+\]|[()\[\],]|!=|>=|<=|[=<>!'"]|[^\s()\[\],=<>!'"]+""", re.DOTALL
)


def client_rule(name: str, index: IndexView) -> tuple[int, bool] | None:
    """The first of the client's rules that decides about `name`: its number, and whether it lets it be filtered."""
    for number, rule in enumerate(_rules(index)):
        if matches(rule, name):
            return number, features_of(rule).filterable
    return None


def is_injected(name: str, index: IndexView) -> bool:
    """Whether `name` can be filtered on the nodes only because of our rules. Stamps always are: no client has them."""
    root = name.split(".", 1)[0]
    return name in _STAMPS or name in index.hidden_filterable or root in index.hidden_filterable


def _rules(index: IndexView) -> list[Rule]:
    return [rule for rule in index.filterable if isinstance(rule, str | Mapping)]


def filter_tokens(text: str) -> list[re.Match[str]]:
    """The tokens of a filter expression, in their order; none where a quote is never closed, for that is no filter."""
    tokens = []
    for token in _TOKEN.finditer(text):
        if token.group() in QUOTES:  # at once: behind it every quote would be followed to the end of the text
            return []
        tokens.append(token)
    return tokens


def filter_attributes(text: str) -> Iterator[tuple[str, int]]:
    """The attributes that a filter expression compares, each with its place in the text.

    Not a parser: what is no filter is the nodes' to refuse, and yields whatever stands where an attribute would.
    """
    wanted, listed = True, 0
    tokens = filter_tokens(text)
    for at, match in enumerate(tokens):
        word = match.group()
        if word == "[":
            listed += 1
        elif word == "]":
            listed = max(0, listed - 1)
        elif listed or word[0] in "[()":
            continue
        elif word in ("AND", "OR"):
            wanted = True
        elif wanted and word != "NOT":
            wanted = False
            if word[0] in QUOTES:
                yield word[1:-1], match.start() + 1
            elif at + 1 == len(tokens) or tokens[at + 1].group() != "(":  # `_geoRadius(...)` names no attribute
                yield word, match.start()


def available(index: IndexView, joint: str, kind: str, *, only_displayed: bool = False) -> str:
    """What a node says can be filtered, at the end of a refusal: the client's patterns, ours left out.

    Some refusals name only what is displayed (`only_displayed`), and say that there is more.
    """
    names = _allowing(index, lambda features: features.filterable)
    if only_displayed:
        names = _displayed(names, index)
    if not names:
        return "This index does not have configured filterable attributes."
    return f"Available filterable {kind} patterns are: `{joint.join(names)}`."


def not_facet_searchable(name: str, index: IndexView) -> str | None:
    """A node's refusal of a facet search on an attribute; None where the client's rules allow it."""
    refused = f"Attribute `{name}` is not facet-searchable."
    for number, rule in enumerate(_rules(index)):
        if matches(rule, name):
            if features_of(rule).facet_search:
                return None
            return (
                f"{refused} Note: this attribute matches rule #{number} in filterableAttributes, but this rule does "
                f"not enable facetSearch.\nHint: enable facetSearch in rule #{number} by adding "
                f'`"facetSearch": true` to the rule.\nHint: prepend another rule matching {name} with facetSearch: '
                f"true before rule #{number}"
            )
    names = _displayed(_allowing(index, lambda features: features.facet_search), index)
    listed = (
        f"Available facet-searchable attributes patterns are: `{', '.join(names)}`."
        if names
        else "This index does not have configured facet-searchable attributes."
    )
    return f"{refused} {listed} To make it facet-searchable add it to the `filterableAttributes` index settings."


def _allowing(index: IndexView, allowed: Callable[[Features], bool]) -> list[str]:
    """The patterns of the client's rules that allow something, as a node sorts them."""
    return sorted({pattern for rule in _rules(index) if allowed(features_of(rule)) for pattern in patterns_of(rule)})


def _displayed(names: list[str], index: IndexView) -> list[str]:
    """Those that may be displayed, and a word for the others."""
    if index.displayed is None:
        return names
    shown = [name for name in names if name in index.displayed]
    return [*shown, HIDDEN] if shown and len(shown) < len(names) else shown


def filter_texts(value: object) -> Iterator[str]:
    """Every expression of a `filter` parameter: a text, or texts in arrays."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from filter_texts(item)


def injected_filter(filter: object, index: IndexView) -> str | None:
    """A node's text about the first attribute of a filter that only we made filterable; None if there is none."""
    guarded = _STAMPS | index.hidden_filterable
    texts = list(filter_texts(filter))
    if not any(name in text for text in texts for name in guarded):
        return None
    for text in texts:
        for name, at in filter_attributes(text):
            if is_injected(name, index):
                column = at - (text.rfind("\n", 0, at) + 1) + 1
                patterns = available(index, "`, `", "attribute")
                return f"Attribute `{name}` is not filterable. {patterns}\n{column}:{column + len(name)} {text}"
            rule = client_rule(name, index)
            if rule is None or not rule[1]:
                return None  # a node stumbles over this one first
    return None
