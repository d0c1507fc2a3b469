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
        self._limit = limit
        self.waiting = 0

    async def __aenter__(self) -> None:
        try:
            self._places.acquire_nowait()
            return
        except trio.WouldBlock:
            pass
        if self.waiting < self._limit:
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
        self._places.release()
