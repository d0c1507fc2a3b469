"""Statistics of an index over nodes: documents counted once, sizes added up, nothing of ours in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from miroir.cluster import Placement
from miroir.stamps import STAMP_FIELDS


@dataclass(frozen=True, slots=True)
class IndexStatistics:
    """What `GET /indexes/{uid}/stats` says."""

    documents: int
    raw_size: int
    average_size: int
    is_indexing: bool
    embeddings: int
    embedded_documents: int
    field_distribution: Mapping[str, int]

    def view(self) -> dict[str, Any]:
        """As a node writes it."""
        return {
            "numberOfDocuments": self.documents,
            "rawDocumentDbSize": self.raw_size,
            "avgDocumentSize": self.average_size,
            "isIndexing": self.is_indexing,
            "numberOfEmbeddings": self.embeddings,
            "numberOfEmbeddedDocuments": self.embedded_documents,
            "fieldDistribution": dict(sorted(self.field_distribution.items())),
        }


def index_statistics(said: Mapping[str, Mapping[str, Any]], placement: Placement, documents: int) -> IndexStatistics:
    """From what each node says of its part, and the number of documents counted over shards.

    Counts are taken from the group that has most nodes answering, and divided by the copies it keeps of each document.
    """
    group = _fullest(said, placement)
    copies = max(placement.replication_factor, 1)
    fields: Counter[str] = Counter()
    for stats in group:
        fields.update({name: n for name, n in stats["fieldDistribution"].items() if name not in STAMP_FIELDS})
    stored = sum(stats["numberOfDocuments"] for stats in said.values())
    weighted = sum(stats["avgDocumentSize"] * stats["numberOfDocuments"] for stats in said.values())
    return IndexStatistics(
        documents=documents,
        raw_size=sum(stats["rawDocumentDbSize"] for stats in said.values()),
        average_size=weighted // stored if stored else 0,
        is_indexing=any(stats["isIndexing"] for stats in said.values()),
        embeddings=sum(stats["numberOfEmbeddings"] for stats in group) // copies,
        embedded_documents=sum(stats["numberOfEmbeddedDocuments"] for stats in group) // copies,
        field_distribution={name: -(-n // copies) for name, n in fields.items()},
    )


def total(found: Sequence[IndexStatistics]) -> IndexStatistics:
    """Of several indexes that are read as one."""
    if len(found) == 1:
        return found[0]
    fields: Counter[str] = Counter()
    for each in found:
        fields.update(each.field_distribution)
    documents = sum(each.documents for each in found)
    return IndexStatistics(
        documents=documents,
        raw_size=sum(each.raw_size for each in found),
        average_size=sum(each.average_size * each.documents for each in found) // documents if documents else 0,
        is_indexing=any(each.is_indexing for each in found),
        embeddings=sum(each.embeddings for each in found),
        embedded_documents=sum(each.embedded_documents for each in found),
        field_distribution=fields,
    )


def _fullest(said: Mapping[str, Mapping[str, Any]], placement: Placement) -> list[Mapping[str, Any]]:
    groups = []
    for owners in placement.by_group.values():
        members = {node for nodes in owners for node in nodes}
        groups.append([said[node] for node in sorted(members) if node in said])
    return max(groups, key=len, default=[])
