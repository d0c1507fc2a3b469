"""The sample goes into a plain node as it goes into Miroir: both speak the same API."""

from __future__ import annotations

import httpx
import pytest

from miroir.cli.dev_process import StartError
from miroir.cli.dev_sample import load_sample, search_sample
from miroir.cli.sample import INDEX_UID, SETTINGS
from tests.nodes import RealNode


async def test_load_and_search(single_node: RealNode) -> None:
    progress: list[int] = []
    async with single_node.api.concurrent() as client:
        await load_sample(client, progress.append, count=1500)
        assert progress == [1000, 500]
        found = await search_sample(client)
        assert len(found["hits"]) == 5
        assert all(hit["price"] < 200 and hit["in_stock"] for hit in found["hits"])
        settings = (await client.get(f"/indexes/{INDEX_UID}/settings")).json()
        assert settings["searchableAttributes"] == SETTINGS["searchableAttributes"]

        tasks = (await client.get("/tasks", params={"indexUids": INDEX_UID})).json()["total"]
        await load_sample(client, progress.append, count=1500)
        assert (await client.get("/tasks", params={"indexUids": INDEX_UID})).json()["total"] == tasks


async def test_a_refusal_is_told() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503, json={"code": "miroir_no_quorum"}))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        with pytest.raises(StartError, match=r"503.*miroir_no_quorum"):
            await load_sample(client, lambda _: None, count=10)
