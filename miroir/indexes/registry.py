"""The registry: which indexes there are, and what stands behind each name. The store's rows, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from miroir.errors import ApiError, node_error
from miroir.indexes.settings import view
from miroir.indexes.view import IndexView
from miroir.store import IndexRow


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
    """Names to indexes. One owner changes it (`IndexService`), everybody reads."""

    def __init__(self, *, exact_ties: bool) -> None:
        self._exact_ties = exact_ties
        self._by_uid: dict[str, Index] = {}
        self._uid_of: dict[str, str] = {}

    def load(self, rows: Iterable[IndexRow]) -> None:
        """Start with what the store holds."""
        self._by_uid.clear()
        self._uid_of.clear()
        for row in rows:
            self.put(row)

    def put(self, row: IndexRow) -> Index:
        """Insert or replace."""
        digest = view(
            row.uid,
            row.physical_uid,
            row.primary_key,
            row.shards,
            row.settings_version,
            wish_of(row),
            exact_ties=self._exact_ties,
        )
        index = self._by_uid[row.uid] = Index(row, digest)
        self._uid_of[row.physical_uid] = row.uid
        return index

    def remove(self, uid: str) -> None:
        """The name stands for nothing any more. The physical name stays known, for texts about its last tasks."""
        self._by_uid.pop(uid, None)

    def forget_physical(self, physical_uid: str) -> None:
        """The nodes have dropped it: its name is not needed for texts any more."""
        self._uid_of.pop(physical_uid, None)

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


def wish_of(row: IndexRow) -> dict[str, object]:
    """The client's settings as kept in the row."""
    return msgspec.json.decode(row.settings, type=dict[str, object])


def index_not_found(uid: str) -> ApiError:
    """404, in a node's words."""
    return node_error(404, "index_not_found", f"Index `{uid}` not found.")
