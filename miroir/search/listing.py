"""The order of listed documents: by a client's `sort` or by insertion, and where in it a page lies.

Nodes send their own lists in order; here is what they are merged by, and how a deep page is found in them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from math import asin, ceil, cos, isfinite, prod, radians, sin, sqrt
from operator import itemgetter
from typing import Any, Final, TypeAlias, overload

from miroir.search.distinct import leaves
from miroir.search.facets import facet_number, normalise
from miroir.search.ranking import Descending, number_element

Key: TypeAlias = tuple[Any, ...]

_CRITERION: Final = re.compile(r"(?P<name>.*):(?P<order>asc|desc)", re.DOTALL)
_POINT: Final = re.compile(r"\s*_geoPoint\s*\(([^,]*),([^,]*)\)\s*")
_GEO: Final = "_geo"
_NUMBER: Final = 0
_TEXT: Final = 1
_NOWHERE: Final = (2,)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One member of `sort`: a path, or the distance from a point."""

    path: str
    descending: bool
    point: tuple[float, float] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What of a document must be known: the member of that name, and the one that a path with dots begins in."""
        return tuple(dict.fromkeys((self.path, self.path.split(".", 1)[0])))


def read_sort(sort: Iterable[object]) -> tuple[Criterion, ...]:
    """The criteria of a `sort` parameter; what is none is left out, for a node refuses it."""
    criteria = []
    for text in sort:
        match = _CRITERION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            continue
        point = _POINT.fullmatch(match["name"])
        descending = match["order"] == "desc"
        if point is None:
            criteria.append(Criterion(match["name"], descending))
            continue
        latitude, longitude = map(_float, point.groups())
        if latitude is not None and longitude is not None:
            criteria.append(Criterion(_GEO, descending, (latitude, longitude)))
    return tuple(criteria)


# -- keys ------------------------------------------------------------------------------------------------------------


class Places(Sequence[Key]):
    """Every place of a document in a sorted list, in order. Made one by one: there may be 2 to the power of criteria.

    A node lists a document once among the numbers and once among the texts if it has both, for each criterion anew; and
    nowhere at all if it has neither. Without coordinates it comes last, whichever way the distance counts.
    """

    __slots__ = ("_choices", "total")

    def __init__(self, document: Mapping[str, Any], criteria: Sequence[Criterion]) -> None:
        self._choices = [_elements(document, criterion) for criterion in criteria]
        self.total = prod(map(len, self._choices))

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, number: int) -> Key: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Key]: ...

    def __getitem__(self, number: int | slice) -> Key | Sequence[Key]:
        if isinstance(number, slice):
            return [self[each] for each in range(self.total)[number]]
        if not 0 <= number < self.total:
            raise IndexError(number)
        place: list[Key] = []
        for choices in reversed(self._choices):  # the last criterion counts through first
            number, chosen = divmod(number, len(choices))
            place.append(choices[chosen])
        return tuple(reversed(place))


def _elements(document: Mapping[str, Any], criterion: Criterion) -> list[Key]:
    if criterion.point is not None:
        there = _coordinates(document)
        if there is None:
            return [_NOWHERE]
        distance = _distance(criterion.point, there)
        return [(_NUMBER, -distance if criterion.descending else distance)]
    numbers: list[float] = []
    texts: list[str] = []
    for leaf in leaves(document, criterion.path):
        if isinstance(leaf, bool):
            texts.append("true" if leaf else "false")
        elif isinstance(leaf, int | float):
            numbers.append(float(leaf))
        elif leaf:  # one of blanks counts, though nothing is left of it
            texts.append(normalise(leaf))
    elements: list[Key] = []
    if numbers:
        most = (max if criterion.descending else min)(numbers, key=facet_number)
        elements.append(number_element(most, descending=criterion.descending))
    if texts:
        elements.append((_TEXT, Descending(max(texts)) if criterion.descending else min(texts)))
    return elements


def _coordinates(document: Mapping[str, Any]) -> tuple[float, float] | None:
    place = document.get(_GEO)
    if not isinstance(place, Mapping):
        return None
    latitude, longitude = _float(place.get("lat")), _float(place.get("lng"))
    return None if latitude is None or longitude is None else (latitude, longitude)


def _float(value: object) -> float | None:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The angle between two points of a sphere, by the haversine formula: all that an order needs.

    In steps of some millimetres, so that points as far off on either side are equal, as they are to a node.
    """
    (latitude, longitude), (there, along) = one, other
    half = sin(radians(there - latitude) / 2) ** 2
    half += cos(radians(latitude)) * cos(radians(there)) * sin(radians(along - longitude) / 2) ** 2
    return round(2 * asin(min(1.0, sqrt(half))), 9)


