"""What a federated search asks for, and what a node says of requests that ask for it wrongly.

Only what is understood in full is taken; whatever else there is a node judges, in its own words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from miroir.errors import ApiError, node_error
from miroir.indexes import is_uid

_DEFAULT_LIMIT: Final = 20
MOST: Final = (1 << 64) - 1
"""The greatest number that a node reads."""
_PAGES: Final = ("offset", "limit", "page", "hitsPerPage")
_OPTIONS: Final = frozenset({"weight", "remote", "queryPosition"})
_MEMBERS: Final = frozenset({"limit", "offset", "facetsByIndex", "mergeFacets"})
_NETWORK: Final = (
    "{} requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805"
)
_REMOTE: Final = "Performing a remote federated search"


@dataclass(frozen=True, slots=True)
class FederatedQuery:
    """One query. `body` is a search's, without pages and facets, which the federation has to itself."""

    uid: str
    body: Mapping[str, Any]
    weight: float = 1.0
    position: int = 0
    """What `queriesPosition` says, and the place that texts name."""


@dataclass(frozen=True, slots=True)
class Federation:
    """How the queries' hits become one list."""

    limit: int = _DEFAULT_LIMIT
    offset: int = 0
    facets_by_index: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    merges_facets: bool = False
    max_values_per_facet: int | None = None
    """Of merged facets; None: all."""
    shows_values: bool = False
    """Hits say `weightedScoreValues`: the client merges them with others (`Meili-Proxy-Search`)."""

    @property
    def reach(self) -> int:
        """How many hits of every query may be in the window."""
        return min(self.offset + self.limit, MOST)


def read_federation(value: Any, *, shows_values: bool) -> Federation | None:
    """A request's `federation`; None for one that a node refuses."""
    if not isinstance(value, dict) or not value.keys() <= _MEMBERS:
        return None
    limit, offset = value.get("limit", _DEFAULT_LIMIT), value.get("offset", 0)
    by_index = value.get("facetsByIndex", {})
    if not (_is_natural(limit) and _is_natural(offset) and isinstance(by_index, dict)):
        return None
    if not all(is_uid(uid) and (names is None or _are_texts(names)) for uid, names in by_index.items()):
        return None
    merging = value.get("mergeFacets")
    most = None
    if merging is not None:
        if not isinstance(merging, dict) or not merging.keys() <= {"maxValuesPerFacet"}:
            return None
        most = merging.get("maxValuesPerFacet")
        if most is not None and not _is_natural(most):
            return None
    return Federation(limit, offset, by_index, merging is not None, most, shows_values)


def read_queries(queries: Sequence[Mapping[str, Any]], *, network: bool) -> list[FederatedQuery] | None:
    """The queries of a request; None if a node cannot read one of them.

    Raises a node's first refusal of what is well written but not for a federated search. `network`: clients have
    switched that experimental feature on.
    """
    if not all(_is_readable(query.get("federationOptions")) for query in queries):
        return None
    if not all(_pages_and_facets_readable(query) for query in queries):
        return None
    return [_query(place, query, network=network) for place, query in enumerate(queries)]


def readable_part(query: Any) -> Any:
    """A query without what `read_queries` judges: what is left is wrong only if it cannot be read."""
    if not isinstance(query, dict):
        return query
    kept = dict(query)
    if _is_readable(kept.get("federationOptions")):
        kept.pop("federationOptions", None)
    if _pages_and_facets_readable(kept):
        for name in (*_PAGES, "facets"):
            kept.pop(name, None)
    return kept


def remote_refused() -> ApiError:
    """400 for a request as a part of a network, where there is none."""
    return node_error(400, "feature_not_enabled", _NETWORK.format(_REMOTE))


def _query(place: int, query: Mapping[str, Any], *, network: bool) -> FederatedQuery:
    for name in _PAGES:
        if query.get(name) is not None:
            raise node_error(
                400,
                "invalid_multi_search_query_pagination",
                f"Inside `.queries[{place}]`: Using pagination options is not allowed in federated queries.\n"
                f" - Hint: remove `{name}` from query #{place} or remove `federation` from the request\n"
                " - Hint: pass `federation.limit` and `federation.offset` for pagination in federated search",
            )
    uid = query["indexUid"]
    facets = query.get("facets")
    if facets:
        listed = ", ".join(_debug(name) for name in facets)
        raise node_error(
            400,
            "invalid_multi_search_query_facets",
            f"Inside `.queries[{place}]`: Using facet options is not allowed in federated queries.\n"
            f" - Hint: remove `facets` from query #{place} or remove `federation` from the request\n"
            f" - Hint: pass `federation.facetsByIndex.{uid}: [{listed}]` for facets in federated search",
        )
    options = query.get("federationOptions") or {}
    remote = options.get("remote")
    if remote is not None:
        if not network:
            raise remote_refused()
        raise node_error(
            400,
            "invalid_multi_search_remote",
            f"Invalid `queries[{place}].federation_options.remote`: remote `{remote}` is not registered",
        )
    position = options.get("queryPosition")
    if position is not None and not network:
        raise node_error(400, "feature_not_enabled", _NETWORK.format("Using `federationOptions.queryPosition`"))
    dropped = ("indexUid", "federationOptions", "facets", *_PAGES)
    body = {name: value for name, value in query.items() if name not in dropped}
    return FederatedQuery(uid, body, options.get("weight", 1.0), place if position is None else position)


def _is_natural(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_readable(options: Any) -> bool:
    if options is None:
        return True
    if not isinstance(options, dict) or not options.keys() <= _OPTIONS:
        return False
    weight, remote, position = options.get("weight", 1.0), options.get("remote"), options.get("queryPosition")
    return (
        isinstance(weight, (int, float))
        and not isinstance(weight, bool)
        and weight >= 0
        and (remote is None or isinstance(remote, str))
        and (position is None or _is_natural(position))
    )


def _pages_and_facets_readable(query: Mapping[str, Any]) -> bool:
    facets = query.get("facets")
    return (facets is None or _are_texts(facets)) and all(
        query.get(name) is None or _is_natural(query[name]) for name in _PAGES
    )


def _debug(text: str) -> str:
    """A text as Rust's `{:?}` writes it."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    letters = [escapes.get(letter) or (letter if _is_plain(letter) else f"\\u{{{ord(letter):x}}}") for letter in text]
    return f'"{"".join(letters)}"'


def _is_plain(letter: str) -> bool:
    """Rust escapes what cannot be seen, and marks that are written on the letter before them."""
    return letter.isprintable() and unicodedata.category(letter) not in ("Mn", "Me")
