"""Follow-ups: what has to happen because a task has failed, such as taking its settings back.

It takes requests to nodes, so it cannot happen in the transaction that settles the task, and must not be lost when the
process dies right behind that. So the settlement leaves a row, and the row goes when the follow-up is done. It may be
done twice; whoever does it has to bear that.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from miroir.errors import ApiError
from miroir.store import Store, StoreError, TaskRow
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0

FollowUp = Callable[[TaskRow], Awaitable[None]]


class FollowUps:
    """Does what follows from each task that failed or was canceled, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._follow_ups: list[FollowUp] = []
        self._news = trio.Event()

    def add(self, follow_up: FollowUp) -> None:
        """Have it awaited with each such task of an index, at least once, whatever becomes of the process."""
        self._follow_ups.append(follow_up)

    def due(self) -> None:
        """The store has a new one."""
        self._news.set()

    async def run(self) -> None:
        """Do what a process before this one left, then what comes, for ever. A worker for the supervisor."""
        pause = _RETRY_S
        while True:
            self._news = trio.Event()
            left = False
            for task in await self._store.list_follow_ups():
                left = not await self._done(task, pause) or left
            with trio.move_on_after(pause if left else math.inf) as waiting:
                await self._news.wait()
            pause = min(pause * 2, _LONGEST_RETRY_S) if waiting.cancelled_caught else _RETRY_S

    async def _done(self, task: TaskRow, pause: float) -> bool:
        try:
            for follow_up in self._follow_ups:
                await follow_up(task)
            await self._store.finish_follow_up(task.uid)
        except (ApiError, StoreError) as failure:
            _log.warning("follow-up put off", task_uid=task.uid, reason=str(failure), retry_in_s=pause)
            return False
        except Exception:  # noqa: BLE001 - a mistake of ours about one task must not keep the others waiting
            _log.exception("follow-up failed", task_uid=task.uid, retry_in_s=pause)
            return False
        return True
