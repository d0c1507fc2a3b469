"""Settings and keys of old dumps as today's Meilisearch would import them, and what a dump's settings change here.

The rules are those by which Meilisearch 1.21 reads old dumps: what was renamed is renamed, ranking rules that do not
exist any more are left out, and a list with a star in it means everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from miroir.indexes.defaults import CHAT_DEFAULTS, DEFAULTS, EXPERIMENTAL, SETTINGS
from miroir.stamps import SEQ_FIELD, STAMP_FIELDS
from miroir.upkeep.dump_archive import BadDump

_RULES: Final = frozenset({"words", "typo", "proximity", "attribute", "sort", "exactness"})
_OLD_ORDER: Final = re.compile(r"(asc|desc)\((.+)\)")
_FIRST_NAMES: Final = ("displayedAttributes", "searchableAttributes", "rankingRules", "stopWords", "synonyms")
_FIRST_RULES: Final = frozenset({"words", "typo", "proximity", "attribute", "exactness"})
_FIRST_ORDER: Final = re.compile(r"(asc|desc)\(([\w_-]+)\)")


def change_of_settings(settings: Mapping[str, Any], version: int) -> dict[str, Any]:
    """What `PATCH /settings` has to say so that a new index gets these settings. `version`: the dump's, 1 to 6.

    `BadDump` where ranking rules are no texts.
    """
    if version <= 5 and isinstance(settings.get("rankingRules"), list):
        _texts(settings, "rankingRules")
    renamed = _from_first(settings) if version == 1 else dict(settings)
    if version <= 5 and isinstance(renamed.get("rankingRules"), list):
        renamed["rankingRules"] = [rule for old in renamed["rankingRules"] if (rule := _rule(old)) is not None]
    change = {
        name: value
        for name, value in renamed.items()
        if name in SETTINGS and value is not None and value != DEFAULTS.get(name) and not _is_unset(name, value)
    }
    if version == 6 and isinstance(change.get("embedders"), dict):
        change["embedders"] = {name: _pooled(embedder) for name, embedder in change["embedders"].items()}
    return change


def unknown_settings(settings: Mapping[str, Any], version: int) -> tuple[str, ...]:
    """The names of what is set and is no setting here; in version 1 what was one then is known."""
    known = {*SETTINGS, "attributesForFaceting"} if version == 1 else SETTINGS
    return tuple(sorted(name for name, value in settings.items() if name not in known and value is not None))


def _is_unset(name: str, value: Any) -> bool:
    """Whether an experimental setting says nothing: to name it a node's feature must be on."""
    return name in EXPERIMENTAL and value == dict(CHAT_DEFAULTS)


def _from_first(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of version 1: attributes for faceting became filterable and sortable ones."""
    change = {name: settings[name] for name in (*_FIRST_NAMES, "distinctAttribute") if name in settings}
    if isinstance(change.get("rankingRules"), list):
        change["rankingRules"] = [
            rule for rule in change["rankingRules"] if rule in _FIRST_RULES or _FIRST_ORDER.search(rule)
        ]
    facets = settings.get("attributesForFaceting")
    if isinstance(facets, list):
        change |= {"filterableAttributes": facets, "sortableAttributes": facets}
    return change


def _rule(rule: str) -> str | None:
    """A ranking rule in today's words; None for one that is none any more."""
    old = _OLD_ORDER.fullmatch(rule)
    if old is not None:
        return f"{old[2]}:{old[1]}"
    return rule if rule in _RULES or rule.endswith((":asc", ":desc")) else None


def _pooled(embedder: Any) -> Any:
    """Before 1.14 there was one way of pooling, which was not written down; today's default is another."""
    if isinstance(embedder, Mapping) and embedder.get("source") == "huggingFace" and embedder.get("pooling") is None:
        return {**embedder, "pooling": "forceMean"}
    return embedder


def are_a_nodes_own(settings: Mapping[str, Any]) -> bool:
    """Whether these are settings of an index on a node behind Miroir: our additions are among them."""
    rules = settings.get("rankingRules")
    sortable = settings.get("sortableAttributes")
    filterable = settings.get("filterableAttributes")
    named = [*(sortable if isinstance(sortable, list) else ()), *(rules if isinstance(rules, list) else ())]
    for rule in filterable if isinstance(filterable, list) else ():
        patterns = rule.get("attributePatterns") if isinstance(rule, Mapping) else None
        named += [rule] if isinstance(rule, str) else patterns if isinstance(patterns, list) else []
    return any(name in STAMP_FIELDS or name == f"{SEQ_FIELD}:asc" for name in named if isinstance(name, str))


# -- keys ------------------------------------------------------------------------------------------------------------

_DROPPED_ACTIONS: Final = frozenset({"dumps.get"})


def creation_of_key(key: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The body of `POST /keys` for a key of a dump. Keys of version 4 had no uid: they get a new one.

    `BadDump` where its actions or indexes are no texts.
    """
    body: dict[str, Any] = {
        "name": key.get("name"),
        "description": key.get("description"),
        "actions": [action for action in _texts(key, "actions") if action not in _DROPPED_ACTIONS],
        "indexes": _texts(key, "indexes"),
        "expiresAt": key.get("expires_at"),
    }
    if version > 4 and isinstance(key.get("uid"), str):
        body["uid"] = key["uid"]
    return body


def _texts(holder: Mapping[str, Any], name: str) -> list[str]:
    """The array of texts of that name; an empty one where there is none."""
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadDump(f"`{name}` in it is no array of texts")
    return value
