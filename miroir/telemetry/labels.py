"""Labelled children of a metric, bound once and then found by one dictionary lookup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

OTHER: Final = "other"
CAP: Final = 100
"""Most values of an unbounded label (index, tenant) that get a series of their own."""

Child = TypeVar("Child")
Child_co = TypeVar("Child_co", covariant=True)


class Labelled(Protocol[Child_co]):
    """What prometheus-client's families have in common."""

    def labels(self, *values: str) -> Child_co: ...

    def remove(self, *values: str) -> None: ...


class Children(Generic[Child]):
    """The children of one family. `get` is for the hot path: `labels()` of prometheus-client takes a lock.

    The label at position `capped` is unbounded: its first `cap` values are told apart, the rest share `other`, so that
    a client who invents names cannot make the process grow.
    """

    __slots__ = ("_bound", "_cap", "_capped", "_family", "_named")

    def __init__(self, family: Labelled[Child], *, capped: int | None = None, cap: int = CAP) -> None:
        self._family = family
        self._bound: dict[tuple[str, ...], Child] = {}
        self._capped = capped
        self._cap = cap
        self._named: set[str] = set()

    def get(self, *values: str) -> Child:
        """The child with these label values, in the family's order."""
        child = self._bound.get(values)
        return child if child is not None else self._bind(values)

    def forget(self, *values: str) -> None:
        """Take the series out of the page, as when a node has left. Unknown values are fine."""
        if self._bound.pop(values, None) is not None:
            self._family.remove(*values)

    def forget_all_but(self, kept: Sequence[tuple[str, ...]]) -> None:
        """Take out every series that is not among `kept`."""
        for values in [known for known in self._bound if known not in kept]:
            self.forget(*values)

    def _bind(self, values: tuple[str, ...]) -> Child:
        if self._capped is not None:
            value = values[self._capped]
            if value not in self._named and value != OTHER:
                if len(self._named) >= self._cap:
                    return self.get(*values[: self._capped], OTHER, *values[self._capped + 1 :])
                self._named.add(value)
        child = self._bound[values] = self._family.labels(*values)
        return child
