"""Admission: so many at once, as many again for a short while, the rest at once not."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from miroir.api import Admission, Aside
from miroir.errors import ApiError


async def hold(admission: Admission, seconds: float, entered: list[float]) -> None:
    async with admission:
        entered.append(trio.current_time())
        await trio.sleep(seconds)


async def test_as_many_run_at_once_as_may_and_the_next_follow_in_their_order(autojump_clock: MockClock) -> None:
    admission = Admission(2)
    entered: list[float] = []
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(hold, admission, 0.5, entered)
        await wait_all_tasks_blocked()
        assert admission.waiting == 2
    assert [round(moment - start, 3) for moment in entered] == [0.0, 0.0, 0.5, 0.5]
    assert admission.waiting == 0


async def test_who_waits_too_long_is_told_to_come_again(autojump_clock: MockClock) -> None:
    admission = Admission(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, admission, 60.0, [])
        await wait_all_tasks_blocked()
        start = trio.current_time()
        with pytest.raises(ApiError) as caught:
            await hold(admission, 0.0, [])
        assert trio.current_time() - start == pytest.approx(2.0)
        nursery.cancel_scope.cancel()
    assert (caught.value.status, caught.value.code) == (503, "miroir_overloaded")
    assert caught.value.headers == {"retry-after": "1"}
    assert admission.waiting == 0


async def test_who_comes_when_as_many_wait_as_may_run_is_turned_away_at_once(autojump_clock: MockClock) -> None:
    admission = Admission(1)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(hold, admission, 1.0, [])
        await wait_all_tasks_blocked()
        start = trio.current_time()
        with pytest.raises(ApiError, match="Too many requests"):
            await hold(admission, 0.0, [])
        assert trio.current_time() == start


async def test_places_come_back_whatever_happens_inside(autojump_clock: MockClock) -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError):
        async with admission:
            raise ZeroDivisionError
    with trio.move_on_after(0.1):
        await hold(admission, 1.0, [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, admission, 1.0, [])
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.1):  # gives up waiting
            await hold(admission, 0.0, [])
        assert admission.waiting == 0
    entered: list[float] = []
    await hold(admission, 0.0, entered)
    assert entered


async def stand_aside(admission: Admission, aside: Aside, seconds: float) -> None:
    async with admission, aside:
        await trio.sleep(seconds)


async def test_who_stands_aside_keeps_nobody_out_and_as_many_may(autojump_clock: MockClock) -> None:
    admission = Admission(2)
    aside = Aside(admission)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(stand_aside, admission, aside, 60.0)
        await wait_all_tasks_blocked()
        entered: list[float] = []
        async with trio.open_nursery() as others:
            for _ in range(2):
                others.start_soon(hold, admission, 0.5, entered)
        assert [moment - start for moment in entered] == [0.0, 0.0]
        with pytest.raises(ApiError, match="Too many requests"):
            await stand_aside(admission, aside, 60.0)
        nursery.cancel_scope.cancel()
    # No place is lost by that, and none is there twice.
    start, entered = trio.current_time(), []
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hold, admission, 0.5, entered)
    assert [round(moment - start, 3) for moment in entered] == [0.0, 0.0, 0.5]
