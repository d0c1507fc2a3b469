"""The keyring: every API key that opens our door, by what the client sends.

Keys are found by the digest of their value, so neither a key nor how much of it was right shows in the time it takes.
What is kept of a key is the store's business (`KeyRow`); its value comes from the nodes, which make it from their
master key and the key's uid.

A node may have keys that were made there and not through us (*foreign* ones). They open our door for as long as some
node shows them, and are nowhere else: not listed, not changed, not carried to other nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from miroir.security.access import Access, Patterns
from miroir.security.actions import Action, covered
from miroir.store import KeyRow
from miroir.store.rfc3339 import nanoseconds


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the door knows it. `expires_ns`: in nanoseconds of the Unix clock; None: never."""

    uid: str
    value: str
    actions: frozenset[Action]
    access: Access
    expires_ns: int | None

    def allows(self, action: Action, now_ns: int) -> bool:
        """Whether it may be used for this now, on an index that it covers."""
        expired = self.expires_ns is not None and now_ns >= self.expires_ns
        return action in self.actions and not expired and bool(self.access.indexes)


def api_key(row: KeyRow, value: str) -> ApiKey:
    """A row and its value as the door knows them."""
    actions = covered(row.actions)
    return ApiKey(
        row.uid,
        value,
        actions,
        Access(Patterns(row.indexes), creates="indexes.create" in actions),
        None if row.expires_at is None else nanoseconds(row.expires_at),
    )


class Keyring:
    """Keys in memory. `KeyService` and `KeySync` change it, the door reads."""

    def __init__(self) -> None:
        self._rows: dict[str, KeyRow] = {}
        self._values: dict[str, str] = {}
        self._by_digest: dict[bytes, ApiKey] = {}
        self._by_uid: dict[str, ApiKey] = {}
        self._foreign: dict[str, dict[bytes, ApiKey]] = {}
        self.unmanaged = False
        """Nodes show us no keys: they have no master key, or our key to them may not read keys."""

    # -- what the store knows ----------------------------------------------------------------------------------------

    def load(self, rows: Iterable[KeyRow]) -> None:
        """Go on with what the store holds now."""
        self._rows = {row.uid: row for row in rows}
        self._cut()

    def put(self, row: KeyRow) -> None:
        """A key was made, changed or deleted."""
        self._rows[row.uid] = row
        self._cut()

    def forget(self, uid: str) -> None:
        """A key that was begun to be made, and that no node has taken."""
        self._rows.pop(uid, None)
        self._cut()

    def learn(self, values: Mapping[str, str]) -> None:
        """A node shows these values: uid -> value."""
        if any(self._values.get(uid) != value for uid, value in values.items()):
            self._values.update(values)
            self._cut()

    def _cut(self) -> None:
        """Make the keys anew. Changes are rare, and requests many."""
        self._by_uid = {
            uid: api_key(row, self._values[uid])
            for uid, row in self._rows.items()
            if row.state == "live" and uid in self._values
        }
        self._by_digest = {digest(key.value.encode()): key for key in self._by_uid.values()}

    def rows(self) -> Mapping[str, KeyRow]:
        """Everything the store knows of keys, deleted ones too, by uid."""
        return self._rows

    def value(self, uid: str) -> str | None:
        """The key's value, once a node has shown it."""
        return self._values.get(uid)

    @property
    def complete(self) -> bool:
        """Whether every key's value is known: who is not found then, is not there."""
        if self.unmanaged:
            return True
        return bool(self._values) and all(uid in self._values for uid, row in self._rows.items() if row.state == "live")

    def listed(self) -> list[KeyRow]:
        """Live keys, the newest first, as a node lists them."""
        live = [row for row in self._rows.values() if row.state == "live"]
        return sorted(live, key=lambda row: (nanoseconds(row.created_at), row.uid), reverse=True)

    # -- what nodes have besides -------------------------------------------------------------------------------------

    def show_foreign(self, node: str, keys: Iterable[ApiKey]) -> None:
        """The node has these keys that the store does not know, and no others."""
        found = {digest(key.value.encode()): key for key in keys}
        if found:
            self._foreign[node] = found
        else:
            self._foreign.pop(node, None)

    # -- the door ----------------------------------------------------------------------------------------------------

    def find(self, credential_digest: bytes) -> ApiKey | None:
        """The key whose value has this digest."""
        found = self._by_digest.get(credential_digest)
        if found is None and self._foreign:
            for keys in self._foreign.values():
                found = found or keys.get(credential_digest)
            if found is not None and found.uid in self._rows:
                return None  # deleted through us, and some node has not heard of it yet
        return found

    def of_uid(self, uid: str) -> ApiKey | None:
        """The key with this uid."""
        found = self._by_uid.get(uid)
        if found is None and self._foreign and uid not in self._rows:
            for keys in self._foreign.values():
                found = found or next((key for key in keys.values() if key.uid == uid), None)
        return found


def digest(credential: bytes) -> bytes:
    """What credentials are compared and found by."""
    return sha256(credential).digest()
