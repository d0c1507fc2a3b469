"""What is counted of the fields of an index, whichever copies are being caught up."""

from __future__ import annotations

from typing import Any

import pytest

from miroir.api.statistics import index_statistics
from miroir.cluster import place
from tests.unit.cluster.topologies import plain

SHARDS = 8


def said(documents: int, **fields: int) -> dict[str, Any]:
    """What a node says of so many documents; an embedding for each."""
    return {
        "numberOfDocuments": documents,
        "rawDocumentDbSize": 100 * documents,
        "avgDocumentSize": 100,
        "isIndexing": False,
        "numberOfEmbeddings": documents,
        "numberOfEmbeddedDocuments": documents,
        "fieldDistribution": {"_miroir_seq": documents, **fields},
    }


@pytest.mark.allow_stamps
@pytest.mark.parametrize(
    ("groups", "nodes", "copies", "parts", "documents", "expected"),
    [
        pytest.param(1, 2, 1, [said(6, id=6, a=2), said(4, id=4)], 10, {"id": 10, "a": 2}, id="one copy"),
        pytest.param(1, 2, 2, [said(9, id=9, a=3)] * 2, 9, {"id": 9, "a": 3}, id="two copies"),
        pytest.param(1, 2, 2, [said(9, id=9, a=3), said(4, id=4)], 9, {"id": 9, "a": 3}, id="one caught up"),
        pytest.param(
            2,
            2,
            1,
            [said(2, id=2), said(4, id=4, a=1), said(5, id=5, a=2), said(4, id=4)],
            9,
            {"id": 9, "a": 2},
            id="a group that is whole",
        ),
        pytest.param(1, 3, 2, [said(6, id=6, a=6), said(6, id=6), said(3, id=3)], 10, {"id": 10, "a": 4}, id="in part"),
        pytest.param(1, 2, 1, [said(0), said(0)], 0, {}, id="none"),
        pytest.param(1, 2, 1, [], 0, {}, id="nobody"),
    ],
)
def test_fields_are_counted_once(
    groups: int, nodes: int, copies: int, parts: list[dict[str, Any]], documents: int, expected: dict[str, int]
) -> None:
    placement = place(plain(groups, nodes, copies), SHARDS)
    names = sorted({node for owners in placement.by_group.values() for each in owners for node in each})
    found = index_statistics(dict(zip(names, parts, strict=False)), placement, documents)
    assert found.field_distribution == expected
    assert found.documents == found.embeddings == found.embedded_documents == documents
