"""Filterable rules: which one decides about an attribute, and the ones we put in front of the client's.

A node asks its rules in order, and the first that matches an attribute decides what may be done with it. A client's
`{"attributePatterns": ["*"]}` without equality would thus forbid the filters by which we address shards and keys, so
ours come first. They change nothing else: an object's pattern without a star matches one attribute, not its children.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from miroir.stamps import EXPIRES_FIELD, PLACED_FIELD, SEQ_FIELD, SHARD_FIELD, UPDATED_FIELD

Rule = str | Mapping[str, Any]
"""A text, which covers an attribute and its children and allows everything, or an object of patterns and features."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a rule allows: `=`, `IN`; `<`, `TO`; facet search. Either of the first two makes an attribute filterable."""

    equality: bool
    comparison: bool
    facet_search: bool

    @property
    def filterable(self) -> bool:
        """Whether any filter may name the attribute."""
        return self.equality or self.comparison

    def as_json(self) -> dict[str, Any]:
        """The `features` member as a node shows it."""
        return {
            "facetSearch": self.facet_search,
            "filter": {"equality": self.equality, "comparison": self.comparison},
        }


@dataclass(frozen=True, slots=True)
class NodeRules:
    """What a node gets for `filterableAttributes`, and what the client must not learn of it."""

    rules: list[Any]
    added: int
    """How many of ours stand in front: error texts number rules, counting from 0."""
    hidden: frozenset[str]
    """Attributes that only we made filterable."""
    unlisted: frozenset[str]
    """Patterns in a node's lists that are ours alone, stamps not counted (a client's wider pattern may cover them)."""


_EVERYTHING: Final = Features(equality=True, comparison=True, facet_search=True)
_NOTHING: Final = Features(equality=False, comparison=False, facet_search=False)


def features_of(rule: Rule) -> Features:
    """What a rule allows; an object that leaves features out allows equality alone."""
    if isinstance(rule, str):
        return _EVERYTHING
    features = rule.get("features")
    features = features if isinstance(features, Mapping) else {}
    filters = features.get("filter")
    filters = filters if isinstance(filters, Mapping) else {}
    return Features(
        equality=filters.get("equality", True) is not False,
        comparison=filters.get("comparison", False) is True,
        facet_search=features.get("facetSearch", False) is True,
    )


def patterns_of(rule: Rule) -> list[str]:
    """The patterns of a rule, as a node lists them."""
    if isinstance(rule, str):
        return [rule]
    patterns = rule.get("attributePatterns")
    return [pattern for pattern in patterns if isinstance(pattern, str)] if isinstance(patterns, list) else []


def matches(rule: Rule, attribute: str) -> bool:
    """Whether a rule decides about an attribute (`a`, `a.b`), as a node reads it.

    A text is no pattern: `"*"` is an attribute of that name; but it covers children, as a pattern does not. A star
    counts at either end only.
    """
    if isinstance(rule, str):
        return attribute == rule or attribute.startswith(f"{rule}.")
    return any(_pattern_matches(pattern, attribute) for pattern in patterns_of(rule))


def _pattern_matches(pattern: str, attribute: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*") and pattern.endswith("*"):
        return pattern[1:-1] in attribute
    if pattern.startswith("*"):
        return attribute.endswith(pattern[1:])
    if pattern.endswith("*"):
        return attribute.startswith(pattern[:-1])
    return attribute == pattern


def first_match(rules: Sequence[Rule], attribute: str) -> Rule | None:
    """The rule that decides about an attribute; None: the attribute is not filterable."""
    return next((rule for rule in rules if matches(rule, attribute)), None)


def normal_rule(rule: object) -> Any:
    """A rule as a node shows it, the features written out; what is no rule to a node as it is."""
    if not _is_rule_object(rule):
        return rule
    return {"attributePatterns": patterns_of(rule), "features": features_of(rule).as_json()}


def _is_rule_object(rule: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(rule, Mapping) or not {"attributePatterns"} <= set(rule) <= {"attributePatterns", "features"}:
        return False
    patterns, features = rule["attributePatterns"], rule.get("features", {})
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return False
    if not isinstance(features, Mapping) or not set(features) <= {"facetSearch", "filter"}:
        return False
    filters = features.get("filter", {})
    if not isinstance(filters, Mapping) or not set(filters) <= {"equality", "comparison"}:
        return False
    return all(isinstance(flag, bool) for flag in (features.get("facetSearch", False), *filters.values()))


def stamp_fields(*, anti_entropy: bool, expiry: bool = False) -> list[str]:
    """The fields of ours that documents of an index carry in this configuration, in a document's order."""
    fields = [SHARD_FIELD, SEQ_FIELD]
    if anti_entropy:
        fields.append(UPDATED_FIELD)
    fields.append(PLACED_FIELD)
    if expiry:
        fields.append(EXPIRES_FIELD)
    return fields


def node_rules(
    wished: Sequence[Any], primary_key: str | None, *, anti_entropy: bool, expiry: bool = False
) -> NodeRules:
    """The client's rules with ours in front: one for the stamps, one for the primary key where it lacks equality.

    The primary key's keeps what the client's own first matching rule allows. While the key is not known there is
    none: the settings must be sent again when it is.
    """
    stamps = Features(equality=True, comparison=True, facet_search=False)
    ours: list[Any] = [_rule(stamp_fields(anti_entropy=anti_entropy, expiry=expiry), stamps)]
    client: list[Rule] = [rule for rule in wished if isinstance(rule, str | Mapping)]
    hidden: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    if primary_key is not None:
        decisive = first_match(client, primary_key)
        allowed = _NOTHING if decisive is None else features_of(decisive)
        if not allowed.equality:
            widened = Features(equality=True, comparison=allowed.comparison, facet_search=allowed.facet_search)
            ours.append(_rule([primary_key], widened))
            if not allowed.filterable:
                hidden = frozenset({primary_key})
            if not any(primary_key in patterns_of(rule) and features_of(rule).filterable for rule in client):
                unlisted = frozenset({primary_key})
    return NodeRules([*ours, *(normal_rule(rule) for rule in wished)], len(ours), hidden, unlisted)


def _rule(patterns: list[str], features: Features) -> dict[str, Any]:
    return {"attributePatterns": patterns, "features": features.as_json()}
