"""The supervisor, under a clock that tests may turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from miroir.coordination import Supervisor


class _Watched:
    """A worker that crashes after the given times and then returns, or stays when told to."""

    def __init__(self, *lifetimes: float, stays: bool = False) -> None:
        self.lifetimes = list(lifetimes)
        self.stays = stays
        self.starts: list[float] = []
        self.ends: list[float] = []

    async def __call__(self) -> None:
        self.starts.append(trio.current_time())
        try:
            if self.lifetimes:
                await trio.sleep(self.lifetimes.pop(0))
                raise RuntimeError("on purpose")
            if self.stays:
                await trio.sleep_forever()
        finally:
            self.ends.append(trio.current_time())

    @property
    def pauses(self) -> list[float]:
        return [start - end for end, start in zip(self.ends, self.starts[1:], strict=False)]


@asynccontextmanager
async def _supervised() -> AsyncIterator[tuple[Supervisor, list[str], trio.CancelScope]]:
    restarts: list[str] = []
    async with trio.open_nursery() as nursery:
        yield Supervisor(nursery, restarts.append), restarts, nursery.cancel_scope


async def test_pauses_double_up_to_half_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    worker = _Watched(*[0.0] * 12)
    async with _supervised() as (supervisor, restarts, _):
        supervisor.run("w", worker)
    assert worker.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0])
    assert restarts == ["w"] * 12


async def test_one_that_ran_for_a_while_starts_anew(autojump_clock: trio.testing.MockClock) -> None:
    worker = _Watched(0.0, 0.0, 0.0, 59.0, 61.0, 0.0, 0.0)
    async with _supervised() as (supervisor, _, _):
        supervisor.run("w", worker)
    assert worker.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.1, 0.2, 0.4])


async def test_one_that_returns_is_done(autojump_clock: trio.testing.MockClock) -> None:
    """And when all are, so is the nursery."""
    worker = _Watched()
    with trio.fail_after(1):
        async with _supervised() as (supervisor, restarts, _):
            supervisor.run("w", worker)
    assert len(worker.starts) == 1
    assert restarts == []


async def test_cancellation_is_not_a_crash(autojump_clock: trio.testing.MockClock) -> None:
    """While it works, and in the pause after a crash."""
    working, pausing = _Watched(stays=True), _Watched(0.0, 0.0, 0.0, 0.0, 0.0)
    async with _supervised() as (supervisor, restarts, scope):
        supervisor.run("working", working)
        supervisor.run("pausing", pausing)
        await trio.sleep(0.15)
        scope.cancel()
    assert scope.cancelled_caught
    assert len(working.starts) == len(working.ends) == 1
    assert restarts == ["pausing"] * 2
    assert len(pausing.starts) == 2


async def test_cancellation_of_a_worker_with_a_nursery(autojump_clock: trio.testing.MockClock) -> None:
    """Its tasks are cancelled together, which comes as a group."""
    started = 0

    async def worker() -> None:
        nonlocal started
        started += 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    async with _supervised() as (supervisor, restarts, scope):
        supervisor.run("w", worker)
        await trio.sleep(1)
        scope.cancel()
    assert (started, restarts) == (1, [])


async def test_a_crash_inside_a_nursery_is_a_crash(autojump_clock: trio.testing.MockClock) -> None:
    inner = _Watched(1.0, 1.0)

    async def worker() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner)
            if inner.lifetimes:
                nursery.start_soon(trio.sleep_forever)

    with trio.fail_after(60):
        async with _supervised() as (supervisor, restarts, _):
            supervisor.run("w", worker)
    assert restarts == ["w", "w"]


async def test_what_is_no_exception_passes(autojump_clock: trio.testing.MockClock) -> None:
    """An interrupt or an exit that somebody asked for is not a worker's failure."""

    class AskedFor(BaseException):
        pass

    async def worker() -> None:
        raise AskedFor

    restarts: list[str] = []
    with pytest.raises(BaseExceptionGroup) as raised:
        async with trio.open_nursery() as nursery:
            Supervisor(nursery, restarts.append).run("w", worker)
    assert raised.group_contains(AskedFor)
    assert restarts == []


async def test_workers_crash_apart(autojump_clock: trio.testing.MockClock) -> None:
    fragile, steady = _Watched(0.0, 0.0, 0.0, 0.0), _Watched(5.0)
    async with _supervised() as (supervisor, restarts, _):
        supervisor.run("fragile", fragile)
        supervisor.run("steady", steady)
    assert fragile.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert steady.pauses == pytest.approx([0.1])
    assert sorted(restarts) == ["fragile"] * 4 + ["steady"]
    assert all(earlier < later for earlier, later in pairwise(fragile.starts))
