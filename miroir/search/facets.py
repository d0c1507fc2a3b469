"""Facet counts of several nodes as one node would give them: buckets, spellings, orders, cut.

A node answers, per attribute, numbers first and then texts, each part in its order. Texts are one bucket when NFKD,
trim and lowercase agree; a bucket shows the spelling of one of its documents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import copysign
from typing import Final, TypeAlias

import msgspec

Counts = dict[str, int]
Stats = dict[str, tuple[bytes, bytes]]
"""Attribute to its smallest and greatest number, as JSON texts."""
Number: TypeAlias = tuple[float, bool]
"""A number as a facet value: -0 is one of its own, next above 0 (a node keeps the bits behind what it sorts by)."""

_SCANNED: Final = 3000
"""Up to this many candidates a node collects numbers as texts and orders them so; above, it orders them as numbers."""

_LONGEST: Final = 468
"""Bytes of a text that a node files it under: what follows does not fit into a key of its storage."""
_MOST_BYTES: Final = 4
"""That a character takes in UTF-8."""

# What Rust's `trim` takes off: Unicode White_Space. (Python's `strip` also takes U+001C-001F.)
_WHITE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class FacetStats(msgspec.Struct):
    """One attribute's entry in a node's `facetStats`; numbers stay as the node wrote them."""

    min: msgspec.Raw
    max: msgspec.Raw


@dataclass(frozen=True, slots=True)
class FacetPlan:
    """What the client wants of facets."""

    names: tuple[str, ...]
    """The `facets` of the request."""
    hidden: frozenset[str]
    """Attributes never shown: our stamps, and what only we made filterable."""
    max_values: int
    orders: Mapping[str, str]
    """Attribute or `*` to `alpha` or `count`."""

    def by_count(self, name: str) -> bool:
        """Whether the values of `name` come by count. A node looks up only names asked for literally."""
        if "*" not in self.names and name in self.names:
            return self.orders_by_count(name)
        return self.orders.get("*", "alpha") == "count"

    def orders_by_count(self, name: str) -> bool:
        """Whether the index's settings say so of this very name, `*` among them."""
        return self.orders.get(name, self.orders.get("*", "alpha")) == "count"


@lru_cache(maxsize=1 << 15)
def normalise(text: str) -> str:
    """The key under which Meilisearch files a facet text; of long ones only the beginning counts."""
    text = text.strip(_WHITE)
    filed = text.lower() if text.isascii() else unicodedata.normalize("NFKD", text).lower()
    return filed if len(filed) <= _LONGEST // _MOST_BYTES else _beginning(filed)


