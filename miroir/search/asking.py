"""Ask the nodes about one index, each for its shards, and judge what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index, refusal_of
from miroir.nodes import NodeCall
from miroir.search.members import gather_members
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter

UnavailablePolicy = Literal["partial", "error"]
Headers = tuple[tuple[bytes, bytes], ...]

Answer = TypeVar("Answer")


class Found(msgspec.Struct, frozen=True):
    """A response body, and the shards it says nothing about."""

    body: bytes
    unavailable: tuple[int, ...]
    nodes_asked: int


async def ask_shards(
    scatter: Scatter,
    policy: UnavailablePolicy,
    index: Index,
    route: str,
    body: Callable[[tuple[int, ...]], bytes],
    parse: Callable[[bytes], Answer],
    *,
    target: str = "",
    headers: Headers = (),
) -> tuple[list[Answer], Gathered[Answer]]:
    """The nodes' answers, by node. Raises `ApiError` for what a node refused, and for shards out of reach.

    `target`: the path, if it is not the route of the index.
    """

    async def ask(one: Index) -> Gathered[Answer]:
        path = target or f"/indexes/{quote(one.physical_uid)}/{route}"
        request = Request(
            physical_uid=one.physical_uid,
            shards=one.row.shards,
            call=lambda shards: NodeCall(route, "POST", path, body(shards), headers=headers),
            parse=parse,
        )
        try:
            gathered = await scatter.gather(request)
        except NodeRefused as refusal:
            raise refusal_of(one, refusal.status, refusal.body) from None
        pairs = sorted(zip(gathered.targets, gathered.answers, strict=True), key=_by_node)
        gathered.targets, gathered.answers = [target for target, _ in pairs], [answer for _, answer in pairs]
        return gathered

    gathered = await (gather_members(index, ask) if index.members else ask(index))
    judge_coverage(gathered, index.row.shards * (len(index.members) or 1), policy)
    return gathered.answers, gathered


def _by_node(pair: tuple[Any, Any]) -> str:
    node: str = pair[0].node
    return node


def judge_coverage(gathered: Gathered[Any], shards: int, policy: UnavailablePolicy) -> None:
    """503 `miroir_shard_unavailable` when the policy asks for it, or when there is nothing to answer with at all."""
    missing = gathered.unavailable
    if missing and (policy == "error" or len(missing) == shards):
        raise shard_unavailable(missing)


def shard_unavailable(shards: tuple[int, ...]) -> ApiError:
    """503, naming the shards."""
    listed = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
    return miroir_error("miroir_shard_unavailable", f"No trusted copy of shard {listed} can be reached.")
