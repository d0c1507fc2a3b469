"""An `IndexView` for the unit tests, with Meilisearch's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from miroir.indexes.view import IndexView

DEFAULT = IndexView(
    uid="things",
    physical_uid="things-1",
    primary_key="id",
    shards=8,
    settings_version=1,
    displayed=None,
    ranking_rules=("words", "typo", "proximity", "attribute", "sort", "exactness"),
    sortable=("price",),
    filterable=("color", "o.x"),
    hidden_filterable=frozenset({"id"}),
    distinct=None,
    max_total_hits=1000,
    max_values_per_facet=100,
    sort_facet_values_by=(),
    embedders=frozenset(),
    exact_ties=True,
)


def view(**changes: Any) -> IndexView:
    return replace(DEFAULT, **changes)
