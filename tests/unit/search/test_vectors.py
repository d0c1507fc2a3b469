"""Searches by vector that are switched off, and those that are none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from miroir.errors import ApiError
from miroir.indexes import Index
from miroir.search import Planner, Scatter, VectorKnobs, VectorSearch

NOBODY: Any = None
OFF = VectorSearch(
    cast(Scatter, NOBODY), cast(Planner, NOBODY), "partial", VectorKnobs(enabled=False, default_ratio=1.0)
)
INDEX = cast(Index, NOBODY)


@pytest.mark.parametrize(
    "body",
    [
        {"q": "x", "hybrid": {"embedder": "e"}},
        {"q": "x", "hybrid": {"embedder": "e", "semanticRatio": 0.1}},
        {"vector": [1.0], "hybrid": {"embedder": "e"}},
    ],
)
async def test_switched_off_they_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refusal:
        await OFF.search(INDEX, body, None)
    assert (refusal.value.status, refusal.value.code) == (501, "miroir_not_supported")


@pytest.mark.parametrize("body", [{"hybrid": {"embedder": "e"}}, {"q": "x", "hybrid": {"semanticRatio": 0}}])
async def test_searches_by_words_alone_are_left_to_others(body: dict[str, Any]) -> None:
    assert await OFF.search(INDEX, body, None) is None
