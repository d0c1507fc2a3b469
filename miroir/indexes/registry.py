"""The registry: which indexes there are, and what stands behind each name. The store's rows, kept in memory.

A name stands for one physical index to writes and, while a swap or a renaming still waits for the tasks before it, for
another to reads (`miroir.indexes.moves`). Nearly always the two are one table. A name that is no index's may be an
alias's; only then is it looked for among those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_not
from typing import Any, Final

import msgspec

from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes.moves import seen_by_reads
from miroir.indexes.settings import Wish, apply_change, view
from miroir.indexes.view import IndexView, common_view
from miroir.store import AliasRow, IndexMove, IndexRow


@dataclass(frozen=True, slots=True)
class Proposed:
    """A change of settings that was acknowledged as a task and is not committed yet."""

    task_uid: int
    change: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its row, and what reads and writes need to know of it.

    `view` is of the committed settings, which reads go by. Writes are queued on the nodes behind the changes that were
    proposed since, so they go by `ahead`. `wishes`: the committed one, then what each proposed change makes of it.
    """

    row: IndexRow
    view: IndexView
    ahead: IndexView
    wishes: tuple[Wish, ...]
    proposed: tuple[Proposed, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What every answer that was read from the index says of its settings."""
    members: tuple[Index, ...] = ()
    """The indexes that are read as this one, where an alias stands for several; then the rest is of all of them."""

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

    `find`, `get` and `all` say what a write or a change reaches; the same with `_for_reads`, what a read sees. To a
    write an alias is its index, and one that stands for several is refused; to a read, an index of the alias's own
    name. `resolved(alias)` is told of either.
    """

    def __init__(self, *, exact_ties: bool, resolved: Callable[[str], None] = lambda _: None) -> None:
        self._exact_ties = exact_ties
        self._by_uid: dict[str, Index] = {}
        self._uid_of: dict[str, str] = {}
        self._waiting: Sequence[Sequence[IndexMove]] = ()
        self._seen = self._by_uid
        self._aliases: dict[str, AliasRow] = {}
        self._renamed: dict[str, tuple[tuple[Index, ...], Index]] = {}
        self._resolved = resolved
        self._proposed: dict[str, tuple[Proposed, ...]] = {}

    def load(self, rows: Iterable[IndexRow]) -> None:
        """Start with what the store holds."""
        self._by_uid.clear()
        self._uid_of.clear()
        for row in rows:
            self._enter(row)
        self._look()

    def catch_up(self, rows: Iterable[IndexRow]) -> None:
        """Take what the store's rows say that is newer than what is known of the same indexes.

        They were read a moment ago: what was created, renamed or deleted since is known better here.
        """
        for row in rows:
            known = self.behind(row.physical_uid)
            if known is not None and known.uid == row.uid and known.row.revision < row.revision:
                self._enter(row)
        self._look()

    def put(self, row: IndexRow) -> Index:
        """Insert or replace; what is proposed of its settings stays so."""
        index = self._enter(row)
        self._look()
        return index

    def view_of(self, row: IndexRow, wish: Wish) -> IndexView:
        """The digest of the index with these settings."""
        return view(
            row.uid,
            row.physical_uid,
            row.primary_key,
            row.shards,
            row.settings_version,
            wish,
            exact_ties=self._exact_ties,
        )

    def propose(self, physical_uid: str, proposed: Iterable[Proposed]) -> None:
        """From now on these changes of the index's settings, oldest first, are on their way; none: all is committed."""
        self._proposed[physical_uid] = tuple(proposed)
        if not self._proposed[physical_uid]:
            del self._proposed[physical_uid]
        index = self.behind(physical_uid)
        if index is not None:
            self.put(index.row)

    def proposed(self, physical_uid: str) -> tuple[Proposed, ...]:
        """The changes that are on their way, oldest first."""
        return self._proposed.get(physical_uid, ())

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
        self._proposed.pop(physical_uid, None)

    # -- what writes and changes reach -------------------------------------------------------------------------------

    def find(self, uid: str) -> Index | None:
        """The index of that name or alias, or None. 409 `miroir_multi_alias_not_writable` for an alias of several."""
        index = self._by_uid.get(uid)
        if index is None and (alias := self._aliases.get(uid)) is not None:
            if alias.kind == "multi":
                raise not_writable(alias)
            self._resolved(uid)
            return self._by_uid.get(alias.targets[0])
        return index

    def get(self, uid: str) -> Index:
        """The index of that name or alias; `index_not_found` as a node says it."""
        index = self.find(uid)
        if index is None:
            raise index_not_found(uid)
        return index

    def is_index(self, uid: str) -> bool:
        """Whether the name is an index's own."""
        return uid in self._by_uid

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
        index = self._seen.get(uid)
        if index is None and (alias := self._aliases.get(uid)) is not None:
            self._resolved(uid)
            return self._under_alias(alias)
        return index

    def get_for_reads(self, uid: str) -> Index:
        """The index that answers under that name; `index_not_found` as a node says it."""
        index = self.find_for_reads(uid)
        if index is None:
            raise index_not_found(uid)
        return index

    def all_for_reads(self) -> list[Index]:
        """Every index that answers, by the name it answers to."""
        return [self._seen[uid] for uid in sorted(self._seen)]

    # -- aliases -----------------------------------------------------------------------------------------------------

    def load_aliases(self, rows: Iterable[AliasRow]) -> None:
        """Start with what the store holds."""
        self._aliases = {row.name: row for row in rows}
        self._renamed.clear()

    def put_alias(self, row: AliasRow) -> None:
        """Insert or replace: from now on it stands for that."""
        self._aliases[row.name] = row

    def remove_alias(self, name: str) -> None:
        """The name is free."""
        self._aliases.pop(name, None)
        self._renamed.pop(name, None)

    def alias(self, name: str) -> AliasRow | None:
        """The alias of that name, or None."""
        return self._aliases.get(name)

    def own_name(self, uid: str) -> str:
        """The name of the index that this one stands for: itself, unless it is an alias's whose one index is there."""
        alias = self._aliases.get(uid)
        is_one = alias is not None and alias.kind == "single" and alias.targets[0] in self._by_uid
        return alias.targets[0] if alias is not None and is_one else uid

    def aliases(self) -> list[AliasRow]:
        """Every alias, by name."""
        return [self._aliases[name] for name in sorted(self._aliases)]

    def _under_alias(self, alias: AliasRow) -> Index | None:
        seen = tuple([index for uid in alias.targets if (index := self._seen.get(uid)) is not None])
        if not seen:
            return None
        known = self._renamed.get(alias.name)
        if known is None or len(known[0]) != len(seen) or any(map(is_not, known[0], seen)):
            under = tuple([self._under(alias.name, index) for index in seen])
            known = self._renamed[alias.name] = (seen, under[0] if alias.kind == "single" else read_as_one(under))
        return known[1]

    # -- keeping the tables ------------------------------------------------------------------------------------------

    def _enter(self, row: IndexRow) -> Index:
        index = self._by_uid[row.uid] = self._index(row)
        self._uid_of[row.physical_uid] = row.uid
        return index

    def _index(self, row: IndexRow) -> Index:
        proposed = self._proposed.get(row.physical_uid, ())
        wishes: list[Wish] = [wish_of(row)]
        for each in proposed:
            wishes.append(apply_change(wishes[-1], each.change))
        committed = self.view_of(row, wishes[0])
        ahead = self.view_of(row, wishes[-1]) if proposed else committed
        return Index(row, committed, ahead, tuple(wishes), proposed, _headers(row, proposed))

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


_IN_FLIGHT: Final = (b"x-miroir-settings-inconsistent", b"true")


def _headers(row: IndexRow, proposed: tuple[Proposed, ...]) -> tuple[tuple[bytes, bytes], ...]:
    version = (b"x-miroir-settings-version", b"%d" % row.settings_version)
    return (version, _IN_FLIGHT) if proposed else (version,)


def read_as_one(members: tuple[Index, ...]) -> Index:
    """Several indexes as one to read: settings and primary key are the first one's, times are of all."""
    rows = [member.row for member in members]
    row = replace(
        rows[0],
        created_at=min(row.created_at for row in rows),
        updated_at=max(row.updated_at for row in rows),
        settings_version=min(row.settings_version for row in rows),
    )
    view = common_view([member.view for member in members])
    in_flight = sorted({header for member in members for header in member.headers if header == _IN_FLIGHT})
    return Index(row, view, view, members[0].wishes, (), tuple(in_flight), members)


def wish_of(row: IndexRow) -> dict[str, object]:
    """The client's settings as kept in the row."""
    return msgspec.json.decode(row.settings, type=dict[str, object])


def not_writable(alias: AliasRow) -> ApiError:
    """409: a write must say which of several indexes it is for."""
    listed = ", ".join(f"`{uid}`" for uid in alias.targets)
    message = f"`{alias.name}` is an alias for several indexes ({listed}) and can only be read. Name one of them."
    return miroir_error("miroir_multi_alias_not_writable", message)


def index_not_found(uid: str) -> ApiError:
    """404, in a node's words."""
    return node_error(404, "index_not_found", f"Index `{uid}` not found.")
