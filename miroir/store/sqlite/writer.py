"""The one thread that writes, and group commit.

A commit that survives a power cut waits for the disk: 1.6 ms where the statements themselves take microseconds. One
commit a write would cap a process at a few hundred writes a second however fast the rest is. So all writes go to one
thread. It takes everything that waits, runs it in one transaction, each request inside a savepoint of its own so that
one that is refused takes nothing with it, and commits once; while the disk is busy the next group gathers by itself.
Nobody is answered before the commit.

Answers return to Trio in the order of the transaction, a whole group in one callback. Trio wakes tasks in an order
of its own, so what must happen in the order of the writes (`on_delivery`) happens in that callback, before any waiter
runs.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

import outcome
import trio

from miroir.store.base import StoreUnavailable
from miroir.store.claims import current_claim
from miroir.store.rows import Claim, ShardCopies
from miroir.store.sqlite.connection import means_unavailable, unavailable

T = TypeVar("T")
_GROUP_AT_MOST: Final = 512


@dataclass(frozen=True, slots=True)
class Tx:
    """A running transaction: its connection, and the clock as it was when the request came to its turn."""

    db: sqlite3.Connection
    now_us: int
    claim: Claim | None = None
    """What the request is made under."""
    changes: list[tuple[str, ShardCopies]] = field(default_factory=list)
    """In-sync sets that the request has changed, for whoever watches them."""

    @property
    def now_ms(self) -> int:
        """The same instant in milliseconds."""
        return self.now_us // 1000

    def next(self, counter: str, at_least: int = 0) -> int:
        """The counter's next value: one more than the last, or `at_least` if that is more."""
        row = self.db.execute(
            "UPDATE counters SET value = max(value + 1, ?) WHERE name = ? RETURNING value", (at_least, counter)
        ).fetchone()
        return int(row[0])


@dataclass(slots=True, eq=False)
class _Request(Generic[T]):
    work: Callable[[Tx], T]
    task: trio.lowlevel.Task | None = None
    on_delivery: Callable[[T], None] | None = None
    undo: Callable[[Tx, T], None] | None = None
    claim: Claim | None = None
    abandoned: bool = False
    changes: list[tuple[str, ShardCopies]] = field(default_factory=list)
    result: outcome.Outcome[T] | None = field(default=None, repr=False)


