"""Fifty searches, each answered as one plain node answers it: hits in order, totals, facets."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from miroir.cli.sample import SETTINGS, catalogue
from tests.nodes import Cluster, RealNode

COUNT = 1200

SEARCHES: list[dict[str, Any]] = [
    {},
    {"q": ""},
    {"q": "chair"},
    {"q": "mouse"},
    {"q": "keybord"},
    {"q": "wireless headset"},
    {"q": "sofa", "limit": 5},
    {"q": "couch"},
    {"q": "blue"},
    {"q": "steel bottle"},
    {"q": "maus"},
    {"q": "souris"},
    {"q": "élégant"},
    {"q": "schön"},
    {"q": '"good choice"'},
    {"q": "quiet -mouse"},
    {"q": "ostrava works"},
    {"q": "nova"},
    {"q": "n"},
    {"q": "the best simple sturdy thing"},
    {"q": "lamp", "filter": "price < 100"},
    {"q": "lamp", "filter": ["price < 200", ["in_stock = true", "rating >= 4"]]},
    {"q": "", "filter": "tags IN [wireless, vintage]"},
    {"q": "", "filter": "rating NOT EXISTS"},
    {"q": "", "filter": "discount IS NULL"},
    {"q": "", "filter": 'specs.weight > 2 AND NOT brand = "Ostrava Works"'},
    {"q": "", "filter": "_geoRadius(48.85, 2.35, 100000)"},
    {"q": "", "sort": ["price:asc"]},
    {"q": "", "sort": ["price:desc", "name:asc"], "limit": 30},
    {"q": "", "sort": ["rating:desc"], "limit": 40},
    {"q": "table", "sort": ["stock:asc"]},
    {"q": "", "sort": ["specs.weight:asc"], "offset": 15, "limit": 15},
    {"q": "", "sort": ["created_at:desc"]},
    {"q": "bike", "facets": ["brand"]},
    {"q": "", "facets": ["category", "in_stock", "rating", "price"], "limit": 0},
    {"q": "desk", "facets": ["tags", "specs.color"]},
    {"q": "", "facets": ["*"], "limit": 3},
    {"q": "", "facets": ["categories.lvl1"], "filter": "categories.lvl0 = Electronics"},
    {"q": "a", "offset": 40, "limit": 20},
    {"q": "", "offset": 995, "limit": 20},
    {"q": "", "offset": 2000, "limit": 20},
    {"q": "pro", "page": 2, "hitsPerPage": 7},
    {"q": "", "page": 1, "hitsPerPage": 25},
    {"q": "", "page": 3, "hitsPerPage": 400},
    {"q": "camera", "page": 1, "hitsPerPage": 0},
    {"q": "light", "attributesToRetrieve": ["name", "price"]},
    {"q": "light", "attributesToRetrieve": ["specs.weight", "id"], "showRankingScore": True},
    {"q": "wood", "attributesToHighlight": ["name", "description.en"], "attributesToCrop": ["description.en:5"]},
    {"q": "garden", "attributesToHighlight": ["*"], "highlightPreTag": "<b>", "highlightPostTag": "</b>"},
    {"q": "coffee", "showRankingScoreDetails": True, "showRankingScore": True, "sort": ["price:asc"]},
]


def load(api: Any, index: str) -> None:
    documents = list(catalogue(COUNT))
    random.Random(7).shuffle(documents)
    api.create_index(index, "id")
    api.update_settings(index, SETTINGS)
    api.add_documents(index, documents, batch=400)


@pytest.mark.parametrize(("groups", "nodes", "rf"), [(1, 3, 1), (2, 2, 2)], ids=["3 nodes", "2 groups x 2, RF 2"])
def test_fifty_searches_are_answered_as_by_one_node(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, groups: int, nodes: int, rf: int
) -> None:
    running = cluster(groups=groups, nodes=nodes, rf=rf)
    load(single_node.api, index_name)
    load(running.client, index_name)
    assert len(SEARCHES) == 50
    differing = []
    for parameters in SEARCHES:
        left = single_node.api.post(f"/indexes/{index_name}/search", parameters)
        right = running.client.post(f"/indexes/{index_name}/search", parameters)
        left.pop("processingTimeMs")
        right.pop("processingTimeMs")
        if left != right or list(left) != list(right):
            members = [name for name in left.keys() | right.keys() if left.get(name) != right.get(name)]
            differing.append(
                (parameters, members, [(left.get(name), right.get(name)) for name in members if name != "hits"])
            )
    assert not differing
