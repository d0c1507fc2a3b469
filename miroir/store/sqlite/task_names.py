"""What tasks are called when indexes have changed their names: as on a node, by the name of today."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from miroir.store.rows import NameChange
from miroir.store.sqlite.encoding import json_text
from miroir.store.sqlite.writer import Tx

_MENTIONING: Final = (
    "SELECT uid, details FROM tasks WHERE origin = 'client' AND type = 'indexSwap' AND uid < ? AND instr(details, ?)"
)


def rename(tx: Tx, changes: Iterable[NameChange], before: int) -> None:
    """Carry the changes out, one after the other, on client tasks with uids below `before`."""
    for change in changes:
        _rename_tasks(tx, change, before)
        _rename_swaps(tx, change, before)


def _rename_tasks(tx: Tx, change: NameChange, before: int) -> None:
    old, new = change.old, change.new
    where = "WHERE origin = 'client' AND uid < ? AND index_uid"
    if change.both:
        tx.db.execute(
            f"UPDATE tasks SET index_uid = iif(index_uid = ?, ?, ?) {where} IN (?, ?)",  # noqa: S608 - a constant
            (old, new, old, before, old, new),
        )
    else:
        tx.db.execute(f"UPDATE tasks SET index_uid = ? {where} = ?", (new, before, old))  # noqa: S608 - a constant


def _rename_swaps(tx: Tx, change: NameChange, before: int) -> None:
    """Both names in the details of swaps that name the old one (or, with `both`, either)."""
    exchanged = {change.old: change.new, change.new: change.old}
    mentioning: dict[int, str] = {}
    for name in (change.old, change.new) if change.both else (change.old,):
        mentioning.update(tx.db.execute(_MENTIONING, (before, json_text(name))).fetchall())
    for uid, text in mentioning.items():
        details = orjson.loads(text)
        for swap in details["swaps"]:
            swap["indexes"] = [exchanged.get(name, name) for name in swap["indexes"]]
        tx.db.execute("UPDATE tasks SET details = ? WHERE uid = ?", (json_text(details), uid))
