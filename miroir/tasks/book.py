"""The book of open tasks: what is followed, and which node task each of them waits for.

Everything here is looked up, never searched: with ten thousand open tasks an entry must cost the same as with ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, KeysView
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import trio

from miroir.nodes import NodeTaskView
from miroir.store import NodeTask, NodeTaskStatus, TaskRow

Key = tuple[str, int]
"""A node task on its node: the disk's incarnation and the uid there. A wiped node gives out its uids anew."""


@dataclass(slots=True)
class Entry:
    """A task that is being followed, and what its nodes have said of it so far."""

    row: TaskRow
    views: dict[tuple[str, int], NodeTaskView] = field(default_factory=dict)
    settling: bool = False
    done: trio.Event = field(default_factory=trio.Event)


_MAKES_INDEXES: Final = frozenset({"indexCreation", "indexUpdate"})
"""Types of tasks that may give nodes an index: its creation, and another primary key of an empty one."""


class Book:
    """Open tasks by uid, and by node the node tasks they wait for, in the order in which they were entered."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._entries: dict[int, Entry] = {}
        self._stamps: dict[int, int] = {}
        self._awaited: dict[str, dict[Key, int]] = {node: {} for node in nodes}
        self._busy: Counter[tuple[str, str | None]] = Counter()
        self._making: Counter[tuple[str, str | None]] = Counter()
        self._turned: Counter[str] = Counter()

    def __contains__(self, uid: int) -> bool:
        return uid in self._entries

    def find(self, uid: int) -> Entry | None:
        """The entry, if the task is open."""
        return self._entries.get(uid)

    def rows(self) -> list[TaskRow]:
        """Every open task, oldest first."""
        return [self._entries[uid].row for uid in self.uids()]

    def uids(self) -> list[int]:
        """Their uids, in order."""
        return sorted(self._entries)

    @property
    def stamps(self) -> KeysView[int]:
        """The stamps of open writes."""
        return self._stamps.keys()

    # -- entering ----------------------------------------------------------------------------------------------------

    def enter(self, task: TaskRow) -> list[NodeTask]:
        """Follow it, or go on with the node tasks it has now; those that are newly awaited."""
        entry = self._entries.get(task.uid)
        if entry is None:
            known: set[tuple[str, str, int]] = set()
            self._entries[task.uid] = Entry(task)
            if task.stamp:
                self._stamps[task.stamp] = task.uid
        else:
            known = {(part.node, part.incarnation, part.uid) for part in entry.row.node_tasks}
            added = [part for part in task.node_tasks if (part.node, part.incarnation, part.uid) not in known]
            entry.row = replace(entry.row, node_tasks=(*entry.row.node_tasks, *added))
        new = [
            part
            for part in task.node_tasks
            if part.status == "open" and (part.node, part.incarnation, part.uid) not in known
        ]
        for part in new:
            self._awaited[part.node][part.incarnation, part.uid] = task.uid
            for counted in self._counted(task):
                counted[part.node, task.physical_uid] += 1
        return new

    def record(self, node: str, key: Key, status: NodeTaskStatus, view: NodeTaskView | None) -> int | None:
        """A node task has ended; the task it belongs to, None if nobody waits for it any more."""
        uid = self._awaited[node].get(key)
        entry = None if uid is None else self._entries.get(uid)
        if uid is None or entry is None:
            return None
        self._cross_off(node, key, entry.row)
        incarnation, node_uid = key
        if view is not None:
            entry.views[node, node_uid] = view
        entry.row = replace(
            entry.row,
            node_tasks=tuple(
                replace(part, status=status)
                if (part.uid, part.node, part.incarnation) == (node_uid, node, incarnation)
                else part
                for part in entry.row.node_tasks
            ),
        )
        return uid

    def close(self, uid: int) -> None:
        """The task is settled: nothing of it is awaited any more, and whoever waits for it goes on."""
        entry = self._entries.pop(uid)
        self._stamps.pop(entry.row.stamp, None)
        for part in entry.row.node_tasks:
            self._cross_off(part.node, (part.incarnation, part.uid), entry.row)
        entry.done.set()

    def _cross_off(self, node: str, key: Key, row: TaskRow) -> None:
        if self._awaited[node].pop(key, None) is None:
            return
        for counted in self._counted(row):
            counted[node, row.physical_uid] -= 1
            if not counted[node, row.physical_uid]:
                del counted[node, row.physical_uid]

    def _counted(self, task: TaskRow) -> tuple[Counter[tuple[str, str | None]], ...]:
        return (self._busy, self._making) if task.type in _MAKES_INDEXES else (self._busy,)

    # -- asking ------------------------------------------------------------------------------------------------------

    def awaited(self, node: str) -> int:
        """How many node tasks of that node are waited for."""
        return len(self._awaited[node])

    def busy(self, node: str, physical_uid: str) -> bool:
        """Whether an open task waits for that node and index."""
        return (node, physical_uid) in self._busy

    def making(self, node: str, physical_uid: str) -> bool:
        """Whether an open task that may make that index waits for that node."""
        return (node, physical_uid) in self._making

    def waiting_for(self, node: str) -> Collection[int]:
        """The tasks that wait for that node."""
        return dict.fromkeys(self._awaited[node].values())

    def task_of(self, node: str, key: Key) -> Entry | None:
        """The open task that waits for that node task."""
        uid = self._awaited[node].get(key)
        return None if uid is None else self._entries.get(uid)

    def oldest(self, node: str, count: int) -> list[Key]:
        """The node tasks waited for longest."""
        return list(islice(self._awaited[node], count))

    def others(self, node: str, skip: int, count: int) -> list[Key]:
        """So many of those behind the first `skip`: each call goes on where the last one ended, and round again."""
        behind = len(self._awaited[node]) - skip
        if behind <= 0:
            return []
        start = self._turned[node] % behind if behind > count else 0
        self._turned[node] = start + count
        return list(_slice(self._awaited[node], skip + start, count))


def _slice(keys: Iterable[Key], start: int, count: int) -> Iterator[Key]:
    return islice(keys, start, start + count)
