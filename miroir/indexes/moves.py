"""Moves of names, pure: what is to be moved, and what reads see as long as a move waits for the tasks before it.

On a node a swap or a renaming is a task in one queue with all the others: writes asked for after it meet the names as
it leaves them, and readers see it when everything asked for before it is done. Here writes meet the new names at once,
for the registry says where they go; what reads see is the registry with every move undone that still waits.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from miroir.errors import ApiError, node_error
from miroir.store import IndexMove, NameChange

MOVES_NOTE: Final = "_moves"
"""In an open task's details: `[name, physical index, new name]` of each index that it moves."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One element of `POST /swap-indexes`: two names that change places, or (`rename`) a name and another for it."""

    one: str
    other: str
    rename: bool = False

    def view(self) -> dict[str, Any]:
        """As a task's details show it."""
        return {"indexes": [self.one, self.other], "rename": self.rename}


def check_duplicates(swaps: Sequence[Swap]) -> None:
    """Refuse, as a node does, a name that stands more than once in a request."""
    names = [name for swap in swaps for name in (swap.one, swap.other)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        were = "was" if len(repeated) == 1 else "were"
        raise node_error(
            400,
            "invalid_swap_duplicate_index_found",
            f"Indexes must be declared only once during a swap. {_quoted(repeated)} {were} specified several times.",
        )


def problem_of(swaps: Sequence[Swap], is_index: Container[str], is_taken: Container[str]) -> ApiError | None:
    """Why a node fails the swaps as a task: an index that is not there first, then a new name that is taken.

    `is_index` holds the names of indexes, `is_taken` those and whatever else no index may be called.
    """
    missing = [
        name
        for swap in swaps
        for name in ((swap.one,) if swap.rename else (swap.one, swap.other))
        if name not in is_index
    ]
    if missing:
        noun = "Index" if len(missing) == 1 else "Indexes"
        return node_error(404, "index_not_found", f"{noun} {_quoted(sorted(missing))} not found.")
    taken = [swap for swap in swaps if swap.rename and swap.other in is_taken]
    if not taken:
        return None
    if len(taken) == 1:
        one, other = taken[0].one, taken[0].other
        message = (
            f"Cannot rename `{one}` to `{other}` as the index already exists. "
            f"Hint: You can remove `{other}` first and then do your remove."
        )
    else:
        message = (
            "The following indexes are being renamed but cannot because their new name conflicts with an already "
            f"existing index: {_quoted([swap.other for swap in taken])}. "
            "Renaming doesn't overwrite the other index name."
        )
    return node_error(409, "index_already_exists", message)


def moves_of(swaps: Sequence[Swap], physical: Mapping[str, str]) -> list[IndexMove]:
    """The moves that swaps come to; `physical`: name -> physical index, now."""
    moves = []
    for swap in swaps:
        moves.append(IndexMove(swap.one, physical[swap.one], swap.other))
        if not swap.rename:
            moves.append(IndexMove(swap.other, physical[swap.other], swap.one))
    return moves


def names_of(swaps: Iterable[Swap]) -> tuple[NameChange, ...]:
    """What becomes of the names of earlier tasks.

    As on 1.21: those of a swap's first index are called after the second, and those of the second keep their name; a
    renaming exchanges the two.
    """
    return tuple(NameChange(swap.one, swap.other, swap.rename) for swap in swaps)


def swaps_from(details: Mapping[str, Any]) -> list[Swap]:
    """The swaps that a task's details show."""
    return [Swap(one, other, swap["rename"]) for swap in details["swaps"] for one, other in [swap["indexes"]]]


def names_from(type: str, details: Mapping[str, Any]) -> tuple[NameChange, ...]:
    """The same, of a task that moves names, from its details."""
    if type == "indexSwap":
        return names_of(swaps_from(details))
    return (NameChange(details["oldIndexUid"], details["newIndexUid"], True),)


def note_of(moves: Iterable[IndexMove]) -> list[list[str]]:
    """Moves as an open task's details keep them."""
    return [[move.uid, move.physical_uid, move.to] for move in moves]


def moves_from(details: Mapping[str, Any]) -> tuple[IndexMove, ...]:
    """And back."""
    return tuple(IndexMove(*parts) for parts in details.get(MOVES_NOTE, ()))


def seen_by_reads(physical: Mapping[str, str], waiting: Sequence[Sequence[IndexMove]]) -> dict[str, str]:
    """Name -> physical index as reads see it: `physical` with the moves that wait undone, the last of them first.

    An index that was deleted since is not brought back, and one that was given a name a moved index is still read by
    stays unseen until the move is done.
    """
    seen = dict(physical)
    for moves in reversed(waiting):
        standing = [move for move in moves if seen.get(move.to) == move.physical_uid]
        for move in standing:
            del seen[move.to]
        seen.update((move.uid, move.physical_uid) for move in standing)
    return seen


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
