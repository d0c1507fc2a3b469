"""Taking back a change of settings that no node applied: it failed, or was canceled before its turn came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Wish = Mapping[str, Any]


def taken_back(current: Wish, undone: Sequence[tuple[Wish, Wish]]) -> dict[str, Any]:
    """The present wish without what a change did.

    `undone`: the wishes before and after that change, and then those of earlier changes that came to nothing as well,
    newest first. A setting that was changed again since stays as it is; one that goes back does not go back to what an
    undone change had made of it.
    """
    wish = dict(current)
    before, after = undone[0]
    for name in {*before, *after}:
        value = after.get(name)
        if before.get(name) == value or current.get(name) != value:
            continue
        for earlier, later in undone:
            if later.get(name) == value:
                value = earlier.get(name)
        wish.pop(name, None)
        if value is not None:
            wish[name] = value
    return wish
