"""Hits as they nearly always come: documents whose stamps stand as ingest writes them, with the score at the end.

One look at such a hit finds what it is ranked by and what is cut out of it. The two loops here are the hot path of
every search and call nothing of ours for a hit. Lists with a hit that looks otherwise are left to `ranking`, a hit with
marks besides its own stamps to `display`: both go by what a hit means, not by how it looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heapreplace
from itertools import chain, repeat
from math import inf
from typing import Any, Final, TypeAlias

import msgspec

from miroir.search.ranking import SCORE_MEMBER, Levels

Run: TypeAlias = re.Match[bytes]
"""A hit (its `string`) whose stamps were found: its span is theirs and a comma's, its group the insertion stamp."""

# In the order in which ingest writes them, of known widths; the second may be all that was asked for. `.` is a jump,
# which a class of bytes is not. The pattern begins with what all hits have, so that `search` jumps there.
find_run: Final[Callable[[bytes], Run | None]] = re.compile(
    rb'"_miroir_s(?:hard":".{12}","_miroir_s)?eq":"(\xe2.{47}(?:\xe2.{32})?)"'
    rb'(?:,"_miroir_updated_at":"\xe2.{32}")?'
    rb'(?:,"_miroir_placed_at":"\xe2.{32}")?'
    rb'(?:,"_miroir_expires_at":"(?:\xe2[\x81\xb8][\x80-\xbf])+")?,',  # may be a client's own text, so by its letters
    re.DOTALL,
).search

_MARK: Final = b'"_miroir_'
_LETTER: Final = b"\xe2"
"""The first byte of every letter of a stamp: looked for alone, it is found (or not) a line of the cache at a time."""
_SCORE: Final = b"," + SCORE_MEMBER
_NONE: Final = b"\n"
"""What no hit ends with."""


def in_order(lists: Sequence[Sequence[msgspec.Raw]], most: int, *, scored: bool, exact_ties: bool) -> list[Run] | None:
    """The nodes' lists as one by score and insertion, up to `most` hits; None if one of them does not look as written.

    `scored`: hits end with their score; otherwise nothing but insertion ranks them. `exact_ties`: it does.
    """
    filled = [hits for hits in lists if hits]
    level = Levels()
    ranks: dict[bytes, float] = {}
    rank, end = (inf, _NONE) if scored else (0.0, b"}")  # how the hit before ended, and what that says of its place
    ordered: list[Any] = []
    # A list begins with nothing, before all hits, so that its first hit comes into the heap as the others do.
    heap: list[tuple[float, bytes, int, Run | None, Callable[[], Run | None]]] = [
        (-inf, b"", node, None, map(find_run, map(bytes, hits)).__next__) for node, hits in enumerate(filled)
    ]
    for _ in range(min(most, sum(map(len, filled))) + len(filled)):
        _, _, node, run, following = heap[0]
        ordered.append(run)
        try:
            run = following()
        except StopIteration:
            heappop(heap)
            continue
        if run is None:
            return None
        hit = run.string
        if not hit.endswith(end):
            end = hit[hit.rfind(_SCORE) :]
            if end not in ranks:
                try:
                    ranks[end] = -level(float(end[len(_SCORE) : -1]))
                except ValueError:
                    return None
            rank = ranks[end]
        heapreplace(heap, (rank, run[1] if exact_ties else b"", node, run, following))
    return ordered[len(filled) :]


def cut(
    hits: Sequence[bytes], runs: Iterable[Run | None], ending: bytes, present: Callable[[bytes], bytes]
) -> list[bytes]:
    """The hits and commas between them, in pieces to be joined: without stamps and without what begins with `ending`.

    `ending`: the name of the first member that nodes add to a document, empty if they add none. `present` makes what is
    shown of a hit that looks otherwise.
    """
    tail = b"," + ending if ending else b"}"
    end = _NONE if ending else b"}"
    heads: list[bytes] = []
    rests: list[bytes] = []
    for hit, run in zip(hits, runs, strict=True):
        if run is not None:
            start, after = run.span()
            if not hit.endswith(end):
                at = hit.rfind(tail)
                end = hit[at:] if at > 0 else _NONE
            rest = hit[after : -len(end)]
            # What looks like stamps is a hit's own if nothing else does. A letter's first byte may also be a dash's.
            is_only = hit.find(_MARK) == start and (hit.find(_LETTER, after) < 0 or hit.find(_MARK, after) < 0)
            if rest and is_only and end is not _NONE:
                heads.append(hit[:start])
                rests.append(rest)
                continue
        heads.append(b"")
        rests.append(present(hit)[:-1])
    pieces = list(chain.from_iterable(zip(heads, rests, repeat(b"},"))))
    pieces[-1:] = [b"}"] if pieces else []
    return pieces
