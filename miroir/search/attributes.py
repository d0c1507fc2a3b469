"""Which attributes a request may name: the client's filterable rules, and the refusals a node gives in their place.

Nodes carry rules of ours, so a node would accept a filter, facet or distinct on an attribute that the client never made
filterable. Such a request is refused here, in a node's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from miroir.errors import ApiError, node_error
from miroir.indexes.view import IndexView
from miroir.stamps import STAMP_FIELDS

_STAMPS: Final = frozenset(STAMP_FIELDS)

# One token of a filter: a quoted text, a bracket or comma, an operator, or a bare word.
_TOKEN: Final = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[()\[\],]|!=|>=|<=|[=<>!]|[^\s()\[\],=<>!'"]+""", re.DOTALL
)


def _matches(pattern: str, name: str) -> bool:
    """Meilisearch's attribute patterns: one `*` at either end or both; a parent stands for its children."""
    if pattern == "*":
        return True
    starts, ends = pattern.endswith("*"), pattern.startswith("*")
    bare = pattern.strip("*")
    if starts and ends:
        return bare in name
    if starts:
        return name.startswith(bare)
    if ends:
        return name.endswith(bare)
    return name == pattern or name.startswith(pattern + ".")


def _patterns(rule: object) -> Sequence[str]:
    if isinstance(rule, str):
        return (rule,)
    if isinstance(rule, Mapping):
        listed = rule.get("attributePatterns") or ()
        return [pattern for pattern in listed if isinstance(pattern, str)]
    return ()


def _filters(rule: object) -> bool:
    """Whether the rule lets its attributes be filtered: a plain name does, a rule object unless it says no."""
    if not isinstance(rule, Mapping):
        return True
    features = rule.get("features") or {}
    allowed = (features.get("filter") if isinstance(features, Mapping) else None) or {}
    return bool(allowed.get("equality", True)) or bool(allowed.get("comparison", False))


def client_rule(name: str, index: IndexView) -> tuple[int, bool] | None:
    """The first of the client's rules that matches `name`: its number from 1, and whether it lets it be filtered."""
    for number, rule in enumerate(index.filterable, 1):
        if any(_matches(pattern, name) for pattern in _patterns(rule)):
            return number, _filters(rule)
    return None


def is_injected(name: str, index: IndexView) -> bool:
    """Whether `name` can be filtered on the nodes only because of our rules."""
    root = name.split(".", 1)[0]
    if name in index.hidden_filterable or root in index.hidden_filterable:
        return True
    if name not in _STAMPS:
        return False
    rule = client_rule(name, index)
    return rule is None or not rule[1]


def filter_attributes(text: str) -> Iterator[tuple[str, int]]:
    """The attributes that a filter expression compares, each with its place in the text.

    Not a parser: what is no filter is the nodes' to refuse, and yields whatever stands where an attribute would.
    """
    wanted, listed = True, 0
    tokens = list(_TOKEN.finditer(text))
    for at, match in enumerate(tokens):
        word = match.group()
        if word == "[":
            listed += 1
        elif word == "]":
            listed = max(0, listed - 1)
        elif listed or word in ("(", ")"):
            continue
        elif word in ("AND", "OR"):
            wanted = True
        elif wanted and word != "NOT":
            wanted = False
            if word[0] in "'\"":
                yield word[1:-1], match.start() + 1
            elif at + 1 == len(tokens) or tokens[at + 1].group() != "(":  # `_geoRadius(...)` names no attribute
                yield word, match.start()


def _available(index: IndexView, joint: str, kind: str) -> str:
    names = sorted({p for rule in index.filterable if _filters(rule) for p in _patterns(rule)})
    if not names:
        return "This index does not have configured filterable attributes."
    return f"Available filterable {kind} patterns are: `{joint.join(names)}`."


def _filter_refusal(name: str, text: str, at: int, index: IndexView) -> ApiError:
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return node_error(
        400,
        "invalid_search_filter",
        f"Index `{index.uid}`: Attribute `{name}` is not filterable. "
        f"{_available(index, '`, `', 'attribute')}\n{column}:{column + len(name)} {text}",
    )


def _distinct_refusal(name: str, index: IndexView) -> ApiError:
    rule = client_rule(name, index)
    if rule is None:
        why = _available(index, ", ", "attributes")
    else:
        why = (
            f"Note: this attribute matches rule #{rule[0]} in filterableAttributes, but this rule does not enable "
            f"filtering.\nHint: enable filtering in rule #{rule[0]} by adding appropriate filter features.\n"
            f"Hint: prepend another rule matching {name} with filter features before rule #{rule[0]}"
        )
    return node_error(
        400,
        "invalid_search_distinct",
        f"Index `{index.uid}`: Attribute `{name}` is not filterable and thus, cannot be used as distinct attribute. "
        f"{why}",
    )


def _facets_refusal(name: str, index: IndexView) -> ApiError:
    rule = client_rule(name, index)
    if rule is None:
        why = f"is not filterable. {_available(index, ', ', 'attributes')}"
    else:
        why = (
            f"matched rule #{rule[0]} in filterableAttributes, but this rule does not enable filtering.\n"
            f"Hint: enable filtering in rule #{rule[0]} by modifying the features.filter object\n"
            f"Hint: prepend another rule matching `{name}` with appropriate filter features before rule #{rule[0]}"
        )
    return node_error(400, "invalid_search_facets", f"Invalid facet distribution: Attribute `{name}` {why}")


def _expressions(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _expressions(item)


def refuse_injected(body: Mapping[str, Any], index: IndexView) -> None:
    """Raise the `ApiError` of a node for a filter, distinct or facet on an attribute that only we made filterable."""
    guarded = _STAMPS | index.hidden_filterable
    for text in _expressions(body.get("filter")):
        if any(name in text for name in guarded):
            for name, at in filter_attributes(text):
                if is_injected(name, index):
                    raise _filter_refusal(name, text, at, index)
    distinct = body.get("distinct")
    if isinstance(distinct, str) and is_injected(distinct, index):
        raise _distinct_refusal(distinct, index)
    facets = body.get("facets")
    if isinstance(facets, list) and "*" not in facets:
        for name in facets:
            if isinstance(name, str) and is_injected(name, index):
                raise _facets_refusal(name, index)
