"""How a filter that changes documents is told before it is sent, and what is waited for first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from miroir.errors import ApiError
from miroir.indexes import Index
from miroir.indexes.inequality import Known
from miroir.ingest import Inequalities
from miroir.tasks import TaskTracker

PATIENCE_S = 5.0
NOBODY = Known(frozenset())
A = Known(frozenset({"a"}))
REFUSED = Known(frozenset({"a"}), is_refused=True)


@dataclass
class Rig:
    """An index whose nodes answer as told, and open tasks that end after so many seconds."""

    answers: list[Known]
    tasks: list[tuple[str, str, float]] = field(default_factory=list)
    """Type, physical index, and seconds until the end, of each open task."""
    left: list[tuple[str, str, float]] = field(default_factory=list)
    """Those of a run before this one, which are followed after `restarted_s`."""
    restarted_s: float = 0.0
    proposed: bool = False
    asked: list[tuple[Collection[str], Any]] = field(default_factory=list)
    stood_aside_s: float = 0.0

    @property
    def open_tasks(self) -> list[Any]:
        return [
            SimpleNamespace(uid=uid, type=type, physical_uid=physical_uid)
            for uid, (type, physical_uid, _) in enumerate(self.tasks)
        ]

    async def followed(self) -> None:
        await trio.sleep(self.restarted_s)
        self.tasks += self.left

    async def wait(self, uid: int) -> None:
        await trio.sleep(max(0.0, self.tasks[uid][2] - trio.current_time()))

    async def find(self, _: Index, names: Collection[str], filter: Any) -> Known:
        await trio.lowlevel.checkpoint()
        self.asked.append((names, filter))
        return self.answers.pop(0)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        begun = trio.current_time()
        yield
        self.stood_aside_s += trio.current_time() - begun

    async def told(self, filter: Any) -> Any:
        index = cast(Index, SimpleNamespace(physical_uid="books-1", proposed=(1,) if self.proposed else ()))
        inequalities = Inequalities(cast(TaskTracker, self), self.find, patience_s=PATIENCE_S)
        return await inequalities.told(index, filter, aside=self.aside())


def adding(seconds: float, physical_uid: str = "books-1", type: str = "documentAdditionOrUpdate") -> Any:
    return type, physical_uid, seconds


@pytest.mark.parametrize("filter", ["a = 1", ["a = 1", ["'!=' = b"]], None, "NOT a = 1"])
async def test_nothing_is_asked_for_the_sake_of_other_filters(filter: Any) -> None:
    rig = Rig([], [adding(1)])
    assert await rig.told(filter) == filter
    assert not rig.asked


async def test_what_is_known_is_told_at_once(autojump_clock: MockClock) -> None:
    rig = Rig([A], [adding(9)])
    assert await rig.told(["b = 1", "a != 1"]) == ["b = 1", "a  NOT IN [ 1]"]
    assert rig.asked == [({"a"}, ["b = 1", "a != 1"])]
    assert trio.current_time() == 0


async def test_what_nobody_knows_and_nothing_may_bring_stays(autojump_clock: MockClock) -> None:
    rig = Rig([NOBODY], [adding(9, "films-1"), adding(9, type="documentDeletion")])
    assert await rig.told("a != 1") == "a != 1"
    assert trio.current_time() == 0


@pytest.mark.parametrize("type", ["documentAdditionOrUpdate", "documentEdition", "settingsUpdate"])
async def test_the_writes_before_may_bring_it(type: str, autojump_clock: MockClock) -> None:
    rig = Rig([NOBODY, A], [adding(1), adding(4, type=type), adding(3)])
    assert await rig.told("a != 1 AND b != 2") == "a  NOT IN [ 1] AND b != 2"
    assert trio.current_time() == rig.stood_aside_s == 4


async def test_a_run_before_this_one_may_have_left_such_writes(autojump_clock: MockClock) -> None:
    rig = Rig([NOBODY, A], left=[adding(4)], restarted_s=1)
    assert await rig.told("a != 1") == "a  NOT IN [ 1]"
    assert trio.current_time() == 4


async def test_who_cannot_know_in_time_says_so(autojump_clock: MockClock) -> None:
    rig = Rig([NOBODY], [adding(9)])
    with pytest.raises(ApiError) as refused:
        await rig.told("a != 1")
    assert (refused.value.status, refused.value.code) == (503, "miroir_overloaded")
    assert "`a`" in refused.value.message
    assert trio.current_time() == PATIENCE_S


async def test_a_shard_out_of_reach_may_know_it(autojump_clock: MockClock) -> None:
    with pytest.raises(ApiError) as refused:
        await Rig([Known(frozenset(), is_complete=False)]).told("a != 1")
    assert refused.value.status == 503
    assert await Rig([Known(A.names, is_complete=False)]).told("a != 1") == "a  NOT IN [ 1]"


async def test_what_nodes_refuse_goes_to_them_as_it_came(autojump_clock: MockClock) -> None:
    rig = Rig([REFUSED], [adding(9)])
    assert await rig.told("a != 1 AND nope = 2") == "a != 1 AND nope = 2"
    assert trio.current_time() == 0


async def test_settings_on_their_way_may_allow_what_is_refused(autojump_clock: MockClock) -> None:
    rig = Rig([REFUSED, A], [adding(2, type="settingsUpdate")], proposed=True)
    assert await rig.told("a != 1") == "a  NOT IN [ 1]"
    assert trio.current_time() == 2
    rig = Rig([REFUSED], [adding(99, type="settingsUpdate")], proposed=True)
    assert await rig.told("a != 1 AND") == "a != 1 AND"
