"""Many at once: order, isolation, cancellation, several stores in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from miroir.store import Held, HoldRow, Intent, MappingChanged, NewTask, NoQuorum, Store, StoreUnavailable, TaskQuery
from tests.unit.store.places import Place
from tests.unit.store.samples import Clock, announce, begun, copies, found, index_row, new_task, outcome, settlement


async def test_fifty_writers_at_once(store: Store) -> None:
    await found(store)
    order: list[int] = []
    went_on: list[int] = []

    async def write(number: int) -> None:
        for _ in range(4):
            intent = await store.begin(announce((number % 4,)), lambda intent: order.append(intent.stamp))
            went_on.append(intent.stamp)
            # Whoever goes on has been preceded by the callbacks of all earlier stamps.
            assert order == sorted(order)
            assert intent.stamp in order
            await store.commit(outcome(intent))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(write, number)
    assert len(set(order)) == 200
    assert set(went_on) == set(order)
    page = await store.list_tasks(TaskQuery(limit=1000))
    assert page.total == 200
    assert {task.stamp for task in page.tasks} == set(order)
    assert [task.uid for task in page.tasks] == list(reversed(range(200)))
    assert await store.open_intents() == []


async def test_one_that_is_refused_takes_nothing_with_it(store: Store, clock: Clock) -> None:
    """All of these are asked in one instant, so that they share a transaction wherever the backend has groups."""
    await found(store)
    await store.place_hold(HoldRow("move", "books", (3,), clock.now_ms + 1000))
    intents = [await begun(store, announce()) for _ in range(10)]
    results: dict[str, int] = {}

    async def tally(name: str, call: object) -> None:
        try:
            await call  # type: ignore[misc]  # a coroutine of any kind
        except (Held, MappingChanged, NoQuorum, ValueError) as refusal:
            name = type(refusal).__name__
        results[name] = results.get(name, 0) + 1

    async with trio.open_nursery() as nursery:
        for number, intent in enumerate(intents):
            nursery.start_soon(tally, "committed", store.commit(outcome(intent, "abc" if number % 2 else "x")))
            nursery.start_soon(tally, "begun", store.begin(announce((3,)), _ignore))
            nursery.start_soon(tally, "begun", store.begin(announce((2,), uid="unknown"), _ignore))
            row = index_row(f"i{number}")
            nursery.start_soon(tally, "inserted", store.insert_index(row, {0: frozenset(), 1: frozenset("a")}))
            nursery.start_soon(tally, "registered", store.add_task(new_task()))
    assert results == {
        "committed": 5,
        "NoQuorum": 5,
        "Held": 10,
        "MappingChanged": 10,
        "ValueError": 10,
        "registered": 10,
    }
    assert (await store.list_tasks(TaskQuery())).total == 15
    assert [row.uid for row in await store.list_indexes()] == ["books"]
    assert await store.open_intents() == []
    assert len(await store.list_repairs()) == 1


def _ignore(_: Intent) -> None:
    """Takes no place anywhere."""


async def test_callbacks_run_before_any_waiter_goes_on(store: Store) -> None:
    """The second of two begins of one instant has its places before the first goes on."""
    await found(store)
    events: list[str] = []

    async def write(name: str) -> None:
        await store.begin(announce(), lambda intent: events.append("callback"))
        events.append("went on")

    async with trio.open_nursery() as nursery:
        await store.issue_stamp()
        for name in "abc":
            nursery.start_soon(write, name)
    assert events.count("callback") == 3
    went_on = 0
    for number, event in enumerate(events):
        went_on += event == "went on"
        assert went_on <= events[:number].count("callback") + (event == "callback")


async def test_a_begin_cancelled_before_its_answer_leaves_nothing(store: Store) -> None:
    await found(store)
    called: list[Intent] = []
    cancelled = 0
    for hold_back in range(30):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.begin, announce(), called.append)
                for _ in range(hold_back % 3):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        cancelled += scope.cancelled_caught
    assert cancelled > 0
    # Writes are done in order: behind this one no begin is still to come, only withdrawals of those answered too late.
    await store.issue_stamp()
    while len(await store.open_intents()) > len(called):
        await store.issue_stamp()
    assert await store.open_intents() == called
    assert await store.list_repairs() == []


async def test_closing_withdraws_what_nobody_took(place: Place, clock: Clock) -> None:
    store = await place.open(clock)
    await found(store)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(store.begin, announce(), _never)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await store.aclose()
    store = await place.open(clock)
    assert await store.open_intents() == []
    await store.aclose()


def _never(intent: Intent) -> None:
    raise AssertionError(f"nobody waited for {intent}")


async def test_a_callback_that_fails_withdraws_its_intent_and_no_other(store: Store) -> None:
    await found(store)
    results: list[str] = []

    async def write(number: int) -> None:
        def take_places(intent: Intent) -> None:
            if number == 1:
                raise LookupError("no lane")

        try:
            await store.begin(announce(), take_places)
        except LookupError as failure:
            results.append(str(failure))
        else:
            results.append("begun")

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(write, number)
    assert sorted(results) == ["begun", "begun", "no lane"]
    await store.issue_stamp()
    assert len(await store.open_intents()) == 2


async def test_an_already_cancelled_call_does_nothing(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.add_task(new_task())
    assert scope.cancelled_caught
    assert (await store.list_tasks(TaskQuery())).total == 0


@pytest.fixture
async def other(place: Place, store: Store, clock: Clock) -> AsyncIterator[Store]:
    """A second process's store in the same place; its clock is an hour behind."""
    behind = Clock(clock.now_us - 3_600_000_000)
    opened = await place.open(behind)
    yield opened
    await opened.aclose()


async def test_two_stores_in_one_place_draw_from_one_sequence(store: Store, other: Store) -> None:
    await found(store)
    stamps: list[int] = []
    uids: list[int] = []
    names: list[str] = []

    async def work(each: Store) -> None:
        for _ in range(10):
            before = max(stamps, default=0)
            intent = await begun(each, announce())
            assert intent.stamp > before
            stamps.append(intent.stamp)
            uids.append((await each.commit(outcome(intent))).task.uid)
            names.append(await each.next_physical_uid("films"))

    async with trio.open_nursery() as nursery:
        for each in (store, other) * 3:
            nursery.start_soon(work, each)
    assert len(set(stamps)) == 60
    assert sorted(uids) == list(range(60))
    assert len(set(names)) == 60


async def test_what_one_store_wrote_the_other_reads_and_obeys(store: Store, other: Store, clock: Clock) -> None:
    row = await found(store)
    assert await other.list_indexes() == [row]
    intent = await begun(store, announce())
    assert await other.open_intents() == [intent]
    await other.place_hold(HoldRow("move", "books", (), clock.now_ms + 5000))
    with pytest.raises(Held):
        await begun(store, announce())
    committed = await other.commit(outcome(intent, "ab"))
    assert (await store.load_in_sync())["books"] == {**copies(), 0: frozenset("ab")}
    settled, _ = await store.settle(settlement(committed.task))
    assert await other.settle(settlement(committed.task, copies("a"))) == (settled, {})


async def test_a_closed_store_says_so(place: Place, clock: Clock) -> None:
    store = await place.open(clock)
    results: list[object] = []

    async def add(task: NewTask) -> None:
        results.append(await store.add_task(task))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(add, new_task())
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(store.aclose)
    assert len(results) == 5
    with pytest.raises(StoreUnavailable):
        await store.add_task(new_task())
    with pytest.raises(StoreUnavailable):
        await store.open_tasks()
    await store.aclose()
