"""The registry: which indexes there are, and what stands behind each name. The store's rows, kept in memory.

A name stands for one physical index to writes and, while a swap or a renaming still waits for the tasks before it, for
another to reads (`miroir.indexes.moves`). Nearly always the two are one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from miroir.errors import ApiError, node_error
from miroir.indexes.moves import seen_by_reads
from miroir.indexes.settings import view
from miroir.indexes.view import IndexView
from miroir.store import IndexMove, IndexRow


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its row, and what reads and writes need to know of it."""

    row: IndexRow
    view: IndexView

    @property
    def uid(self) -> str:
        """The name clients know."""
        return self.row.uid

    @property
    def physical_uid(self) -> str:
        """The name on the nodes."""
        return self.row.physical_uid


class Registry:
    """Names to indexes. `IndexService` and `Naming` change it, everybody reads.

    `find`, `get` and `all` say what a write or a change reaches; the same with `_for_reads`, what a read sees.
    """

    def __init__(self, *, exact_ties: bool) -> None:
        self._exact_ties = exact_ties
        self._by_uid: dict[str, Index] = {}
        self._uid_of: dict[str, str] = {}
        self._waiting: Sequence[Sequence[IndexMove]] = ()
        self._seen = self._by_uid

    def load(self, rows: Iterable[IndexRow]) -> None:
        """Start with what the store holds."""
        self._by_uid.clear()
        self._uid_of.clear()
        for row in rows:
            self._enter(row)
        self._look()

    def put(self, row: IndexRow) -> Index:
        """Insert or replace."""
        index = self._enter(row)
        self._look()
        return index

    def move(
        self, moves: Iterable[IndexMove], rows: Iterable[IndexRow], waiting: Sequence[Sequence[IndexMove]]
    ) -> None:
        """Indexes have got other names, `rows` as they are now; reads do not see the moves that are `waiting`."""
        for move in moves:
            self._by_uid.pop(move.uid, None)
        for row in rows:
            self._enter(row)
        self.hide(waiting)

    def hide(self, waiting: Sequence[Sequence[IndexMove]]) -> None:
        """Reads see the names as if these moves had not been made yet, and no others."""
        self._waiting = waiting
        self._look()

    def remove(self, uid: str) -> None:
        """The name stands for nothing any more. The physical name stays known, for texts about its last tasks."""
        self._by_uid.pop(uid, None)
        self._look()

    def forget_physical(self, physical_uid: str) -> None:
        """The nodes have dropped it: its name is not needed for texts any more."""
        self._uid_of.pop(physical_uid, None)

    # -- what writes and changes reach -------------------------------------------------------------------------------

    def find(self, uid: str) -> Index | None:
        """The index of that name, or None."""
        return self._by_uid.get(uid)

    def get(self, uid: str) -> Index:
        """The index of that name; `index_not_found` as a node says it."""
        index = self._by_uid.get(uid)
        if index is None:
            raise index_not_found(uid)
        return index

    def behind(self, physical_uid: str) -> Index | None:
        """The index that a physical index stands behind now, or None."""
        index = self._by_uid.get(self._uid_of.get(physical_uid, ""))
        return index if index is not None and index.physical_uid == physical_uid else None

    def all(self) -> list[Index]:
        """Every index, by uid."""
        return [self._by_uid[uid] for uid in sorted(self._by_uid)]

    # -- what reads see ----------------------------------------------------------------------------------------------

    def find_for_reads(self, uid: str) -> Index | None:
        """The index that answers under that name, or None."""
        return self._seen.get(uid)

    def get_for_reads(self, uid: str) -> Index:
        """The index that answers under that name; `index_not_found` as a node says it."""
        index = self._seen.get(uid)
        if index is None:
            raise index_not_found(uid)
        return index

    def all_for_reads(self) -> list[Index]:
        """Every index that answers, by the name it answers to."""
        return [self._seen[uid] for uid in sorted(self._seen)]

    # -- keeping the tables ------------------------------------------------------------------------------------------

    def _enter(self, row: IndexRow) -> Index:
        index = self._by_uid[row.uid] = self._index(row)
        self._uid_of[row.physical_uid] = row.uid
        return index

    def _index(self, row: IndexRow) -> Index:
        digest = view(
            row.uid,
            row.physical_uid,
            row.primary_key,
            row.shards,
            row.settings_version,
            wish_of(row),
            exact_ties=self._exact_ties,
        )
        return Index(row, digest)

    def _look(self) -> None:
        """Bring up to date what reads see."""
        if not self._waiting:
            self._seen = self._by_uid
            return
        seen = seen_by_reads({uid: index.physical_uid for uid, index in self._by_uid.items()}, self._waiting)
        self._seen = {uid: self._under(uid, self._by_uid[self._uid_of[physical]]) for uid, physical in seen.items()}

    def _under(self, uid: str, index: Index) -> Index:
        """The index under a name that it has for reads only."""
        return index if index.uid == uid else self._index(replace(index.row, uid=uid))


def wish_of(row: IndexRow) -> dict[str, object]:
    """The client's settings as kept in the row."""
    return msgspec.json.decode(row.settings, type=dict[str, object])


def index_not_found(uid: str) -> ApiError:
    """404, in a node's words."""
    return node_error(404, "index_not_found", f"Index `{uid}` not found.")
