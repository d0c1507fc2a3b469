"""What reads and writes must know of an index, digested once per settings version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
