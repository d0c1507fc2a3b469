"""What is to be done at a node so that it holds the cluster's keys and no others of ours. Pure: rows and lists in.

The store is the truth. A node's own default keys, which every new node makes with uids of its own, are the exception at
the beginning: the cluster takes over the oldest of each kind it finds, and from then on replaces those of other nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from miroir.nodes import NodeKey
from miroir.security.keyring import ApiKey, api_key
from miroir.store import KeyRow
from miroir.store.rfc3339 import nanoseconds

_DEFAULTS: Final[Mapping[str, frozenset[str]]] = {
    "Default Search API Key": frozenset({"search"}),
    "Default Admin API Key": frozenset({"*"}),
    "Default Read-Only Admin API Key": frozenset({"*.get", "keys.get"}),
    "Default Chat API Key": frozenset({"chatCompletions", "search"}),
}
"""The keys a new node makes for itself: name -> actions. All are for every index and never expire."""


@dataclass(frozen=True, slots=True)
class Orders:
    """`drop`: uids to delete at the node; `make`, `change`: keys to create there and to rename, after that.

    `values`: what the node shows of keys that are ours. `foreign`: its keys that are nobody's of ours.
    """

    drop: tuple[str, ...]
    make: tuple[KeyRow, ...]
    change: tuple[KeyRow, ...]
    values: Mapping[str, str]
    foreign: tuple[ApiKey, ...]


def orders(found: Sequence[NodeKey], rows: Mapping[str, KeyRow], *, own: str | None, now_ns: int) -> Orders:
    """For a node that shows the keys `found`. `own`: the key we speak to nodes with, which is nobody's business."""
    replaced = {row.default_key for row in rows.values()}
    drop: list[str] = []
    change: list[KeyRow] = []
    values: dict[str, str] = {}
    foreign: list[ApiKey] = []
    for key in found:
        row = rows.get(key.uid)
        if row is None:
            if key.key != own:
                if default_kind(key) in replaced - {None}:
                    drop.append(key.uid)
                else:
                    foreign.append(api_key(row_of(key), key.key))
        elif row.state == "deleted":
            drop.append(key.uid)
        elif row.state == "live":
            if not _same_rights(key, row):
                drop.append(key.uid)
                continue
            values[key.uid] = key.key
            if (key.name, key.description) != (row.name, row.description):
                change.append(row)
    make = [row for row in rows.values() if row.state == "live" and row.uid not in values and not _over(row, now_ns)]
    return Orders(tuple(drop), tuple(make), tuple(change), values, tuple(foreign))


def adopted(found: Iterable[NodeKey], rows: Mapping[str, KeyRow]) -> list[KeyRow]:
    """Rows for the default keys the cluster has none of yet: of each kind the oldest that some node shows."""
    oldest: dict[str, NodeKey] = {}
    taken = {row.default_key for row in rows.values()}
    for key in found:
        kind = default_kind(key)
        if kind is None or kind in taken or key.uid in rows:
            continue
        if kind not in oldest or _age(key) < _age(oldest[kind]):
            oldest[kind] = key
    return [row_of(key, kind) for kind, key in oldest.items()]


def given_way(imported: Collection[str], rows: Mapping[str, KeyRow]) -> list[str]:
    """The nodes' own default keys that go where keys are taken over from another instance: uids, in their order.

    Those of every kind of which `imported` (uids) has one. None goes where there is any key beside them: then somebody
    has given keys out here, and these may be among them.
    """
    live = [row for row in rows.values() if row.state == "live"]
    if any(row.default_key is None and row.uid not in imported for row in live):
        return []
    kinds = {default_kind(row) for row in live if row.uid in imported}
    return sorted(
        row.uid for row in live if row.default_key is not None and row.default_key in kinds and row.uid not in imported
    )


def default_kind(key: NodeKey | KeyRow) -> str | None:
    """Which of a new node's own keys it is, by everything but its uid; None if it is none."""
    if key.name is None or key.expires_at is not None or key.indexes != ("*",):
        return None
    return key.name if _DEFAULTS.get(key.name) == frozenset(key.actions) else None


def row_of(key: NodeKey, default_key: str | None = None) -> KeyRow:
    """A key that a node shows, as the store keeps it."""
    return KeyRow(
        uid=key.uid,
        state="live",
        name=key.name,
        description=key.description,
        actions=key.actions,
        indexes=key.indexes,
        expires_at=key.expires_at,
        created_at=key.created_at,
        updated_at=key.updated_at,
        default_key=default_key,
    )


def _age(key: NodeKey) -> tuple[int, str]:
    return nanoseconds(key.created_at), key.uid


def _same_rights(key: NodeKey, row: KeyRow) -> bool:
    return (key.actions, key.indexes, _end(key.expires_at)) == (row.actions, row.indexes, _end(row.expires_at))


def _end(expires_at: str | None) -> int | None:
    return None if expires_at is None else nanoseconds(expires_at)


def _over(row: KeyRow, now_ns: int) -> bool:
    """A node takes no key that has expired already; nor does anybody miss it there."""
    end = _end(row.expires_at)
    return end is not None and end <= now_ns
