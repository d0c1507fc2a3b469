"""The order of hits: what each is compared by, and the k-way merge of the nodes' lists.

Every node's list is already in its own order, which knows more than any key we could build (attributes, exactness and
the typos a node chose to see). So lists are merged, never sorted again: a hit is compared only with the heads of the
other lists, and its key is read when it becomes a head.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from heapq import heapify, heappop, heapreplace
from math import copysign
from typing import Any, Final, TypeAlias

import msgspec
import orjson

from miroir.stamps import SEQ_FIELD

Key: TypeAlias = tuple[Any, ...]
KeyOf: TypeAlias = Callable[[bytes], Key]

SEQ_RULE: Final = f"{SEQ_FIELD}:asc"
"""Our ranking rule, the last on every node while `exact_ties` is on."""

SCORE_MEMBER: Final = b'"_rankingScore":'
DETAILS_MEMBER: Final = b'"_rankingScoreDetails":'
_SEQ_MEMBER: Final = f'"{SEQ_FIELD}":"'.encode()
_SEQ_BYTES: Final = 48  # 16 letters of three bytes
_EDITED_SEQ_BYTES: Final = 81  # and the 11 of the edit that came last
_QUOTE: Final = 0x22
_LETTER: Final = 0xE2  # the first byte of every letter of the stamps' alphabet
SAME_SCORE: Final = 1e-16
_SAME_PLACE_M: Final = 1.0

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Order(Enum):
    """What hits are merged by."""

    SEQ = "seq"
    """Nothing ranks them (no query, no sort): insertion order alone."""
    SCORE = "score"
    """`_rankingScore`, then insertion order: no rule that sorts by a value takes part."""
    DETAILS = "details"
    """Rule by rule: the score leaves sorts out."""
    HYBRID = "hybrid"
    """The score or similarity times its weight, where nodes have united their two lists themselves."""


def seq_of(hit: bytes) -> bytes:
    """The hit's insertion stamp as stored (UTF-8, comparable as bytes); empty if it has none."""
    at = hit.find(_SEQ_MEMBER) + 15
    for end in (at + _SEQ_BYTES, at + _EDITED_SEQ_BYTES):
        if at > 14 and len(hit) > end and hit[end] == _QUOTE and hit[at] == _LETTER:
            return hit[at:end]
    if at == 14:
        return b""
    stamp = _members.decode(hit).get(SEQ_FIELD)  # a client's own member of that name inside another object comes first
    return b"" if stamp is None else bytes(stamp)[1:-1]


def score_of(hit: bytes) -> float:
    """The hit's `_rankingScore`: the last member, or the last before the details. 0 if it has none."""
    at = hit.rfind(SCORE_MEMBER)
    if at < 0:
        return 0.0
    comma = hit.find(b",", at)
    return float(hit[at + 16 : comma if comma > 0 else -1])


def details_of(hit: bytes) -> dict[str, Any]:
    """The hit's `_rankingScoreDetails`, always the last member of a hit; empty if it has none."""
    at = hit.rfind(DETAILS_MEMBER)
    details = orjson.loads(hit[at + len(DETAILS_MEMBER) : -1]) if at >= 0 else {}
    return details if isinstance(details, dict) else {}


class Descending:
    """A text that sorts before those it is greater than."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: Descending) -> bool:
        return self.text > other.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


# Elements of a key, in the order in which different kinds at one place stand: numbers before texts before nothing.
_NUMBER: Final = 0
_TEXT: Final = 1
_MISSING: Final = (2, 0)


def number_element(number: float, *, descending: bool) -> Key:
    """A number that is sorted by; -0 stands right above 0, for nodes sort by facet values."""
    if number:
        return (_NUMBER, -number if descending else number)
    return (_NUMBER, 0.0, (copysign(1.0, number) < 0.0) is not descending)


def sort_element(rule: str, detail: dict[str, Any]) -> Key:
    descending = rule.endswith(":desc")
    value = detail["distance"] if "distance" in detail else detail.get("value")
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_element(value, descending=descending)
    if isinstance(value, str):
        return (_TEXT, Descending(value) if descending else value)
    return _MISSING


def _element(rule: str, detail: dict[str, Any]) -> Key:
    if "score" in detail:
        return (_NUMBER, -detail["score"])
    if "similarity" in detail:
        return (_NUMBER, -(detail["similarity"] or 0.0))
    if rule == "skipped":
        return (_NUMBER, 0.0)
    return sort_element(rule, detail)


def rule_order(item: tuple[str, dict[str, Any]]) -> int:
    order: int = item[1]["order"]
    return order


class _Anchors:
    """Distances as a node groups them: with the first one of a group come all that are a metre from it at most."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: dict[Key, list[float]] = {}

    def __call__(self, before: Key, distance: float) -> float:
        """The distance that stands for the group. `before`: what the rules before have made of the hit."""
        seen = self.seen.setdefault(before, [])
        at = bisect_left(seen, distance - _SAME_PLACE_M)
        if at < len(seen) and seen[at] <= distance + _SAME_PLACE_M:
            return seen[at]
        seen.insert(at, distance)
        return distance


