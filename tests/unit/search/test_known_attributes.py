"""What is remembered of the attributes that an index knows, and whom a filter with `!=` is told how."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
import trio

from miroir.errors import ApiError, node_error
from miroir.indexes import Index
from miroir.indexes.inequality import Known
from miroir.search import Gathered, KnownAttributes, NodeRefused, Planner, Request, Scatter
from miroir.search.plan import Plan, Target


class StandInScatter:
    """Stands in for the nodes: what each knows, by physical index; a name that is `refused` they refuse."""

    def __init__(self, **nodes: list[set[str]]) -> None:
        self.nodes = nodes
        self.refused = ""
        self.asked: list[dict[str, Any]] = []
        self.unavailable: tuple[int, ...] = ()

    def plan_everywhere(self, physical_uid: str, shards: int) -> Plan:
        """It is its own planner, too."""
        return Plan((Target(physical_uid, tuple(range(shards))),), None, "")

    async def gather(self, request: Request[Any], plan: Plan) -> Gathered[Any]:
        assert plan.targets == (Target(request.physical_uid, tuple(range(request.shards))),)
        await trio.lowlevel.checkpoint()
        body = orjson.loads(request.call((1, 2)).body)
        self.asked.append(body)
        if self.refused and self.refused in body["facets"]:
            raise NodeRefused(400, b"{}")
        answers: list[Any] = [
            {"facetDistribution": {name: {} for name in known.intersection(body["facets"])}}
            for known in self.nodes[request.physical_uid]
        ]
        return Gathered([request.parse(orjson.dumps(answer)) for answer in answers], unavailable=self.unavailable)


def index(physical_uid: str = "books", members: tuple[Index, ...] = ()) -> Index:
    found = SimpleNamespace(physical_uid=physical_uid, row=SimpleNamespace(shards=4), members=members)
    return cast(Index, found)


def known_by(scatter: StandInScatter) -> KnownAttributes:
    return KnownAttributes(cast(Scatter, scatter), cast(Planner, scatter), scatter.nodes.__contains__)


async def echo(body: Mapping[str, Any]) -> Any:
    await trio.lowlevel.checkpoint()
    return body.get("filter")


async def test_who_names_no_inequality_asks_nobody() -> None:
    scatter = StandInScatter()
    body = {"filter": ["a = 1", "b = '!='"]}
    assert await known_by(scatter).told([index()], body) is body
    assert await known_by(scatter).asked(index(), {}, echo) is None
    assert not scatter.asked


async def test_what_one_node_knows_is_kept_and_what_none_knows_is_asked_again() -> None:
    scatter = StandInScatter(books=[{"a"}, set()])
    attributes = known_by(scatter)
    for _ in range(2):
        assert await attributes.asked(index(), {"filter": "a != 1"}, echo) == "a  NOT IN [ 1]"
    assert len(scatter.asked) == 1
    for _ in range(2):
        assert await attributes.asked(index(), {"filter": "b != 1"}, echo) == "b != 1"
    scatter.nodes["books"][1].add("b")
    assert await attributes.asked(index(), {"filter": ["a != 1", "b != 1"]}, echo) == [
        "a  NOT IN [ 1]",
        "b  NOT IN [ 1]",
    ]
    assert len(scatter.asked) == 4


async def test_nodes_are_asked_for_no_document_and_no_shard() -> None:
    scatter = StandInScatter(books=[{"a"}])
    assert await known_by(scatter).find(index(), {"b", "a"}, ["a != 1", "b = 2"]) == Known(frozenset({"a"}))
    (asked,) = scatter.asked
    assert (asked["limit"], asked["facets"]) == (0, ["a", "b"])
    assert asked["filter"] == ["a != 1", "b = 2", "_miroir_shard IN []"]


async def test_what_is_refused_is_asked_as_it_came() -> None:
    scatter = StandInScatter(books=[{"a"}])

    async def refuse(body: Mapping[str, Any]) -> Any:
        await trio.lowlevel.checkpoint()
        raise node_error(400, "invalid_search_filter", str(body["filter"]))

    with pytest.raises(ApiError, match=r": a != 1$"):
        await known_by(scatter).asked(index(), {"filter": "a != 1"}, refuse)


async def test_other_failures_are_not_asked_twice() -> None:
    bodies = []

    async def fail(body: Mapping[str, Any]) -> Any:
        await trio.lowlevel.checkpoint()
        bodies.append(body)
        raise node_error(503, "nobody", "Nobody is there.")

    with pytest.raises(ApiError, match="Nobody"):
        await known_by(StandInScatter(books=[{"a"}])).asked(index(), {"filter": "a != 1"}, fail)
    assert [body["filter"] for body in bodies] == ["a  NOT IN [ 1]"]


async def test_of_attributes_that_are_refused_nothing_new_is_known() -> None:
    scatter = StandInScatter(books=[{"a"}])
    attributes = known_by(scatter)
    scatter.refused = "b"
    assert await attributes.find(index(), {"a", "b"}) == Known(frozenset(), is_refused=True)
    await attributes.find(index(), {"a"})
    assert await attributes.find(index(), {"a", "b"}) == Known(frozenset({"a"}), is_refused=True)


async def test_shards_without_a_say_are_told_of() -> None:
    scatter = StandInScatter(books=[{"a"}])
    scatter.unavailable = (3,)
    assert await known_by(scatter).find(index(), {"a", "b"}) == Known(frozenset({"a"}), is_complete=False)


async def test_indexes_read_as_one_know_together() -> None:
    scatter = StandInScatter(books=[{"a"}], films=[{"b"}])
    several = index("", (index("books"), index("films")))
    told = await known_by(scatter).asked(several, {"filter": "a != 1 AND b != 2 AND c != 3"}, echo)
    assert told == "a  NOT IN [ 1] AND b  NOT IN [ 2] AND c != 3"


async def test_an_index_that_is_gone_is_forgotten() -> None:
    scatter = StandInScatter(books=[{"a"}], films=[{"b"}])
    attributes = known_by(scatter)
    await attributes.find(index("books"), {"a"})
    del scatter.nodes["books"]
    await attributes.find(index("films"), {"b"})
    scatter.nodes["books"] = [set()]
    assert await attributes.asked(index("books"), {"filter": "a != 1"}, echo) == "a != 1"