# -- merging ---------------------------------------------------------------------------------------------------------

Entry: TypeAlias = tuple[Key, bytes]
"""A document and what it is merged by."""


def sorted_entries(
    documents: Iterable[tuple[Mapping[str, Any], str, bytes]], criteria: Sequence[Criterion]
) -> Iterator[Entry]:
    """One node's list with keys: the n-th entry of a document is merged by its n-th place.

    `documents`: `(decoded, insertion stamp, as sent)`, the node's list from its beginning.
    """
    seen: Counter[str] = Counter()
    for document, seq, raw in documents:
        found = Places(document, criteria)
        # A node should not have listed one without a place; what it has listed all the same goes to the end.
        place = found[min(seen[seq], found.total - 1)] if found.total else (_NOWHERE,) * len(criteria)
        seen[seq] += 1
        yield (*place, seq), raw


def merged(lists: Iterable[Iterable[Entry]], offset: int, limit: int) -> list[bytes]:
    """A window of the nodes' lists in one order: of a sorted one, the window a node would take."""
    entries = list(islice(merge(*lists, key=itemgetter(0)), offset + limit))
    start = skipped([key[:-1] for key, _ in entries], offset)
    return [] if start is None else [raw for _, raw in entries[start : start + limit]]


def skipped(keys: Sequence[Key], offset: int) -> int | None:
    """How many entries a node leaves out for an `offset` into a list sorted by `keys`; None: all, it shows nothing.

    Not always as many as it is told. It skips group by group (documents of one value) until one less is skipped, then
    looks into the next group for the rest. Where a group ends just there it goes on without, and shows one document
    too many; where the next one ends there, it stops. Measured on 1.21, and its clients' pages are made of it.
    """
    first, last, depth = 0, len(keys), 0
    while offset:
        if first == last or depth == len(keys[first]):
            return first + offset if offset < last - first else None
        left, behind = offset - 1, first
        while left > 0:
            if first == last:
                return None
            value, behind = keys[first][depth], first + 1
            while behind < last and keys[behind][depth] == value:
                behind += 1
            if left < behind - first:
                break
            left -= behind - first
            first = behind
        else:
            return first
        last, depth, offset = behind, depth + 1, left + 1
    return first


# -- deep pages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one node's list of insertion stamps. `cut`: something may stand before it; `ended`: nothing follows."""

    stamps: Sequence[str]
    cut: bool
    ended: bool


def reach(own: int, total: int, offset: int, limit: int, spread: float) -> tuple[int, int]:
    """The part of a node's list that should hold its share of a page: from and to, for a node with `own` of `total`.

    Ids are spread over shards by a hash, so of the first `offset` documents a node holds its share give or take a few
    (a binomial's standard deviation); `spread` says how many deviations are looked at on either side.
    """
    share = own / total if total else 1.0
    give = ceil(spread * (sqrt(offset * share * (1.0 - share)) + 2.0))
    return max(0, int(offset * share) - give), ceil((offset + limit) * share) + give


def common_start(stretches: Sequence[Stretch]) -> str | None:
    """The stamp from which on no list has a gap at its beginning; empty: none was cut; None: that cannot be told."""
    start = ""
    for stretch in stretches:
        if stretch.cut:
            if not stretch.stamps:
                return None
            start = max(start, stretch.stamps[0])
    return start


def locate(stretches: Sequence[Stretch], before: int, offset: int, limit: int) -> list[str] | None:
    """The stamps of a page of all lists merged, from parts of them; None where the parts do not tell.

    `before`: how many stamps of all lists are smaller than the common start. From there to the lowest end nothing is
    missing, so places can be counted.
    """
    start = common_start(stretches)
    ends = [stretch.stamps[-1] if stretch.stamps else "" for stretch in stretches if not stretch.ended]
    if start is None or (ends and not min(ends)):
        return None
    known = list(merge(*[stretch.stamps for stretch in stretches]))
    known = known[bisect_left(known, start) : bisect_right(known, min(ends)) if ends else None]
    begin = offset - before
    if begin < 0 or (ends and begin + limit > len(known)):
        return None
    return known[begin : begin + limit]
