"""Several searches in one request: what the request asks of settings holds for each of its indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
import pytest

from miroir.api.messages import Request
from miroir.api.multi_search_routes import MultiSearchResource
from miroir.errors import ApiError
from miroir.indexes import Index, Registry
from miroir.search import Bounds, Found, SearchService
from miroir.store import IndexRow


class Searches:
    """Finds nothing, everywhere."""

    async def search(self, index: Index, body: Mapping[str, Any], over_fetch: int | None) -> Found:
        return Found(b'{"hits":[]}', (), 1)


def multi_search(versions: Mapping[str, int]) -> MultiSearchResource:
    registry = Registry(exact_ties=True)
    registry.load(IndexRow(uid, uid, "id", 4, b"{}", version, False, "", "") for uid, version in versions.items())
    searches = cast(SearchService, Searches())
    nobody = cast(Any, None)
    return MultiSearchResource(registry, searches, nobody, nobody, nobody, Bounds(1.0, 2.0), max_queries=0)


def asked(minimum: bytes) -> Request:
    headers = {b"content-type": b"application/json", b"x-miroir-min-settings-version": minimum}
    body = orjson.dumps({"queries": [{"indexUid": "new"}, {"indexUid": "old"}]})
    return Request("POST", "/multi-search", b"", headers, body)


async def test_every_index_has_the_settings_asked_for() -> None:
    answer = await multi_search({"new": 3, "old": 2}).search(asked(b"2"))
    assert [each["indexUid"] for each in orjson.loads(answer.body)["results"]] == ["new", "old"]


async def test_an_index_with_older_settings_refuses_the_request() -> None:
    with pytest.raises(
        ApiError, match=r"Inside `\.queries\[1\]`: The settings of index `old` have version 2"
    ) as caught:
        await multi_search({"new": 3, "old": 2}).search(asked(b"3"))
    assert (caught.value.status, caught.value.code) == (503, "miroir_settings_version_stale")
