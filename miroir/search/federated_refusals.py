"""What is wrong with a federated search, in the order in which one node finds it: index by index, by their names.

Within an index: whether it is there, the order of its facets' values, each query (its ranking rules among those before
it, then itself), its facets. Last come the facets of indexes that no query is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from miroir.errors import ApiError, node_error
from miroir.indexes import Index
from miroir.search.attributes import refuse_injected
from miroir.search.federated import Federation
from miroir.search.federated_parts import Part, Query, said_inside
from miroir.search.ranking_rules import CanonicalRules, incompatibility

Indexes = Mapping[str, Sequence[Index]]
"""What stands behind each name: one index, several behind an alias of that kind, none where there is none."""

_BEFORE_RULES: Final = frozenset({"invalid_search_embedder", "missing_search_hybrid", "invalid_search_hybrid_query"})
"""Refusals of what a node looks at before it compares a query's ranking rules with those of the others."""


class Judge:
    """Walks over a request once; what it has met so far is what the rest is compared with."""

    def __init__(self, federation: Federation, indexes: Indexes) -> None:
        self._federation = federation
        self._indexes = indexes
        self._rules: tuple[CanonicalRules, int] | None = None
        self._orders: dict[str, tuple[str, str]] = {}

    def used(self, uid: str, first: int, parts: Sequence[Part]) -> None:
        """Raise what is wrong about an index that queries are about. `first`: the position of the first of them."""
        if not self._indexes[uid]:
            raise node_error(400, "index_not_found", f"Inside `.queries[{first}]`: Index `{uid}` not found.")
        note = f"used in `.queries[{first}]`"
        self._facet_orders(uid, note)
        for part in parts:
            for query in part.queries:
                self._query(query)
            self._injected_facets(uid, part.index, note)
            for outcome in part.counts:
                if isinstance(outcome, ApiError):
                    raise _placed(outcome, first)

    def unused(self, uid: str) -> Index | None:
        """Raise what is wrong about an index of which only facets are asked; the index, if a node must look at them."""
        note = "is not used in queries"
        if not self._indexes[uid]:
            raise self._of_facets(uid, node_error(400, "index_not_found", f"Index `{uid}` not found."), note)
        self._facet_orders(uid, note)
        index = self._indexes[uid][0]
        self._injected_facets(uid, index, note)
        return index if self._federation.facets_by_index[uid] else None

    def _query(self, query: Query) -> None:
        outcome, rules, position = query.outcome, query.rules, query.query.position
        if isinstance(outcome, ApiError) and (rules is None or outcome.code in _BEFORE_RULES):
            raise _placed(outcome, position)
        if rules is not None and self._rules is not None:
            problem = incompatibility(*self._rules, rules, position)
            if problem is not None:
                message = f"Inside `.queries[{position}]`: {problem}"
                raise node_error(400, "invalid_multi_search_query_ranking_rules", message)
        if isinstance(outcome, ApiError):
            raise _placed(outcome, position)
        if rules is not None and (self._rules is None or len(self._rules[0].groups) <= len(rules.groups)):
            self._rules = (rules, position)

    def _facet_orders(self, uid: str, note: str) -> None:
        """Values of facets that are merged must be ordered alike in all indexes."""
        names = self._federation.facets_by_index.get(uid)
        if not self._federation.merges_facets or not names:
            return
        orders = dict(self._indexes[uid][0].view.sort_facet_values_by)
        for name in names:
            order = "by count" if orders.get(name, orders.get("*", "alpha")) == "count" else "alphabetically"
            other, before = self._orders.setdefault(name, (uid, order))
            if before != order:
                message = (
                    f"Inconsistent order for values in facet `{name}`: index `{other}` orders {before}, but index "
                    f"`{uid}` orders {order}.\n - Hint: Remove `federation.mergeFacets` or change "
                    "`faceting.sortFacetValuesBy` to be consistent in settings."
                )
                raise self._of_facets(uid, node_error(400, "invalid_multi_search_facet_order", message), note)

    def _injected_facets(self, uid: str, index: Index, note: str) -> None:
        """Refuse facets on what only we made filterable."""
        names = self._federation.facets_by_index.get(uid)
        if not names:
            return
        try:
            refuse_injected({"facets": list(names)}, index.view)
        except ApiError as refusal:
            error = node_error(400, "invalid_multi_search_facets", refusal.message)
            raise self._of_facets(uid, error, note) from None

    def _of_facets(self, uid: str, error: ApiError, note: str) -> ApiError:
        message = f"Inside `.federation.facetsByIndex.{uid}`: {error.message}\n - Note: index `{uid}` {note}"
        return node_error(error.status, error.code, message)


def _placed(error: ApiError, position: int) -> ApiError:
    """A node has said the place of what it refuses; of what is ours nobody has."""
    return error if error.status < 500 else said_inside(error, f".queries[{position}]")
