"""What is SQLite's own: the file, its schema, its lock, a full disk, a killed process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from miroir.store import Intent, SchemaVersionAhead, Store, StoreUnavailable, TaskQuery
from miroir.store.sqlite import SqliteStore, open_sqlite
from miroir.store.sqlite.schema import migrate
from miroir.store.sqlite.task_listing import list_tasks
from tests.unit.store.samples import NOW, announce, begun, found, new_task, outcome


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "store.db"


@pytest.fixture
async def impatient(file: Path) -> AsyncIterator[SqliteStore]:
    """A store that waits 50 ms for the file's lock."""
    async with await open_sqlite(file, busy_timeout_ms=50) as store:
        yield store


async def test_every_commit_waits_for_the_disk(file: Path, impatient: SqliteStore) -> None:
    modes = await impatient._writer.run(
        lambda tx: [tx.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert modes == ["wal", 2]


async def test_reads_cannot_write(impatient: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await impatient._reader.run(lambda db: db.execute("DELETE FROM tasks"))
    assert await impatient.open_tasks() == []


async def test_opening_an_up_to_date_store_costs_one_select(file: Path) -> None:
    await (await open_sqlite(file)).aclose()
    db = sqlite3.connect(file, isolation_level=None)
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    migrate(db)
    db.close()
    assert len(statements) == 1
    assert statements[0].startswith("SELECT")


async def test_a_newer_store_is_refused(file: Path) -> None:
    await (await open_sqlite(file)).aclose()
    db = sqlite3.connect(file)
    db.execute("INSERT INTO schema_versions VALUES (999, '999_later.sql', '')")
    db.commit()
    db.close()
    with pytest.raises(SchemaVersionAhead, match="999"):
        await open_sqlite(file)


async def test_many_open_a_new_store_at_once(file: Path) -> None:
    ids: set[str] = set()

    async def open_and_ask() -> None:
        async with await open_sqlite(file) as store:
            ids.add(await store.cluster_id())

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(open_and_ask)
    assert len(ids) == 1


@pytest.mark.parametrize("content", [b"this is no database, whatever it is, " * 200, None])
async def test_what_is_no_store_is_unavailable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(content or b"")
    with pytest.raises(StoreUnavailable):
        await open_sqlite(path if content else path / "store.db")


async def test_a_locked_file_is_unavailable_and_nothing_is_half_applied(file: Path, impatient: SqliteStore) -> None:
    await found(impatient)
    kept = await begun(impatient, announce())
    locker = sqlite3.connect(file, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    refused = 0

    async def try_it() -> None:
        nonlocal refused
        with pytest.raises(StoreUnavailable, match="locked"):
            await impatient.begin(announce(), lambda intent: pytest.fail(f"begun: {intent}"))
        refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(try_it)
        with pytest.raises(StoreUnavailable):
            await impatient.commit(outcome(kept))
    assert refused == 5
    assert await impatient.open_intents() == [kept]  # readers are not kept away
    locker.execute("ROLLBACK")
    locker.close()
    await impatient.commit(outcome(kept))
    assert await impatient.open_intents() == []


async def test_a_begin_that_was_done_but_never_answered_is_withdrawn(file: Path) -> None:
    """The caller is cancelled while the writer's thread is inside the transaction: its clock stands still there."""
    armed, entered, leave = threading.Event(), threading.Event(), threading.Event()

    def clock_us() -> int:
        if armed.is_set():
            entered.set()
            leave.wait(30)
        return 1_770_000_000_000_000

    async with await open_sqlite(file, clock_us=clock_us) as store:
        await found(store)
        armed.set()
        called: list[Intent] = []
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(store.begin, announce(), called.append)
            await trio.to_thread.run_sync(entered.wait, 30)
            nursery.cancel_scope.cancel()
        armed.clear()
        leave.set()
        await begun(store, announce())
        # One stamp at least was issued to nobody, so the clock's own was taken. Its undoing is a write of its own.
        with trio.fail_after(60):
            while len(intents := await store.open_intents()) != 1:
                await trio.sleep(0.01)
        (left,) = intents
        assert left.stamp > 1_770_000_000_000_000
        assert called == []
        assert await store.list_repairs() == []


async def test_a_full_disk_is_unavailable_and_the_store_goes_on_after(impatient: SqliteStore) -> None:
    await found(impatient)

    def limit(pages: int) -> None:
        impatient._writer._db.execute(f"PRAGMA max_page_count = {pages}")

    used = await impatient._writer.run(lambda tx: int(tx.db.execute("PRAGMA page_count").fetchone()[0]))
    limit(used + 2)
    large = new_task(details={"x": "x" * 100_000})
    outcomes: list[str] = []

    async def add(small: bool) -> None:
        try:
            await impatient.add_task(new_task() if small else large)
        except StoreUnavailable as failure:
            outcomes.append(str(failure))
        else:
            outcomes.append("kept")

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(add, number % 3 != 0)
    assert set(outcomes) <= {"kept", "SQLite: database or disk is full"}
    assert len(outcomes) - outcomes.count("kept") >= 2
    assert (await impatient.list_tasks(TaskQuery())).total == outcomes.count("kept")
    limit(2**30)
    await impatient.add_task(large)
    assert (await impatient.list_tasks(TaskQuery())).total == outcomes.count("kept") + 1
    intent = await begun(impatient, announce())
    await impatient.commit(outcome(intent))


async def test_a_mistake_of_ours_is_not_the_files(impatient: SqliteStore) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        await impatient._writer.run(lambda tx: tx.db.execute("SELECT ?"))
    with pytest.raises(ZeroDivisionError):
        await impatient._reader.run(lambda db: 1 // 0)


_KILLED = """
import sys, trio
from miroir.store.sqlite import open_sqlite
from tests.unit.store.samples import announce, found, new_task, outcome

async def write(store):
    while True:
        intent = await store.begin(announce((0, 1)), lambda intent: None)
        committed = await store.commit(outcome(intent))
        sys.stdout.write(f"{committed.task.uid} {intent.stamp}\\n")
        sys.stdout.flush()

async def main():
    async with await open_sqlite(sys.argv[1]) as store:
        await found(store)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(write, store)

trio.run(main)
"""


async def test_a_killed_process_leaves_every_acknowledged_row(file: Path) -> None:
    root = Path(__file__).parents[3]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", _KILLED, str(file)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert process.stdout is not None
    received = b""
    with trio.fail_after(60):
        while received.count(b"\n") < 300:
            received += await process.stdout.receive_some()
        process.send_signal(signal.SIGKILL)
        while chunk := await process.stdout.receive_some():
            received += chunk
        await process.wait()
    # A line cut by the kill was acknowledged to nobody.
    lines = received[: received.rindex(b"\n")].decode().splitlines()
    acknowledged = {int(uid): int(stamp) for uid, stamp in map(str.split, lines)}
    async with await open_sqlite(file) as store:
        await _check_after_kill(store, acknowledged)


async def _check_after_kill(store: Store, acknowledged: dict[int, int]) -> None:
    page = await store.list_tasks(TaskQuery(limit=1_000_000))
    kept = {task.uid: task.stamp for task in page.tasks}
    assert acknowledged.items() <= kept.items()
    assert page.total == len(kept) == (await store.count_tasks())["enqueued"]
    left: list[Intent] = await store.open_intents()
    assert len(left) <= 10
    assert not {intent.stamp for intent in left} & set(kept.values())
    assert await store.issue_stamp() > max(kept.values())
    assert (await store.add_task(new_task())).uid > max(kept)


@pytest.mark.parametrize(
    ("query", "counted", "paged"),
    [
        (TaskQuery(), "SCAN task_counts", "SCAN tasks"),  # from the end, no further than the page
        (
            TaskQuery(uids=frozenset({1, 2}), statuses=frozenset({"failed"})),
            "INTEGER PRIMARY KEY",
            "INTEGER PRIMARY KEY",
        ),
        (TaskQuery(canceled_by=frozenset({1})), "tasks_by_canceled_by", "tasks_by_canceled_by"),
        (TaskQuery(statuses=frozenset({"enqueued"})), "COVERING INDEX", "COVERING INDEX"),
        (TaskQuery(types=frozenset({"dumpCreation"})), "COVERING INDEX", "COVERING INDEX"),
        (TaskQuery(index_uids=frozenset({"i"})), "COVERING INDEX", "COVERING INDEX"),
        (TaskQuery(index_uids=frozenset({"i"}), types=frozenset({"x"})), "COVERING INDEX", "COVERING INDEX"),
        (TaskQuery(after_enqueued_at=NOW), "COVERING INDEX", "COVERING INDEX"),
    ],
)
async def test_listings_meet_an_index(impatient: SqliteStore, query: TaskQuery, counted: str, paged: str) -> None:
    """What SQLite plans, since how long it takes on a busy machine says little."""

    def plans(db: sqlite3.Connection) -> list[str]:
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        list_tasks(db, query)
        db.set_trace_callback(None)
        explained = [db.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in statements if "SELECT" in each[:6]]
        return ["; ".join(step[3] for step in steps) for steps in explained]

    count, page, rows = await impatient._reader.run(plans)
    assert counted in count
    assert paged in page
    assert ("SCAN tasks" in page) == (query == TaskQuery())
    if paged in ("SCAN tasks", "INTEGER PRIMARY KEY"):
        assert "USE TEMP B-TREE" not in page
    assert "INTEGER PRIMARY KEY" in rows
