"""The details of a settings task: what the client sent, in the spelling in which a node repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from miroir.indexes.defaults import SETTINGS
from miroir.indexes.embedders import redact

_FEATURES: Final[Mapping[str, Any]] = {"facetSearch": False, "filter": {"equality": True, "comparison": False}}
_PARTS: Final = ("searchEmbedder", "indexingEmbedder")


def settings_details(change: Mapping[str, Any]) -> dict[str, Any]:
    """A change of settings as a task shows it: in a node's order, what is left out filled in, keys of others hidden."""
    return {name: _SPELLINGS.get(name, _as_sent)(change[name]) for name in SETTINGS if name in change}


def _as_sent(value: Any) -> Any:
    return value


def _set(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return sorted(set(value))
    return value


def _all_when_reset(value: Any) -> Any:
    return ["*"] if value is None else value


def _typo_tolerance(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _set(each) if name.startswith("disableOn") else each for name, each in value.items()}


def _filterable(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_rule(each) if isinstance(each, Mapping) else each for each in value]


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    features = rule.get("features") or {}
    allowed = features.get("filter") or {}
    return {**rule, "features": {**_FEATURES, **features, "filter": {**_FEATURES["filter"], **allowed}}}


def _embedders(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _embedder(each) if isinstance(each, Mapping) else each for name, each in value.items()}


def _embedder(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys to somebody else's service, those of a composite's parts neither: tasks are widely shown."""
    shown = dict(parameters)
    if isinstance(shown.get("apiKey"), str):
        shown["apiKey"] = redact(shown["apiKey"])
    for name in _PARTS:
        if isinstance(shown.get(name), Mapping):
            shown[name] = _embedder(shown[name])
    return shown


_SPELLINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "displayedAttributes": _all_when_reset,
    "searchableAttributes": _all_when_reset,
    "filterableAttributes": _filterable,
    "sortableAttributes": _set,
    "stopWords": _set,
    "nonSeparatorTokens": _set,
    "separatorTokens": _set,
    "dictionary": _set,
    "typoTolerance": _typo_tolerance,
    "embedders": _embedders,
}
