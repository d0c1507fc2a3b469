"""What an `Idempotency-Key` stands for in the store, through everything that may become of an attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from miroir.store import (
    AttemptedBefore,
    Claim,
    Held,
    IdempotencyRow,
    KeyTaken,
    NoQuorum,
    Store,
    TaskQuery,
    TaskRow,
    TaskSummary,
    claimed,
)
from tests.unit.store.places import Place
from tests.unit.store.samples import NOW, Clock, announce, begun, copies, found, index_row, new_task, outcome

CLAIM = Claim(b"k" * 32, b"f" * 32, 2**60)
OTHER_REQUEST = replace(CLAIM, fingerprint=b"g" * 32)


async def _kept(store: Store, clock: Clock) -> IdempotencyRow | None:
    return await store.find_idempotency(CLAIM.key, clock.now_ms)


async def test_the_key_stands_for_the_task_from_the_moment_of_the_commit(store: Store, clock: Clock) -> None:
    await found(store)
    with claimed(CLAIM):
        intent = await begun(store, announce(claim=CLAIM))
        assert await _kept(store, clock) == IdempotencyRow(CLAIM.key, CLAIM.fingerprint, 1, None, None, 2**60)
        task = (await store.commit(outcome(intent))).task
    kept = await _kept(store, clock)
    assert kept is not None
    assert kept.task == TaskSummary(task.uid, "books", "documentAdditionOrUpdate", NOW)
    for claim in (CLAIM, OTHER_REQUEST):
        with pytest.raises(KeyTaken):
            await begun(store, announce(claim=claim))
        with claimed(claim), pytest.raises(KeyTaken):
            await store.add_task(new_task())
    assert await store.open_intents() == []
    assert (await store.list_tasks(TaskQuery())).total == 1


async def test_every_way_to_register_a_task_binds_the_key(store: Store, clock: Clock) -> None:
    await found(store)
    terminal = new_task(status="failed", finished_at=NOW)
    ways: tuple[Callable[[], Awaitable[TaskRow]], ...] = (
        lambda: store.add_task(terminal),
        lambda: store.add_cancelation(new_task(None, type="taskCancelation"), TaskQuery(), frozenset()),
        lambda: store.add_deletion(new_task(None, type="taskDeletion"), TaskQuery()),
        lambda: store.delete_index("books", "books", new_task(type="indexDeletion")),
    )
    for number, register in enumerate(ways):
        claim = Claim(bytes([number]) * 32, b"f" * 32, 2**60)
        with claimed(claim):
            task = await register()
        kept = await store.find_idempotency(claim.key, clock.now_ms)
        assert kept is not None
        assert kept.task is not None
        assert kept.task.uid == task.uid


async def test_tasks_of_our_own_leave_the_key_alone(store: Store, clock: Clock) -> None:
    with claimed(CLAIM):
        await store.add_task(new_task(origin="write"))
        assert await _kept(store, clock) is None
        task = await store.add_task(new_task())
    await store.add_task(new_task())
    kept = await _kept(store, clock)
    assert kept is not None
    assert kept.task is not None
    assert kept.task.uid == task.uid


async def test_an_attempt_that_did_nothing_frees_the_key(store: Store, clock: Clock) -> None:
    await found(store)
    intent = await begun(store, announce(claim=CLAIM))
    await store.withdraw(intent.stamp, verify=False)
    assert await _kept(store, clock) is None
    await begun(store, announce(claim=OTHER_REQUEST))


@pytest.mark.parametrize("end", ["withdrawn", "expired", "no quorum"])
async def test_an_attempt_that_may_have_done_something_keeps_the_key_for_its_request(
    store: Store, clock: Clock, end: str
) -> None:
    await found(store)
    intent = await begun(store, announce(claim=CLAIM))
    if end == "withdrawn":
        await store.withdraw(intent.stamp, verify=True)
    elif end == "expired":
        await store.expire_intents(2**60, frozenset())
    else:
        with pytest.raises(NoQuorum):
            await store.commit(outcome(intent, accepted=()))
    kept = await _kept(store, clock)
    assert kept == IdempotencyRow(CLAIM.key, CLAIM.fingerprint, 1, None, None, 2**60)
    with pytest.raises(KeyTaken):
        await begun(store, announce(claim=OTHER_REQUEST))
    with pytest.raises(AttemptedBefore):
        await begun(store, announce(claim=CLAIM, repeatable=False))
    with claimed(CLAIM):
        task = (await store.commit(outcome(await begun(store, announce(claim=CLAIM))))).task
    kept = await _kept(store, clock)
    assert kept is not None
    assert (kept.attempts, kept.task and kept.task.uid) == (2, task.uid)


async def test_a_second_attempt_that_did_nothing_leaves_the_first_in_doubt(store: Store, clock: Clock) -> None:
    await found(store)
    await store.withdraw((await begun(store, announce(claim=CLAIM))).stamp, verify=True)
    await store.withdraw((await begun(store, announce(claim=CLAIM))).stamp, verify=False)
    kept = await _kept(store, clock)
    assert kept is not None
    assert kept.attempts == 1


async def test_two_attempts_are_never_open_at_once(store: Store) -> None:
    await found(store)
    first = await begun(store, announce(claim=CLAIM))
    with pytest.raises(Held):
        await begun(store, announce(claim=CLAIM))
    await store.withdraw(first.stamp, verify=True)
    await begun(store, announce(claim=CLAIM))


async def test_the_key_survives_the_process(place: Place, clock: Clock) -> None:
    store = await place.open(clock)
    await found(store)
    await begun(store, announce(claim=CLAIM))
    await store.aclose()
    store = await place.open(clock)
    try:
        await store.expire_intents(0, frozenset({"p1"}))
        with pytest.raises(AttemptedBefore):
            await begun(store, announce(claim=CLAIM, repeatable=False))
        with pytest.raises(KeyTaken):
            await begun(store, announce(claim=OTHER_REQUEST))
    finally:
        await store.aclose()


async def test_the_key_remembers_the_index_it_made_until_that_is_gone(store: Store, clock: Clock) -> None:
    await found(store)
    row, _ = await store.insert_index(index_row("films", "films-1"), copies(), CLAIM)
    kept = await _kept(store, clock)
    assert kept is not None
    assert (kept.made, kept.attempts) == ("films-1", 0)
    intent = await begun(store, announce((0,), "films", physical_uid="films-1", claim=CLAIM))
    await store.withdraw(intent.stamp, verify=False)
    kept = await _kept(store, clock)
    assert kept is not None
    assert (kept.made, kept.attempts) == ("films-1", 0)
    await store.delete_index(row.uid, row.physical_uid, new_task(origin="rollback", type="indexDeletion"))
    assert await _kept(store, clock) is None


async def test_an_index_that_was_there_already_is_not_made(store: Store, clock: Clock) -> None:
    await found(store)
    _, inserted = await store.insert_index(index_row(), copies(), CLAIM)
    assert not inserted
    assert await _kept(store, clock) is None


async def test_keys_expire_and_the_oldest_beyond_the_limit_are_forgotten(store: Store, clock: Clock) -> None:
    for number in range(5):
        with claimed(Claim(bytes([number]) * 32, b"f", clock.now_ms + 1000 * (number + 1))):
            await store.add_task(new_task())
    assert await store.count_idempotency() == 5
    clock.now_us += 1_000_000
    first = Claim(bytes([0]) * 32, b"other", clock.now_ms + 1)
    assert await store.find_idempotency(first.key, clock.now_ms) is None
    with claimed(first):
        again = await store.add_task(new_task())  # an expired key may stand for anything
    kept = await store.find_idempotency(first.key, clock.now_ms)
    assert kept is not None
    assert kept.task is not None
    assert kept.task.uid == again.uid
    assert await store.prune_idempotency(clock.now_ms + 1, 2) == 3
    assert await store.count_idempotency() == 2
    for number, left in ((2, False), (3, True), (4, True)):
        assert (await store.find_idempotency(bytes([number]) * 32, clock.now_ms) is not None) == left
