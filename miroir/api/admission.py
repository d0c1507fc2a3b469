"""Admission: how many requests run at once, and how long others may wait for their turn."""

from __future__ import annotations

from types import TracebackType

import trio

from miroir.errors import miroir_error

_WAIT_S = 2.0


class Admission:
    """A bounded number of requests, with a short bounded wait: `async with admission: ...`.

    Entering raises 503 `miroir_overloaded` when no place gets free in time, or when as many wait as may run.
    """

    def __init__(self, limit: int) -> None:
        self._places = trio.Semaphore(limit)
        self.limit = limit
        self.waiting = 0
        self._left: set[trio.lowlevel.Task] = set()

    async def __aenter__(self) -> None:
        try:
            self._places.acquire_nowait()
            return
        except trio.WouldBlock:
            pass
        if self.waiting < self.limit:
            self.waiting += 1
            try:
                with trio.move_on_after(_WAIT_S):
                    await self._places.acquire()
                    return
            finally:
                self.waiting -= 1
        raise miroir_error("miroir_overloaded", "Too many requests at once. Try again shortly.")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left:
            task = trio.lowlevel.current_task()
            if task in self._left:
                self._left.discard(task)
                return
        self._places.release()

    def leave(self) -> None:
        """Let another have the place before the block ends. To be called in the block's own task; twice is once."""
        task = trio.lowlevel.current_task()
        if task not in self._left:
            self._left.add(task)
            self._places.release()


class Aside:
    """Where a request stands that waits for a node's queue, however long that is, and keeps nobody from being served.

    `async with aside:` gives its place in the admission up. As many may stand here as may be served; entering raises as
    the admission does.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._standing = Admission(admission.limit)

    async def __aenter__(self) -> None:
        await self._standing.__aenter__()
        self._admission.leave()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._standing.__aexit__(kind, error, trace)
