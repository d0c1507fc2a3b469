"""`attribute != value` in a filter that chooses documents to be changed, told before it is sent.

A node looks for them when it comes to the task, behind the writes before it, and the first document with the attribute
may be in one of those. So where nobody knows the attribute yet, their end is waited for: what is known then is what one
node would know at that place of its queue. Writes that overlap in time have no order among them, here as elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import trio

from miroir.cluster import ANYWHERE
from miroir.errors import ApiError, miroir_error
from miroir.indexes import Index
from miroir.indexes.inequality import Known, told_by_list, unequal_attributes
from miroir.tasks import TaskTracker

Find = Callable[[Index, Collection[str], Any], Awaitable[Known]]
"""Asks the nodes of an index which of these attributes they know, and whether they take the filter."""

_TEACHING: Final = frozenset({"documentAdditionOrUpdate", "documentEdition", "settingsUpdate"})
"""Types of tasks from which nodes may learn an attribute, or which filters they take."""


class Inequalities:
    """Tells filters. `patience_s`: how long the writes before are waited for."""

    def __init__(self, tracker: TaskTracker, find: Find, *, patience_s: float) -> None:
        self._tracker = tracker
        self._find = find
        self._patience_s = patience_s

    async def told(self, index: Index, filter: Any, *, aside: AbstractAsyncContextManager[None] = ANYWHERE) -> Any:
        """The filter in words that every node takes alike; as it is where nodes refuse it, for their texts show it.

        Who waits for other writes stands `aside` meanwhile. 503 `miroir_overloaded` where what it would find cannot be
        known in time.
        """
        names = unequal_attributes(filter)
        if not names:
            return filter
        await self._tracker.followed()
        before = self._before(index)
        known = await self._find(index, names, filter)
        may_change = bool(index.proposed) if known.is_refused else not known.names >= names
        if before and may_change:
            with trio.move_on_after(self._patience_s) as waiting:
                async with aside:
                    for uid in before:
                        await self._tracker.wait(uid)
            if not waiting.cancelled_caught:
                known = await self._find(index, names, filter)
            elif not known.is_refused:
                raise _too_early(names - known.names)
        if known.is_refused:
            return filter
        if not (known.is_complete or known.names >= names):
            raise _too_early(names - known.names)
        return told_by_list(filter, known.names)

    def _before(self, index: Index) -> Sequence[int]:
        """The open tasks of the index that may change what its nodes know."""
        return [
            task.uid
            for task in self._tracker.open_tasks
            if task.physical_uid == index.physical_uid and task.type in _TEACHING
        ]


def _too_early(unknown: Collection[str]) -> ApiError:
    listed = ", ".join(f"`{name}`" for name in sorted(unknown))
    return miroir_error(
        "miroir_overloaded",
        f"What `!=` finds in this filter depends on whether a document ever had {listed}. Nodes that are out of reach, "
        "or writes that are not done yet, may have some. Nothing was changed; try again shortly.",
    )
