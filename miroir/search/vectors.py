"""Searches in which vectors take part: the query made a vector once, both lists asked for, and united.

Each node would embed the query for itself: as many calls of an embedder, which may cost money and may be rate-limited,
as there are nodes. So one node is asked for the vector, in a search among no documents, and all search by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec
import orjson
import trio

from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index, refusal_of
from miroir.nodes import NodeCall
from miroir.search.asking import Found, UnavailablePolicy, ask_shards
from miroir.search.distinct import facet_values
from miroir.search.facets import Number
from miroir.search.hybrid import (
    Hit,
    Kind,
    embedding_part,
    fused_by_rank,
    fused_by_score,
    is_good_enough,
    is_semantic,
    keyword_part,
    kind_of,
    may_stand_alone,
    ratio_of,
    semantic_part,
    with_ratio,
)
from miroir.search.merge import NodeAnswer, Ranking, parse_answer, rank, write
from miroir.search.merge import merge as merged_answer
from miroir.search.planner import Planner
from miroir.search.request import Prepared, prepare, window_of
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter

Part = TypeVar("Part")

_EMBEDDING_S: Final = 10.0
"""A node waits so long for its embedder, on top of what it may take itself."""


@dataclass(frozen=True, slots=True)
class VectorKnobs:
    """Section `vector_search` of the configuration."""

    enabled: bool = True
    over_fetch: int = 3
    strategy: Literal["convex", "rrf"] = "convex"
    default_ratio: float = 0.5
    rrf_k: int = 60


def refuse_if_off(knobs: VectorKnobs) -> None:
    """501 `miroir_not_supported` where the configuration switches searches by vector off."""
    if not knobs.enabled:
        raise miroir_error("miroir_not_supported", "Searches by vector are switched off (`vector_search.enabled`).")


class _Embedded(msgspec.Struct, rename="camel"):
    query_vector: list[float] | None = None


_embedded: Final = msgspec.json.Decoder(_Embedded)


@dataclass(frozen=True, slots=True)
class _Listed:
    """One of the two lists of a hybrid search: what was asked, and what came."""

    prepared: Prepared
    answers: Sequence[NodeAnswer]
    gathered: Gathered[NodeAnswer]
    ranking: Ranking


class VectorSearch:
    """Answers searches with `hybrid`."""

    def __init__(self, scatter: Scatter, planner: Planner, policy: UnavailablePolicy, knobs: VectorKnobs) -> None:
        self._scatter = scatter
        self._planner = planner
        self._policy = policy
        self._knobs = knobs
        self._turns = count()

    async def search(self, index: Index, body: Mapping[str, Any], over_fetch: int | None) -> Found | None:
        """The answer to a search; None if vectors take no part in it, or a node will refuse it as it is.

        `over_fetch`: how many times the hits wanted each node is asked for; None: as configured.
        """
        body = with_ratio(body, self._knobs.default_ratio)
        kind = kind_of(body)
        if kind is Kind.KEYWORD:
            return None
        refuse_if_off(self._knobs)
        if window_of(body, index.view).reach == 0:
            return None
        times = over_fetch or self._knobs.over_fetch
        if kind is Kind.HYBRID:
            return await self._hybrid(index, body, times)
        vector = body.get("vector")
        if vector is None:
            vector = await self._embed(index, body)
        prepared = prepare(body if vector is None else semantic_part(body, vector), index.view, over_fetch=times)
        answers, gathered = await self._ask(index, prepared)
        return Found(merged_answer(answers, prepared), gathered.unavailable, gathered.nodes_asked)

    async def _hybrid(self, index: Index, body: Mapping[str, Any], times: int) -> Found | None:
        ratio = ratio_of(body)
        by_score = self._knobs.strategy == "convex"
        may_stand = by_score and may_stand_alone(ratio)
        if may_stand and body.get("vector") is None and body.get("media") is None:
            # As a node does: no embedder is asked, and paid, before it is known that words alone will not do.
            if body["hybrid"].get("embedder") not in index.view.embedders:
                return None  # for a node to refuse, before it looks at anything else
            words = await self._by_words(index, body, times, counts_facets=True)
            if is_good_enough(words.ranking.hits[: words.prepared.window.reach], words.prepared.window.reach, ratio):
                return _alone(words)
            vectors = await self._by_vector(index, body, times)
        else:
            words, vectors = await _both(
                lambda: self._by_words(index, body, times, counts_facets=may_stand or body.get("vector") is None),
                lambda: self._by_vector(index, body, times),
            )
            reach = words.prepared.window.reach
            if may_stand and is_good_enough(words.ranking.hits[:reach], reach, ratio):
                return _alone(words)
        return _alone(words) if vectors is None else self._united(words, vectors, ratio)

    async def _by_words(self, index: Index, body: Mapping[str, Any], times: int, *, counts_facets: bool) -> _Listed:
        asked = keyword_part(body, counts_facets=counts_facets)
        depth = times if self._knobs.strategy == "rrf" else 1  # a hit's rank in the other list may lie far behind
        prepared = prepare(asked, index.view, over_fetch=depth, is_part=True)
        answers, gathered = await self._ask(index, prepared)
        return _Listed(prepared, answers, gathered, rank(answers, prepared, times=depth))

    async def _by_vector(self, index: Index, body: Mapping[str, Any], times: int) -> _Listed | None:
        """None: the embedder made no vector of the query, which leaves the words."""
        vector = body.get("vector")
        if vector is None:
            vector = await self._embed(index, body)
            if vector is None:
                return None
        prepared = prepare(semantic_part(body, vector), index.view, over_fetch=times, is_part=True)
        answers, gathered = await self._ask(index, prepared)
        for answer in answers:
            answer.hits = [hit for hit in answer.hits if is_semantic(bytes(hit))]
        depth = times if self._knobs.strategy == "rrf" else 1
        return _Listed(prepared, answers, gathered, rank(answers, prepared, times=depth))

    def _united(self, words: _Listed, vectors: _Listed, ratio: float) -> Found:
        window, distinct = words.prepared.window, words.prepared.distinct
        if self._knobs.strategy == "convex":
            n = window.reach
            united = fused_by_score(words.ranking.hits[:n], vectors.ranking.hits[:n], ratio)
        else:
            united = fused_by_rank(words.ranking.hits, vectors.ranking.hits, ratio, self._knobs.rrf_k)
        kept: list[Hit] = []
        seen: set[Number | str] = set()
        for hit in united:
            if len(kept) == window.reach:
                break
            if distinct is not None:
                values = facet_values(orjson.loads(hit.hit), distinct)
                if not values.isdisjoint(seen):
                    continue
                seen |= values
            kept.append(hit)
        page = kept[window.offset :]
        shapes = words.prepared.presentation, vectors.prepared.presentation
        shown = [b",".join([b"".join(shapes[is_near].shown((hit,))) for hit, is_near in page])]
        body = write(vectors.answers, vectors.prepared, vectors.ranking, shown, sum(hit.is_semantic for hit in page))
        return _found(body, words, vectors)

    async def _ask(self, index: Index, prepared: Prepared) -> tuple[list[NodeAnswer], Gathered[NodeAnswer]]:
        return await ask_shards(self._scatter, self._policy, index, "search", prepared.node_body, parse_answer)

    async def _embed(self, index: Index, body: Mapping[str, Any]) -> list[float] | None:
        """The query's vector by the index's embedder; None where it makes none, and where no node answers.

        Raises `ApiError` for what a node refuses, in a search by vector alone a failure of the embedder too.
        """
        target = f"/indexes/{quote(index.physical_uid)}/search"
        asked = prepare(embedding_part(body), index.view).node_body
        request = Request(
            physical_uid=index.physical_uid,
            shards=index.row.shards,
            call=lambda _: NodeCall("embed", "POST", target, asked(())),
            parse=_embedded.decode,
            extra_s=_EMBEDDING_S,
        )
        plan = self._planner.plan(index.physical_uid, index.row.shards)
        start = next(self._turns)
        for place in range(len(plan.targets)):
            one = plan.targets[(start + place) % len(plan.targets)]
            try:
                gathered = await self._scatter.gather(request, replace(plan, targets=(one,), unavailable=()))
            except NodeRefused as refusal:
                raise refusal_of(index, refusal.status, refusal.body) from None
            if gathered.answers:
                return gathered.answers[0].query_vector
        return None


def _alone(words: _Listed) -> Found:
    """The answer of the words where the vectors are not looked at, or there are none."""
    shown = words.ranking.shown(words.prepared)
    return _found(write(words.answers, words.prepared, words.ranking, shown, 0), words)


def _found(body: bytes, *lists: _Listed) -> Found:
    unavailable = {shard for listed in lists for shard in listed.gathered.unavailable}
    return Found(body, tuple(sorted(unavailable)), sum(listed.gathered.nodes_asked for listed in lists))


async def _both(
    words: Callable[[], Awaitable[_Listed]], vectors: Callable[[], Awaitable[_Listed | None]]
) -> tuple[_Listed, _Listed | None]:
    """Both lists, side by side. Of two refusals that of the vectors counts: it is about the whole request."""
    outcomes: dict[str, Any] = {}
    refusals: dict[str, ApiError] = {}

    async def run(name: str, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            outcomes[name] = await ask()
        except ApiError as refusal:
            refusals[name] = refusal

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "words", words)
        await run("vectors", vectors)
        if "vectors" in refusals:
            nursery.cancel_scope.cancel()
    for name in ("vectors", "words"):
        if name in refusals:
            raise refusals[name]
    return outcomes["words"], outcomes["vectors"]
