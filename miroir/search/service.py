"""Searches over shards: prepare, scatter, merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index, refusal_of
from miroir.nodes import NodeCall
from miroir.search.merge import merge, parse_answer
from miroir.search.request import prepare
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter
from miroir.stamps import SEQ_FIELD, SHARD_FIELD

_SETTINGS_NOT_APPLIED: Final = (
    f"Attribute `{SHARD_FIELD}` is not filterable".encode(),
    f"Attribute `{SEQ_FIELD}` is not sortable".encode(),
)

UnavailablePolicy = Literal["partial", "error"]


@dataclass(frozen=True, slots=True)
class Found:
    """A response body, and the shards it says nothing about."""

    body: bytes
    unavailable: tuple[int, ...]
    nodes_asked: int


class SearchService:
    """Answers searches of one index."""

    def __init__(self, scatter: Scatter, policy: UnavailablePolicy) -> None:
        self._scatter = scatter
        self._policy = policy

    async def search(self, index: Index, body: Mapping[str, Any]) -> Found:
        """`POST /indexes/{uid}/search` with this body."""
        prepared = prepare(body, index.view)
        target = f"/indexes/{quote(index.physical_uid)}/search"
        request = Request(
            physical_uid=index.physical_uid,
            shards=index.row.shards,
            call=lambda shards: NodeCall("search", "POST", target, prepared.node_body(shards)),
            parse=parse_answer,
            is_ours=is_ours,
        )
        try:
            gathered = await self._scatter.gather(request)
        except NodeRefused as refusal:
            raise refusal_of(index, refusal.status, refusal.body) from None
        judge_coverage(gathered, index.row.shards, self._policy)
        answers = [answer for _, answer in sorted(zip(gathered.targets, gathered.answers, strict=True), key=_by_node)]
        return Found(merge(answers, prepared), gathered.unavailable, gathered.nodes_asked)


def _by_node(pair: tuple[Any, Any]) -> str:
    node: str = pair[0].node
    return node


def is_ours(status: int, body: bytes) -> bool:
    """Whether a node's refusal is about us: it has not come to the index's creation, or to our settings, yet.

    Such a node holds nothing that a search could find, so its answer counts as one that is empty. A client that names
    our fields was refused before anything was sent, so these texts are never about its request.
    """
    if status == 404:
        return b'"index_not_found"' in body
    return any(words in body for words in _SETTINGS_NOT_APPLIED)


def judge_coverage(gathered: Gathered[Any], shards: int, policy: UnavailablePolicy) -> None:
    """503 `miroir_shard_unavailable` when the policy asks for it, or when there is nothing to answer with at all."""
    missing = gathered.unavailable
    if missing and (policy == "error" or len(missing) == shards):
        raise shard_unavailable(missing)


def shard_unavailable(shards: tuple[int, ...]) -> ApiError:
    """503, naming the shards."""
    listed = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
    return miroir_error("miroir_shard_unavailable", f"No trusted copy of shard {listed} can be reached.")
