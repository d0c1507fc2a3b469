"""What reads and writes must know of an index, digested once per settings version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

_SORT_RULES: Final = (":asc", ":desc")


@dataclass(frozen=True, slots=True)
class IndexView:
    """One index as it is now: its name, its physical index, and the settings that shape requests and answers.

    Settings are the client's wish with Meilisearch's defaults filled in; nothing of ours is in them.
    `displayed` and `hidden_filterable`: see `docs/architecture.md`, Stamps.
    """

    uid: str
    physical_uid: str
    primary_key: str | None
    shards: int
    settings_version: int
    displayed: tuple[str, ...] | None
    """Patterns the client lets be seen; None: everything (`["*"]`)."""
    ranking_rules: tuple[str, ...]
    """The client's, without ours at the end."""
    sortable: tuple[str, ...]
    filterable: tuple[object, ...]
    """The client's filterable attributes as set: texts and rule objects (mappings)."""
    hidden_filterable: frozenset[str]
    """Attributes that only we made filterable (the primary key): who names them is refused as by a node."""
    distinct: str | None
    max_total_hits: int
    max_values_per_facet: int
    sort_facet_values_by: tuple[tuple[str, str], ...]
    """(`attribute or *`, `alpha` or `count`)."""
    embedders: frozenset[str]
    exact_ties: bool
    dimensions: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Embedder -> how long its vectors must be, of those that say so."""
    added_rules: int = 1
    """How many filterable rules of ours stand before the client's on every node: texts that number rules count them."""
    unlisted: frozenset[str] = frozenset()
    """Patterns in a node's lists that only we put there, stamps not counted; `hidden_filterable` is among them."""


def common_view(views: Sequence[IndexView]) -> IndexView:
    """Several indexes as one to read. What one of them hides is hidden, and the narrowest bound is the bound.

    The rest is the first one's; of ranking rules, those of the first that sorts by a member.
    """
    shown = [set(view.displayed) for view in views if view.displayed is not None]
    sorting = [view for view in views if any(rule.endswith(_SORT_RULES) for rule in view.ranking_rules)]
    return replace(
        views[0],
        displayed=tuple(sorted(set.intersection(*shown))) if shown else None,
        ranking_rules=(sorting or views)[0].ranking_rules,
        hidden_filterable=frozenset().union(*[view.hidden_filterable for view in views]),
        unlisted=frozenset().union(*[view.unlisted for view in views]),
        max_total_hits=min(view.max_total_hits for view in views),
        max_values_per_facet=min(view.max_values_per_facet for view in views),
    )
