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

    What nodes count by themselves is taken from those that together hold each document equally often, which their own
    numbers of documents tell. Where none do, for copies are still being caught up, it is what they hold in proportion.
    """
    chosen = _equal(said, placement, documents) or _fullest(said, placement)
    held = sum(stats["numberOfDocuments"] for stats in chosen)
    fields: Counter[str] = Counter()
    for stats in chosen:
        fields.update({name: n for name, n in stats["fieldDistribution"].items() if name not in STAMP_FIELDS})
    stored = sum(stats["numberOfDocuments"] for stats in said.values())
    weighted = sum(stats["avgDocumentSize"] * stats["numberOfDocuments"] for stats in said.values())

    def once(count: int) -> int:
        return -(-count * documents // held) if held else 0

    return IndexStatistics(
        documents=documents,
        raw_size=sum(stats["rawDocumentDbSize"] for stats in said.values()),
        average_size=weighted // stored if stored else 0,
        is_indexing=any(stats["isIndexing"] for stats in said.values()),
        embeddings=once(sum(stats["numberOfEmbeddings"] for stats in chosen)),
        embedded_documents=once(sum(stats["numberOfEmbeddedDocuments"] for stats in chosen)),
        field_distribution={name: n for name, count in fields.items() if (n := once(count))},
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


def _equal(
    said: Mapping[str, Mapping[str, Any]], placement: Placement, documents: int
) -> Sequence[Mapping[str, Any]] | None:
    """A group whose nodes hold every document as often as they should, else a node that holds each once."""
    for group in _groups(said, placement):
        if sum(stats["numberOfDocuments"] for stats in group) == documents * placement.replication_factor:
            return group
    return next(([said[node]] for node in sorted(said) if said[node]["numberOfDocuments"] == documents), None)


def _fullest(said: Mapping[str, Mapping[str, Any]], placement: Placement) -> Sequence[Mapping[str, Any]]:
    return max(_groups(said, placement), key=len, default=[])


def _groups(said: Mapping[str, Mapping[str, Any]], placement: Placement) -> list[list[Mapping[str, Any]]]:
    """What the nodes of each group say, as far as they do."""
    members = [{node for nodes in owners for node in nodes} for owners in placement.by_group.values()]
    return [[said[node] for node in sorted(each) if node in said] for each in members]
