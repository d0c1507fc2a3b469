"""Settings: what the client sees of its wish, what every node gets for it, and what a node will show afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from miroir.indexes.canonical import canonical, fingerprint
from miroir.indexes.defaults import CHAT_DEFAULTS, DEFAULTS, EXPERIMENTAL, SETTINGS
from miroir.indexes.embedders import node_embedders, node_template, shown_embedders
from miroir.indexes.reserved import check_reserved
from miroir.indexes.settings_errors import clean_error, clean_error_of, clean_message
from miroir.indexes.settings_rules import node_rules
from miroir.indexes.view import IndexView
from miroir.indexes.wish import Wish, apply_change, reset_all, reset_one
from miroir.indexes.words import exact_word, stop_word
from miroir.stamps import SEQ_FIELD

__all__ = [
    "DEFAULTS",
    "EXPERIMENTAL",
    "SETTINGS",
    "Wish",
    "apply_change",
    "canonical",
    "check_reserved",
    "clean_error",
    "clean_error_of",
    "clean_message",
    "expected_on_node",
    "fingerprint",
    "node_settings",
    "reset_all",
    "reset_one",
    "shown",
    "view",
]

TIE_RULE: Final = f"{SEQ_FIELD}:asc"
"""Our ranking rule, the last of all: ties in insertion order."""

NODE_FACET_VALUES: Final = 1000
"""What a node returns of a facet at least, so that the merged first hundred are the right ones."""


def shown(wish: Wish, *, experimental: tuple[str, ...] = ()) -> dict[str, Any]:
    """`GET /indexes/{uid}/settings` for this wish, members in a node's order, defaults filled in.

    `experimental`: which of `chat` and `vectorStore` the nodes' experimental features let be seen.
    """
    return _shown(wish, experimental, on_node=False)


def expected_on_node(
    wish: Wish,
    *,
    primary_key: str | None,
    exact_ties: bool,
    anti_entropy: bool,
    expiry: bool = False,
    experimental: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What `GET settings` of a node shows once `node_settings` was applied: what drift checks compare with."""
    settings = _shown(wish, experimental, on_node=True)
    settings["displayedAttributes"] = ["*"]
    rules = node_rules(_list(settings["filterableAttributes"]), primary_key, anti_entropy=anti_entropy, expiry=expiry)
    settings["filterableAttributes"] = rules.rules
    settings["sortableAttributes"] = sorted({*_texts(settings["sortableAttributes"]), SEQ_FIELD})  # to list in order
    if exact_ties:
        settings["rankingRules"] = [*_list(settings["rankingRules"]), TIE_RULE]
    faceting = settings["faceting"]
    faceting["maxValuesPerFacet"] = max(_count(faceting["maxValuesPerFacet"]), NODE_FACET_VALUES)
    return settings


