"""Hits as they nearly always come: documents whose stamps stand as ingest writes them, with the score at the end.

One look takes such a hit apart into what it is ranked by and what is shown of it. This is the hot path of every search,
so it is walked a list at a time, by what runs in C. Lists with a hit that looks otherwise are left to `ranking`, a hit
with marks besides its own stamps to `display`: both go by what a hit means, not by how it looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, pairwise
from math import isqrt
from typing import Final, TypeAlias

from miroir.search.ranking import SAME_SCORE

Parts: TypeAlias = tuple[bytes, bytes, bytes, bytes]
"""A hit without its stamps: what stands before them, the insertion stamp, what stands behind, and how the hit ends."""

_MARK: Final = b'"_miroir_'
_LETTER: Final = b"\xe2"
"""The first byte of every letter of a stamp: looked for alone, it is found (or not) a line of the cache at a time."""

# A hit up to its first mark, which must be that of its stamps. Nothing is tried twice (`*+`).
_BEFORE: Final = rb'\A(\{[^"]*+(?:"(?!_miroir_)[^"]*+)*+)'
# In the order in which ingest writes them, of known widths; the second may be all that was asked for. `.` is a jump,
# which a class of bytes is not, and "this or nothing" costs less than "this, perhaps".
_STAMPS: Final = (
    rb'"_miroir_s(?:hard":".{12}","_miroir_seq|eq)":"(\xe2.{47}(?:\xe2.{32}|))"'
    rb'(?:,"_miroir_updated_at":"\xe2.{32}"|)'
    rb'(?:,"_miroir_placed_at":"\xe2.{32}"|)'
    rb'(?:,"_miroir_expires_at":"(?:\xe2[\x81\xb8][\x80-\xbf])+"|)'  # may be a client's own text, so by its letters
)
_ODD: Final[Parts] = (b"", b"", b"", b"")


def _findall(behind: bytes) -> Callable[..., list[Parts]]:
    return re.compile(_BEFORE + _STAMPS + behind, re.DOTALL).findall


take_apart: Final = _findall(rb",?(.*)()\}")
"""What takes a hit apart: a list with its parts, an empty one if it does not look as written."""
take_apart_scored: Final = _findall(rb',?(.*),"_rankingScore":(.*)\}')
"""The same where hits end with their score."""
_take_apart_up_to: Final = _findall(rb",?(.*)()")


def parts_before(ending: bytes, hit: bytes) -> Parts | None:
    """The parts of a hit whose document ends where `ending` comes last, which nodes have added.

    None if it does not look as written.
    """
    end = hit.rfind(ending)
    found = _take_apart_up_to(hit, 0, end) if end >= 0 else ()
    return found[0] if found else None


class _Ranks(dict[bytes, float]):
    """Scores as hits end with them, as numbers of which the smaller comes first. Many hits share one."""

    def __missing__(self, text: bytes) -> float:
        rank = self[text] = -float(text)
        return rank

    def are_apart(self) -> bool:
        """Whether none is so near another that a node would not tell them apart."""
        return all(before < after - SAME_SCORE for before, after in pairwise(sorted(set(self.values()))))


class _Reading:
    """One node's hits, taken apart as far as they were needed."""

    __slots__ = ("hits", "keys", "parts")

    def __init__(self, hits: Sequence[bytes]) -> None:
        self.hits = hits
        self.parts: list[Parts] = []
        self.keys: list[tuple[float, bytes]] = []
        """What hits are compared by: rank, then insertion, as far as they count."""

    def go_on(self, count: int, ranks: _Ranks | None, *, exact_ties: bool) -> bool:
        """Take so many more apart, as far as there are; whether they look as written."""
        some = self.hits[len(self.parts) : len(self.parts) + count]
        apart = list(chain.from_iterable(map(take_apart if ranks is None else take_apart_scored, some)))
        self.parts += apart
        try:
            self.keys += [
                (0.0 if ranks is None else ranks[score], stamp if exact_ties else b"") for _, stamp, _, score in apart
            ]
        except ValueError:  # the score is none
            return False
        return len(apart) == len(some)


def in_order(
    lists: Sequence[Sequence[bytes]], most: int, *, scored: bool, exact_ties: bool
) -> tuple[list[bytes], list[Parts]] | None:
    """The nodes' lists as one by score and insertion, up to `most` hits, and the parts of each.

    `scored`: hits end with their score; otherwise nothing but insertion ranks them. `exact_ties`: it does. None if a
    hit does not look as written, and if a list is not in the order of its scores and stamps: a node knows more than
    they tell.
    """
    readings = [_Reading(hits) for hits in lists if hits]
    ranks = _Ranks() if scored else None
    hits: list[bytes] = []
    parts: list[Parts] = []
    order: list[int] = []
    due = readings
    # Documents are spread by a hash: of the best hits each node has its share, and seldom many more. Not so where
    # several indexes are searched as one: ever more are taken, lest one list be gone through in small steps.
    more = isqrt(most) + 1
    step = most // max(len(readings), 1) + more
    while due:
        for each in due:
            if not each.go_on(step, ranks, exact_ties=exact_ties) or each.keys != sorted(each.keys):
                return None
        hits = list(chain.from_iterable([each.hits[: len(each.parts)] for each in readings]))
        parts = list(chain.from_iterable([each.parts for each in readings]))
        keys = list(chain.from_iterable([each.keys for each in readings]))
        order = sorted(range(len(keys)), key=keys.__getitem__)  # of equals, the one of the earlier list comes first
        # What has not been taken apart comes behind the last of its list that was.
        ends = accumulate([len(each.parts) for each in readings])
        open_ends = [(each, end) for each, end in zip(readings, ends, strict=True) if len(each.parts) < len(each.hits)]
        due = [each for each, end in open_ends if order.index(end - 1) + 1 < most]
        step, more = more, 2 * more
    if ranks is not None and not ranks.are_apart():
        return None
    del order[most:]
    return list(map(hits.__getitem__, order)), list(map(parts.__getitem__, order))


def cut(hits: Iterable[bytes], apart: Iterable[Parts | None], present: Callable[[bytes], bytes]) -> list[bytes]:
    """The hits without stamps and endings and the commas between them, in pieces to be joined.

    `apart`: the parts of each. `present` makes what is shown of a hit without them, and of one with more marks.
    """
    pieces: list[bytes] = []
    for hit, parts in zip(hits, apart, strict=True):
        head, _, rest, _ = parts or _ODD
        # What looks like stamps is a hit's own if nothing else does. A letter's first byte may also be a dash's.
        if not rest or (rest.find(_LETTER) >= 0 and rest.find(_MARK) >= 0):
            pieces += (present(bytes(hit)), b",")
        else:
            pieces += (head, rest, b"},")
    pieces[-1:] = [pieces[-1][:-1]] if pieces else []
    return pieces
