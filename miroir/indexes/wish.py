"""The wish: what a client asked of an index's settings so far, as one JSON value that changes are merged into.

A setting is in the wish from the first time a client names it; None then says "the default again", so that every node
can be told so in so many words. Values stand as a node gives them back: sets sorted, rules written out, locales in
three letters. Words alone stay as written, for only a node spells them. What no node would take (a wrong type, an
unknown member) is kept as it came, so that the first node asked refuses it in its own words; nothing here judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard

from miroir.indexes.defaults import LOCALES, SETTINGS
from miroir.indexes.embedders import merge_embedders
from miroir.indexes.settings_rules import normal_rule

Wish = Mapping[str, Any]


def apply_change(wish: Wish, change: object) -> dict[str, Any]:
    """The wish that a `PATCH /settings` leaves. Null resets, objects merge as a node merges them, lists replace.

    A change that is no object leaves the wish as it is: that much the caller has refused already.
    """
    merged = dict(wish)
    if not isinstance(change, Mapping):
        return merged
    for name, value in change.items():
        if name == "embedders":
            merged[name] = merge_embedders(merged.get(name), value)
        elif value is None or name not in _MERGES:
            merged[name] = value
        else:
            # What was reset as a whole is a list of members that were.
            was_reset = name in merged and merged[name] is None
            merged[name] = _MERGES[name](_RESET if was_reset else merged.get(name), value)
    known = {name: merged[name] for name in SETTINGS if name in merged}
    return known | merged


def reset_all(wish: Wish) -> dict[str, Any]:
    """The wish that `DELETE /settings` leaves: everything it ever named as a reset, for nodes to be told."""
    return apply_change(wish, {name: None for name in SETTINGS if name in wish})


def reset_one(wish: Wish, name: str) -> dict[str, Any]:
    """The wish that `DELETE /settings/{setting}` leaves; `name` is the member's (`stopWords`)."""
    return apply_change(wish, {name: None})


Merge = Callable[[Any, Any], Any]

_RESET: Final = object()


def _scalar(_: object, new: object) -> object:
    return new


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(member, str) for member in value)


def _set(_: object, new: object) -> object:
    return sorted(set(new)) if _are_texts(new) else new


def _ordered_set(_: object, new: object) -> object:
    """Searchable and displayed attributes: a star among them means all of them."""
    if not _are_texts(new):
        return new
    return ["*"] if "*" in new else list(dict.fromkeys(new))


def _rules(_: object, new: object) -> object:
    return [normal_rule(rule) for rule in new] if isinstance(new, list) else new


def _sorted(_: object, new: object) -> object:
    return dict(sorted(new.items())) if isinstance(new, Mapping) else new


def _localized(_: object, new: object) -> object:
    return [_localized_rule(rule) for rule in new] if isinstance(new, list) else new


def _localized_rule(rule: object) -> object:
    if not isinstance(rule, Mapping) or set(rule) != {"attributePatterns", "locales"}:
        return rule
    patterns, locales = rule["attributePatterns"], rule["locales"]
    known = [LOCALES.get(locale, locale) for locale in locales] if _are_texts(locales) else locales
    return {"attributePatterns": patterns, "locales": known}


def _members(merges: Mapping[str, Merge]) -> Merge:
    """An object whose members change one by one; None in place of one: reset, like a whole setting."""

    def merge(old: object, new: object) -> object:
        if not isinstance(new, Mapping):
            return new
        merged: dict[str, Any] = dict.fromkeys(merges) if old is _RESET else {}
        if isinstance(old, Mapping):
            merged.update(old)
        for name, value in new.items():
            was_reset = old is _RESET or (name in merged and merged[name] is None)
            merge_member = merges.get(name, _scalar)
            if value is None:
                merged[name] = None
            else:
                merged[name] = merge_member(_RESET if was_reset else merged.get(name), value)
        return {name: merged[name] for name in merges if name in merged} | merged

    return merge


def _facet_orders(_: object, new: object) -> object:
    """Replaced whole; `*` always has an order."""
    return dict(sorted({"*": "alpha", **new}.items())) if isinstance(new, Mapping) else new


def _hybrid(_: object, new: object) -> object:
    return {"semanticRatio": 0.5, **new} if isinstance(new, Mapping) else new


_CHAT_SEARCH: Final = _members(
    {
        "hybrid": _hybrid,
        "limit": _scalar,
        "sort": _scalar,
        "distinct": _scalar,
        "matchingStrategy": _scalar,
        "attributesToSearchOn": _scalar,
        "rankingScoreThreshold": _scalar,
    }
)

_MERGES: Final[Mapping[str, Merge]] = {
    "displayedAttributes": _ordered_set,
    "searchableAttributes": _ordered_set,
    "filterableAttributes": _rules,
    "sortableAttributes": _set,
    "rankingRules": _scalar,
    "stopWords": _set,
    "nonSeparatorTokens": _set,
    "separatorTokens": _set,
    "dictionary": _set,
    "synonyms": _sorted,
    "distinctAttribute": _scalar,
    "proximityPrecision": _scalar,
    "typoTolerance": _members(
        {
            "enabled": _scalar,
            "minWordSizeForTypos": _members({"oneTypo": _scalar, "twoTypos": _scalar}),
            "disableOnWords": _set,
            "disableOnAttributes": _set,
            "disableOnNumbers": _scalar,
        }
    ),
    "faceting": _members({"maxValuesPerFacet": _scalar, "sortFacetValuesBy": _facet_orders}),
    "pagination": _members({"maxTotalHits": _scalar}),
    "searchCutoffMs": _scalar,
    "localizedAttributes": _localized,
    "facetSearch": _scalar,
    "prefixSearch": _scalar,
    "chat": _members(
        {
            "description": _scalar,
            "documentTemplate": _scalar,
            "documentTemplateMaxBytes": _scalar,
            "searchParameters": _CHAT_SEARCH,
        }
    ),
    "vectorStore": _scalar,
}