def node_settings(
    wish: Wish,
    *,
    primary_key: str | None,
    exact_ties: bool,
    anti_entropy: bool,
    expiry: bool = False,
    node: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The one PATCH that makes a node's settings those of the wish, with our additions. Sent twice it changes nothing.

    Everything the wish names is stated, a reset as the default in so many words: never DELETE, and null only where no
    value says the same (`distinctAttribute`, `searchCutoffMs`, `localizedAttributes`, `chat`, `vectorStore`, embedders
    and their parameters). Ours is in it whatever the wish names. What no node would take goes as it came, to be
    refused there.

    `node` is what the node shows now: `expected_on_node` of the wish before this change when a change is sent, or its
    real settings when a drifted one is repaired. What it has beyond the wish is then undone too; without it embedders
    cannot lose parameters.
    """
    expected = expected_on_node(
        wish, primary_key=primary_key, exact_ties=exact_ties, anti_entropy=anti_entropy, expiry=expiry
    )
    patch: dict[str, Any] = {name: _stated(name, value) for name, value in wish.items()}
    there: Mapping[str, Any] = {} if node is None else node
    drifted = (name for name, value in expected.items() if there.get(name, value) != value)
    patch |= {name: expected[name] for name in drifted if _is_well_formed(name, wish.get(name))}
    if ("embedders" in wish or there.get("embedders")) and _is_well_formed("embedders", wish.get("embedders")):
        patch["embedders"] = node_embedders(wish.get("embedders"), there.get("embedders"))
    return patch | _ours(wish, expected, patch.get("faceting"))


def _ours(wish: Wish, expected: Mapping[str, Any], faceting: object) -> dict[str, Any]:
    """The members that carry our additions. A value of the wrong type goes as it came, for it could hold none."""
    ours: dict[str, Any] = {
        name: expected[name] if _is_well_formed(name, wish.get(name)) else wish[name]
        for name in ("displayedAttributes", "filterableAttributes", "sortableAttributes", "rankingRules")
    }
    if not _is_well_formed("faceting", wish.get("faceting")):
        return ours
    stated: dict[str, Any] = dict(faceting) if isinstance(faceting, Mapping) else {}
    limit = stated.get("maxValuesPerFacet")
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        stated["maxValuesPerFacet"] = max(limit or 0, NODE_FACET_VALUES)
    return {**ours, "faceting": stated}


def _is_well_formed(name: str, value: Any) -> bool:
    if value is None:
        return True
    if name in ("displayedAttributes", "sortableAttributes"):
        return isinstance(value, list) and all(isinstance(member, str) for member in value)
    return isinstance(value, type(DEFAULTS[name])) if isinstance(DEFAULTS[name], list | dict) else True


def _stated(name: str, value: Any) -> Any:
    """A setting of the wish as a node is told it."""
    if name == "chat":
        return _stated_chat(value)
    if name not in DEFAULTS or name == "embedders":
        return value
    return _members_stated(DEFAULTS[name], value)


def _members_stated(default: Any, value: Any) -> Any:
    """Resets as defaults; of an object the members it names, so that a node judges them beside its own others."""
    if value is None:
        return _copied(default)
    if isinstance(default, Mapping) and default and isinstance(value, Mapping):
        return {name: _members_stated(default.get(name), member) for name, member in value.items()}
    return value


def _stated_chat(value: Any) -> Any:
    """With its feature off a node takes null alone, so null it is that resets."""
    if not isinstance(value, Mapping):
        return value
    return {**value, "documentTemplate": node_template(value.get("documentTemplate"))}


def _shown(wish: Wish, experimental: tuple[str, ...], *, on_node: bool) -> dict[str, Any]:
    settings = {name: _filled(default, wish.get(name)) for name, default in DEFAULTS.items()}
    settings["embedders"] = shown_embedders(wish.get("embedders"), on_node=on_node)
    settings["faceting"]["sortFacetValuesBy"] = _facet_orders(wish)
    settings["stopWords"] = _spelled(settings["stopWords"], stop_word)
    typos = settings["typoTolerance"]
    typos["disableOnWords"] = _spelled(typos["disableOnWords"], exact_word)
    if "chat" in experimental:
        chat = _filled(CHAT_DEFAULTS, wish.get("chat"))
        if isinstance(chat["searchParameters"], dict):
            chat["searchParameters"] = _given(chat["searchParameters"])
        if on_node and wish.get("chat") is not None:
            chat["documentTemplate"] = node_template(chat["documentTemplate"])
        settings["chat"] = chat
    settings |= {name: wish.get(name) for name in EXPERIMENTAL if name in experimental and name != "chat"}
    return settings


def _filled(default: Any, value: Any) -> Any:
    """A value in place of its default; objects member by member, in the default's order. Nothing is shared."""
    if isinstance(default, Mapping) and default:
        given = value if isinstance(value, Mapping) else {}
        return {name: _filled(member, given.get(name)) for name, member in default.items()}
    return _copied(default if value is None else value)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


def _spelled(words: Any, spelling: Callable[[str], str]) -> Any:
    return sorted({spelling(word) for word in _texts(words)}) if isinstance(words, list) else words


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _facet_orders(wish: Wish) -> dict[str, Any]:
    faceting = wish.get("faceting")
    orders = faceting.get("sortFacetValuesBy") if isinstance(faceting, Mapping) else None
    return dict(orders) if isinstance(orders, Mapping) else {"*": "alpha"}


def view(
    uid: str,
    physical_uid: str,
    primary_key: str | None,
    shards: int,
    settings_version: int,
    wish: Wish,
    *,
    exact_ties: bool,
) -> IndexView:
    """The digest of an index that reads and writes work with. A wish that no node would take reads as its defaults."""
    settings = shown(wish)
    displayed = settings["displayedAttributes"]
    filterable = [rule for rule in _list(settings["filterableAttributes"]) if isinstance(rule, str | Mapping)]
    distinct = settings["distinctAttribute"]
    orders = settings["faceting"]["sortFacetValuesBy"]
    # Which stamps there are makes no difference to what is hidden from the client.
    rules = node_rules(filterable, primary_key, anti_entropy=True)
    return IndexView(
        uid=uid,
        physical_uid=physical_uid,
        primary_key=primary_key,
        shards=shards,
        settings_version=settings_version,
        displayed=None if displayed == ["*"] or not isinstance(displayed, list) else tuple(_texts(displayed)),
        ranking_rules=tuple(_texts(settings["rankingRules"])),
        sortable=tuple(_texts(settings["sortableAttributes"])),
        filterable=tuple(filterable),
        hidden_filterable=rules.hidden,
        distinct=distinct if isinstance(distinct, str) else None,
        max_total_hits=_count(settings["pagination"]["maxTotalHits"]),
        max_values_per_facet=_count(settings["faceting"]["maxValuesPerFacet"]),
        sort_facet_values_by=tuple((name, order) for name, order in orders.items() if isinstance(order, str)),
        embedders=frozenset(settings["embedders"]),
        dimensions={
            name: embedder["dimensions"]
            for name, embedder in settings["embedders"].items()
            if _count(embedder.get("dimensions"))
        },
        exact_ties=exact_ties,
        added_rules=rules.added,
        unlisted=rules.unlisted,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [member for member in _list(value) if isinstance(member, str)]


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
