"""By what an index is known to be ours, on real nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from miroir.indexes.strays import is_ours
from tests.nodes import Cluster, RealNode


@pytest.mark.allow_stamps
def test_an_index_of_ours_is_told_from_an_operators(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    client = running.client
    client.create_index(index_name, "id")
    for change in ({}, {"filterableAttributes": ["*", "price"]}, {"filterableAttributes": None}):
        client.update_settings(index_name, change)
        for node in running.nodes:
            assert is_ours(node.api.get(f"/indexes/{index_name}/settings"))
    for change in ({}, {"filterableAttributes": ["*"]}, {"filterableAttributes": ["_miroir_shard", "_miroir_seq"]}):
        single_node.api.update_settings(index_name, change)
        assert not is_ours(single_node.api.get(f"/indexes/{index_name}/settings"))