def _details_key(*, exact_ties: bool) -> KeyOf:
    """Rule by rule in their order, our own last. Hits with the same rules have them in the same order."""
    orders: dict[tuple[str, ...], list[str]] = {}
    anchors = _Anchors()

    def details_key(hit: bytes) -> Key:
        details = details_of(hit)
        names = tuple(details)
        rules = orders.get(names)
        if rules is None:
            rules = orders[names] = [name for name, _ in sorted(details.items(), key=rule_order)]
        elements: list[Key] = []
        for rule in rules:
            detail = details[rule]
            element = (_NUMBER, -detail["score"]) if "score" in detail else _element(rule, detail)
            if "distance" in detail and element is not _MISSING:
                element = (_NUMBER, anchors((rule, *elements), element[1]))
            elements.append(element)
        if exact_ties and SEQ_RULE not in details:  # a search that was cut off has not come to our rule
            elements.append((_TEXT, seq_of(hit).decode()))
        return tuple(elements)

    return details_key


class Levels:
    """Scores within 1e-16 of each other are one: the first one seen stands for all."""

    __slots__ = ("last", "seen")

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.last = -1.0

    def __call__(self, score: float) -> float:
        if score == self.last:
            return score
        seen = self.seen
        at = bisect_left(seen, score - SAME_SCORE)
        if at < len(seen) and seen[at] <= score + SAME_SCORE:
            self.last = seen[at]
        else:
            seen.insert(at, score)
            self.last = score
        return self.last


def _score_key(level: Levels, *, exact_ties: bool) -> KeyOf:
    """Score, then insertion stamp. Many hits share a score, so its text is looked up first."""
    negated: dict[bytes, float] = {}

    def score_key(hit: bytes) -> Key:
        text = hit[hit.rfind(SCORE_MEMBER) + 16 :]
        score = negated.get(text)
        if score is None:
            score = negated[text] = -level(score_of(hit))
        if not exact_ties:
            return (score,)
        at = hit.find(_SEQ_MEMBER) + 15
        end = at + _SEQ_BYTES
        if hit[end : end + 1] == b'"' and hit[at] == _LETTER:
            return (score, hit[at:end])
        return (score, seq_of(hit))

    return score_key


def key_of(order: Order, *, exact_ties: bool, semantic_ratio: float = 0.5) -> KeyOf:
    """The function that reads a hit's key; smaller keys come first. Without `exact_ties`, ties are left to the nodes.

    A function serves one merge: it remembers the scores it has seen.
    """
    if order is Order.DETAILS:
        return _details_key(exact_ties=exact_ties)
    if order is Order.SEQ:
        return (lambda hit: (seq_of(hit),)) if exact_ties else (lambda _: ())
    level = Levels()
    if order is Order.HYBRID:

        def hybrid_key(hit: bytes) -> Key:
            rules = details_of(hit)
            similarity = rules.get("vectorSort")
            if similarity is not None:
                score = (similarity.get("similarity") or 0.0) * semantic_ratio
            else:
                score = score_of(hit) * (1.0 - semantic_ratio)
            sorts = [sort_element(rule, detail) for rule, detail in rules.items() if "value" in detail]
            return (-level(score), *sorts)

        return hybrid_key
    return _score_key(level, exact_ties=exact_ties)


def merged(lists: Sequence[Sequence[msgspec.Raw]], key: KeyOf) -> Iterator[bytes]:
    """The nodes' hits in one order, lazily. Hits with equal keys come in the order of the lists."""
    filled = [hits for hits in lists if hits]
    if len(filled) == 1:
        yield from map(bytes, filled[0])
        return
    heap = []
    for node, hits in enumerate(filled):
        rest = map(bytes, hits)
        hit = next(rest)
        heap.append((key(hit), node, hit, rest.__next__))
    heapify(heap)
    while len(heap) > 1:
        _, node, hit, following = heap[0]
        yield hit
        try:
            hit = following()
        except StopIteration:
            heappop(heap)
        else:
            heapreplace(heap, (key(hit), node, hit, following))
    for _, _, hit, following in heap:
        yield hit
        while True:
            try:
                yield following()
            except StopIteration:
                return
