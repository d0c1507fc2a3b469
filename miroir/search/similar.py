"""Similar documents: the document's vectors from its shard, then what lies near them from every shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

import orjson

from miroir.cluster import shard_of
from miroir.errors import ApiError, node_error
from miroir.indexes import Index, refusal_of
from miroir.indexes.filterable import injected_filter
from miroir.nodes import NodeCall
from miroir.search.asking import Found, UnavailablePolicy, ask_shards, shard_unavailable
from miroir.search.known_attributes import KnownAttributes
from miroir.search.merge import parse_answer
from miroir.search.neighbours import (
    StoredVectors,
    document_key,
    merge_neighbours,
    parse_stored,
    prepare_neighbours,
    sound_request,
)
from miroir.search.plan import Plan
from miroir.search.planner import Planner
from miroir.search.scatter import NodeRefused, Request, Scatter
from miroir.search.vectors import VectorKnobs, refuse_if_off
from miroir.stamps import SEQ_FIELD

Answer = TypeVar("Answer")


class SimilarDocuments:
    """Answers `/indexes/{uid}/similar`."""

    def __init__(
        self,
        scatter: Scatter,
        planner: Planner,
        policy: UnavailablePolicy,
        knobs: VectorKnobs,
        attributes: KnownAttributes,
    ) -> None:
        self._scatter = scatter
        self._planner = planner
        self._policy = policy
        self._knobs = knobs
        self._attributes = attributes

    async def find(self, index: Index, body: Mapping[str, Any], over_fetch: int | None = None) -> Found:
        """`POST /indexes/{uid}/similar` with this body. `over_fetch`: in place of the configured factor.

        The node that has the document judges the request: it alone can tell everything that is wrong with it.
        """
        refuse_if_off(self._knobs)
        key = document_key(body.get("id"))
        home = await self._home(index, key, body)
        if key is None:  # not even an id that a document could have, and no node that said so
            _not_found(str(body.get("id")))
        stored = await self._stored(home, key)
        near = partial(self._near, index, key, stored, over_fetch or self._knobs.over_fetch)
        return await self._attributes.asked(index, body, near)

    async def _near(self, index: Index, key: str, stored: StoredVectors, times: int, body: Mapping[str, Any]) -> Found:
        asked = prepare_neighbours(body, index.view, key, stored, over_fetch=times)
        answers = []
        unavailable: set[int] = set()
        nodes_asked = 2
        for node_body in asked.node_bodies:
            found, gathered = await ask_shards(self._scatter, self._policy, index, "search", node_body, parse_answer)
            answers.append(found)
            unavailable.update(gathered.unavailable)
            nodes_asked += gathered.nodes_asked
        return Found(merge_neighbours(answers, asked), tuple(sorted(unavailable)), nodes_asked)

    async def _home(self, index: Index, key: str | None, body: Mapping[str, Any]) -> Index:
        """The index that has the document: of several behind an alias the first. Raises what is wrong otherwise."""
        *others, last = index.members or (index,)
        for member in others:
            try:
                await self._judge(member, key, body)
            except ApiError as refusal:
                if refusal.code != "not_found_similar_id":
                    raise
            else:
                return member
        await self._judge(last, key, body)
        return last

    async def _judge(self, index: Index, key: str | None, body: Mapping[str, Any]) -> None:
        target = f"/indexes/{quote(index.physical_uid)}/similar"
        call = NodeCall("similar", "POST", target, orjson.dumps(sound_request(body)))
        if await self._from_its_shard(index, key, call, bytes) is None:
            _not_found(str(key))
        problem = injected_filter(body.get("filter"), index.view)
        if problem is not None:
            raise node_error(400, "invalid_similar_filter", problem)

    async def _stored(self, index: Index, key: str) -> StoredVectors:
        target = f"/indexes/{quote(index.physical_uid)}/documents/{key}?retrieveVectors=true&fields={SEQ_FIELD}"
        stored = await self._from_its_shard(index, key, NodeCall("document", "GET", target), parse_stored)
        if stored is None:
            _not_found(key)
        return stored

    async def _from_its_shard(
        self, index: Index, key: str | None, call: NodeCall, parse: Callable[[bytes], Answer]
    ) -> Answer | None:
        """One copy's answer, of any shard without a key; None where there is no index or document yet or any more."""
        shards = index.row.shards
        shard = 0 if key is None else shard_of(key, shards)
        request = Request(
            physical_uid=index.physical_uid,
            shards=shards,
            call=lambda _: call,
            parse=parse,
            is_empty=lambda status: status == 404,
        )
        plan: Plan = self._planner.plan_rest(index.physical_uid, shards, (shard,), frozenset())
        try:
            gathered = await self._scatter.gather(request, plan)
        except NodeRefused as refusal:
            raise refusal_of(index, refusal.status, refusal.body) from None
        if gathered.unavailable:
            raise shard_unavailable(gathered.unavailable)
        return gathered.answers[0] if gathered.answers else None


def _not_found(key: str) -> NoReturn:
    raise node_error(400, "not_found_similar_id", f"Document `{key}` not found.")