def _beginning(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    return text if len(raw) <= _LONGEST else raw[:_LONGEST].decode("utf-8", "ignore")


def facet_number(number: float) -> Number:
    """The value under which a node files a number, comparable with others."""
    return number, not number and copysign(1.0, number) < 0.0


def _json_number(text: bytes) -> Number:
    return facet_number(float(text))


def number_text(number: float) -> str:
    """A number as the name of a facet value: Rust's display form, without exponent or needless fraction."""
    text = repr(float(number))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _numbers(values: Counts, stats: FacetStats | None, *, by_count: bool) -> int:
    """How many of the leading values are numbers. A text such as "10" looks like one; order and stats tell."""
    if stats is None:
        return 0
    low, high = float(bytes(stats.min)), float(bytes(stats.max))
    seen = 0
    textual = numeric = True
    last_text, last_number, last_count = "", facet_number(float("-inf")), 0
    for text, count in values.items():
        if not _NUMBER.fullmatch(text):
            break
        number = facet_number(float(text))
        if not low <= number[0] <= high:
            break
        if seen:
            textual = textual and text > last_text
            numeric = numeric and number > last_number
            if count > last_count if by_count else not (textual or numeric):
                break
        last_text, last_number, last_count = text, number, count
        seen += 1
    return seen


def _is_numeric_order(texts: Sequence[str]) -> bool:
    """Whether these numbers are ordered as numbers where text order would differ."""
    return len(texts) > 1 and texts != sorted(texts)


@dataclass(slots=True)
class Buckets:
    """One attribute's values over all nodes, before ordering."""

    numbers: Counts
    texts: dict[str, tuple[str, int]]
    """Normalised text to the spelling shown and the count."""
    scanned: bool = True
    """Whether the one node would have collected its numbers as texts."""

    def drop(self, value: Number | str) -> None:
        """Count one document less at this value (a number, or a normalised text)."""
        if isinstance(value, str):
            spelling, count = self.texts.get(value, ("", 0))
            if count > 1:
                self.texts[value] = (spelling, count - 1)
            else:
                self.texts.pop(value, None)
            return
        name = number_text(value[0])
        left = self.numbers.get(name, 0) - 1
        if left > 0:
            self.numbers[name] = left
        else:
            self.numbers.pop(name, None)

    def ordered(self, max_values: int, *, by_count: bool) -> Counts:
        """As a node lists them: numbers, then texts, at most `max_values` altogether.

        Where it walks the values themselves and not the documents found, it stops when it has *just* so many, and looks
        only after it has taken one. So where numbers alone are that many, all texts come behind them; 0 is no bound.
        """
        numbers, texts = list(self.numbers.items()), list(self.texts.items())
        if by_count:
            numbers.sort(key=lambda item: (item[1], facet_number(float(item[0]))), reverse=True)
            texts.sort(key=lambda item: (item[1][1], item[0]), reverse=True)
        else:
            numbers.sort(key=(lambda item: item[0]) if self.scanned else (lambda item: facet_number(float(item[0]))))
            texts.sort(key=lambda item: item[0])
        walks = by_count or not self.scanned
        values = dict(numbers[: max_values or None] if walks else numbers[:max_values])
        room = max_values - len(values)
        for _, (spelling, count) in texts if walks and room <= 0 else texts[:room]:
            values[spelling] = count
        return values


def _collect(
    name: str, parts: Sequence[tuple[Counts, FacetStats | None]], candidates: int, *, clamped: bool, by_count: bool
) -> Buckets:
    numbers: Counts = {}
    texts: dict[str, tuple[str, int]] = {}
    most: Counts = {}
    scanned = candidates <= _SCANNED
    for values, stats in parts:
        split = _numbers(values, stats, by_count=by_count)
        listed = list(values.items())
        if not by_count and _is_numeric_order([text for text, _ in listed[:split]]):
            scanned = False
        for text, count in listed[:split]:
            numbers[text] = numbers.get(text, 0) + count
        for text, count in listed[split:]:
            key = normalise(text)
            known = texts.get(key)
            if known is None:
                texts[key] = (text, count)
                most[key] = count
            else:
                spelling = known[0]
                if count > most[key]:
                    spelling, most[key] = text, count
                texts[key] = (spelling, known[1] + count)
    if clamped and sum(numbers.values()) > _SCANNED:
        scanned = False  # totals end at maxTotalHits; a number per document is the next best count
    return Buckets(numbers, texts, scanned)


def gather(
    distributions: Sequence[Mapping[str, Counts]],
    stats: Sequence[Mapping[str, FacetStats]],
    plan: FacetPlan,
    candidates: int,
    *,
    clamped: bool = False,
) -> dict[str, Buckets]:
    """The buckets of every attribute, in the order of their names.

    `candidates`: how many documents match over all nodes; `clamped`: at least that many.
    """
    names = sorted({name for part in distributions for name in part} - plan.hidden)
    return {
        name: _collect(
            name,
            [(part[name], stat.get(name)) for part, stat in zip(distributions, stats, strict=True) if name in part],
            candidates,
            clamped=clamped,
            by_count=plan.by_count(name),
        )
        for name in names
    }


def distribution(buckets: Mapping[str, Buckets], plan: FacetPlan) -> dict[str, Counts]:
    """`facetDistribution` as the client sees it."""
    return {name: part.ordered(plan.max_values, by_count=plan.by_count(name)) for name, part in buckets.items()}


def merge_stats(parts: Iterable[Mapping[str, FacetStats]], hidden: Collection[str]) -> Stats:
    """`facetStats` over all nodes, in the order of the names; attributes without a number have none."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for part in parts:
        for name, stats in part.items():
            if name in hidden:
                continue
            low, high = bytes(stats.min), bytes(stats.max)
            known = found.get(name)
            if known is not None:
                low = min(known[0], low, key=_json_number)
                high = max(known[1], high, key=_json_number)
            found[name] = (low, high)
    return dict(sorted(found.items()))
