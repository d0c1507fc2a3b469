"""What one request may touch: the indexes of its key and, under a tenant token, the token's rules.

Whoever reads or writes an index asks `Access`; nobody else looks at keys. `EVERYTHING` is the master key's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from miroir.errors import ApiError, node_error

Rules = Mapping[str, Any]
"""Index pattern -> filter (None: no filter), as the `searchRules` of a tenant token."""


class Patterns:
    """Index names, and beginnings of names that end in a star."""

    __slots__ = ("_all", "_beginnings", "_names", "listed")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.listed = tuple(sorted(set(patterns)))
        """As a node lists them in its texts."""
        self._all = "*" in self.listed
        self._names = frozenset(self.listed)
        self._beginnings = tuple(pattern[:-1] for pattern in self.listed if pattern.endswith("*"))

    def __bool__(self) -> bool:
        return bool(self.listed)

    def covers(self, uid: str) -> bool:
        """Whether the index is one of them."""
        return self._all or uid in self._names or uid.startswith(self._beginnings)

    @property
    def narrow(self) -> frozenset[str] | None:
        """The patterns to choose from a list by; None when every index is covered."""
        return None if self._all else self._names


@dataclass(frozen=True, slots=True)
class Access:
    """What the request may touch. `creates`: whether a write may create its index."""

    indexes: Patterns
    rules: Rules | None = None
    creates: bool = False

    def covers(self, uid: str) -> bool:
        """Whether the request may touch this index at all."""
        return self.indexes.covers(uid) and self.lends(uid)

    def lends(self, uid: str) -> bool:
        """Whether the token's rules name this index; without a token nothing stands in the way."""
        return self.rules is None or _rule(self.rules, uid) is not None

    def check(self, uid: str) -> None:
        """`covers`, or 403 `invalid_api_key`: for names that stand in a request's body."""
        if not self.covers(uid):
            raise invalid_key()

    def sees(self, uid: str | None) -> bool:
        """Whether a task of this index is shown; one of no index only to who may touch every index."""
        return self.visible is None if uid is None else self.indexes.covers(uid)

    @property
    def visible(self) -> frozenset[str] | None:
        """Index patterns that lists of indexes and tasks are narrowed to; None: nothing is hidden."""
        return self.indexes.narrow

    def narrowed(self, uid: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A search's body with the token's filter for this index beside the client's, put together as a node does.

        Every search goes through here, on its way from the request to whoever asks the nodes.
        """
        if self.rules is None:
            return body
        pattern = _rule(self.rules, uid)
        ours = None if pattern is None else self.rules[pattern]
        if ours is None:
            return body
        theirs = body.get("filter")
        return {**body, "filter": ours if theirs is None else [*_elements(theirs), *_elements(ours)]}


EVERYTHING: Final = Access(Patterns(("*",)), None, creates=True)


def token_access(of_key: Access, rules: Rules) -> Access:
    """What a tenant token with these rules gives of what its key may touch."""
    return Access(of_key.indexes, rules)


def invalid_key() -> ApiError:
    """403: the credential is none, or is not enough."""
    return refused("The provided API key is invalid.")


def refused(message: str) -> ApiError:
    """403 `invalid_api_key` in other words."""
    return node_error(403, "invalid_api_key", message, type="auth")


def _elements(filter: Any) -> list[Any]:
    return filter if isinstance(filter, list) else [filter]


def _rule(rules: Rules, uid: str) -> str | None:
    """The pattern that decides for this index: its name, else the longest beginning; None where none fits."""
    if uid in rules and not uid.endswith("*"):
        return uid
    fitting = [pattern for pattern in rules if pattern.endswith("*") and uid.startswith(pattern[:-1])]
    return max(fitting, key=len, default=None)
