"""What a node refuses Miroir refuses, in the same words, and it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.client import Api
from tests.compat.errors import Asker, compare
from tests.compat.refusals import refusals
from tests.nodes import Cluster, RealNode


def state(api: Api, index: str) -> list[Any]:
    """All that a request could have changed by mistake."""
    listed = api.get("/indexes", limit=1000)["results"]
    return [
        listed,
        api.get("/keys", limit=1000),
        api.get("/webhooks"),
        api.get("/experimental-features"),
        api.get("/tasks", limit=1)["total"],
        api.get(f"/indexes/{index}/settings"),
        api.get(f"/indexes/{index}/documents", limit=1000),
    ]


@pytest.mark.timeout(600)
def test_miroir_refuses_in_a_nodes_words_and_changes_nothing(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, record_property: Callable[[str, str], None]
) -> None:
    miroir = cluster().client
    left, right = Asker(single_node.api, index_name), Asker(miroir, index_name)
    left.load()
    right.load()
    before = state(miroir, index_name)
    parity = compare(left, right, refusals())
    assert state(miroir, index_name) == before
    assert not parity.accepted, "a node takes what the table calls wrong:\n" + "\n".join(map(str, parity.accepted[:5]))
    assert not parity.differing, f"{parity}:\n" + "\n".join(map(str, parity.differing[:10]))
    assert len(parity.compared) > 1000
    record_property("errors", str(parity))
    left.unload()
    right.unload()
