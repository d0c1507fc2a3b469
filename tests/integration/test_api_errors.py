"""A refusal that comes before the body was read ends the connection; the pool must not use it again."""

from __future__ import annotations

import json

import pytest
import trio

from miroir.http import Pool
from tests.nodes import RealNode


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_node_that_refused_a_body_unread_is_not_spoken_to_on_that_connection(
    single_node: RealNode, size: int
) -> None:
    pool = Pool(single_node.address, default_headers=((b"authorization", f"Bearer {single_node.api.key}".encode()),))
    body = json.dumps([{"id": 1, "text": "x" * size}]).encode()
    with trio.fail_after(30):
        for _ in range(3):
            refused = await pool.request("POST", "/indexes/not%20an%20uid/documents", body=body)
            assert refused.status >= 400
            assert (await pool.request("GET", "/version")).status == 200
    await pool.aclose()