class Writer:
    """Runs requests in groups on its thread. Made and used on one Trio thread."""

    def __init__(self, db: sqlite3.Connection, clock_us: Callable[[], int]) -> None:
        self._db = db
        self._clock_us = clock_us
        self._token = trio.lowlevel.current_trio_token()
        self._requests: queue.SimpleQueue[_Request[Any] | None] = queue.SimpleQueue()
        self._undelivered = 0
        self._idle = trio.Event()
        self._closing = False
        self.watch: Callable[[str, ShardCopies], None] = _unwatched
        # A daemon: a Trio run that crashed without closing the store must not keep the process alive. Whatever was
        # not committed was not acknowledged.
        self._thread = threading.Thread(target=self._serve, name="miroir-store-writer", daemon=True)
        self._thread.start()

    async def run(
        self,
        work: Callable[[Tx], T],
        on_delivery: Callable[[T], None] | None = None,
        undo: Callable[[Tx, T], None] | None = None,
    ) -> T:
        """Run `work` in a transaction and return what it returned, once that is on the disk.

        What `work` raises is raised here, and what it did is undone. `on_delivery` is called with its result, in the
        order of the transactions, before any waiter goes on. A cancelled call does not wait: the work may or may not
        have been done, and `on_delivery` is not called; if it was done, `undo` follows in a transaction of its own.
        """
        if self._closing:
            raise StoreUnavailable("the store is closed")
        await trio.lowlevel.checkpoint_if_cancelled()
        request = _Request(work, trio.lowlevel.current_task(), on_delivery, undo, current_claim())
        self._submit(request)

        def abandon(_: Callable[[], None]) -> trio.lowlevel.Abort:
            request.abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        result: T = await trio.lowlevel.wait_task_rescheduled(abandon)
        return result

    async def aclose(self) -> None:
        """Finish what was asked, with the undoing of what was abandoned, and end the thread."""
        self._closing = True
        if self._undelivered:
            await self._idle.wait()
        if self._thread.is_alive():
            self._requests.put(None)
            await trio.to_thread.run_sync(self._thread.join)

    def _submit(self, request: _Request[Any]) -> None:
        self._undelivered += 1
        self._requests.put(request)

    # -- on the thread -----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            for group in self._groups():
                wanted = [request for request in group if not request.abandoned]
                committed = outcome.capture(self._transact, wanted)
                if isinstance(committed, outcome.Error):
                    self._fail(wanted, committed.error)
                self._token.run_sync_soon(self._deliver, group)
        except trio.RunFinishedError:
            pass  # nobody is left to answer
        finally:
            self._db.close()

    def _groups(self) -> Iterator[list[_Request[Any]]]:
        """Everything that waits, again and again, until the end is asked for."""
        while True:
            request = self._requests.get()
            group = []
            while request is not None:
                group.append(request)
                if len(group) == _GROUP_AT_MOST or self._requests.empty():
                    break
                request = self._requests.get()
            if group:
                yield group
            if request is None:
                return

    def _transact(self, group: list[_Request[Any]]) -> None:
        if not group:
            return
        self._db.execute("BEGIN IMMEDIATE")
        for request in group:
            self._attempt(request)
        self._db.execute("COMMIT")

    def _attempt(self, request: _Request[Any]) -> None:
        self._db.execute("SAVEPOINT request")
        tx = Tx(self._db, self._clock_us(), request.claim)
        result = outcome.capture(request.work, tx)
        if isinstance(result, outcome.Error):
            if not self._db.in_transaction:
                # SQLite has given up the whole transaction (disk full, I/O error), and with it the others' work.
                raise result.error
            self._db.execute("ROLLBACK TO request")
            if means_unavailable(result.error):
                result = outcome.Error(unavailable(result.error))
        self._db.execute("RELEASE request")
        request.result = result
        request.changes = tx.changes if isinstance(result, outcome.Value) else []

    def _fail(self, group: list[_Request[Any]], error: BaseException) -> None:
        """The group's transaction came to nothing."""
        if self._db.in_transaction:
            outcome.capture(self._db.execute, "ROLLBACK")
        for request in group:
            request.result = outcome.Error(unavailable(error))
            request.changes = []

    # -- on Trio's thread --------------------------------------------------------------------------------------------

    def _deliver(self, group: list[_Request[Any]]) -> None:
        for request in group:
            self._answer(request)
        self._undelivered -= len(group)
        if self._closing and self._undelivered == 0:
            self._idle.set()

    def _answer(self, request: _Request[Any]) -> None:
        """Wake the waiter, if there still is one. A success that nobody took is undone."""
        result = request.result
        if result is None:
            return  # abandoned before its turn came: never run
        for physical_uid, sets in request.changes:
            self.watch(physical_uid, sets)
        if isinstance(result, outcome.Value):
            told = None if request.abandoned else outcome.capture(request.on_delivery or _nothing, result.value)
            if not isinstance(told, outcome.Value):
                if request.undo is not None:
                    self._submit(_Request(partial(_undone, request.undo, result.value)))
                result = told or result
        if not request.abandoned and request.task is not None:
            trio.lowlevel.reschedule(request.task, result)


def _unwatched(_: str, __: ShardCopies) -> None:
    """Nobody wants to know of in-sync sets."""


def _nothing(_: object) -> None:
    """What happens at a delivery when nothing was asked for."""


def _undone(undo: Callable[[Tx, T], None], value: T, tx: Tx) -> None:
    undo(tx, value)
