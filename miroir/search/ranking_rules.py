"""Which queries one node would put into one list: their ranking rules, made canonical, must not contradict each other.

A node compares the hits of two queries group of rules by group of rules: relevancy with relevancy, a sort with a sort
of the same direction. What cannot be compared is refused, with notes of what became of the rules. The check must be
ours, made of the client's rules alone: on the nodes a rule of ours stands behind them. Follows Meilisearch's
`search/ranking_rules.rs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from typing import Any, Final

from miroir.search.hybrid import Kind, kind_of

_RELEVANCY: Final = frozenset({"words", "typo", "proximity", "attribute", "exactness"})
_GEO: Final = "_geoPoint("


class Comparison(Enum):
    """What a group of rules compares by; the values are a node's words."""

    RELEVANCY = "relevancy"
    ASCENDING = "ascending sort"
    DESCENDING = "descending sort"
    GEO_ASCENDING = "ascending geo sort"
    GEO_DESCENDING = "descending geo sort"


_GEO_KINDS: Final = (Comparison.GEO_ASCENDING, Comparison.GEO_DESCENDING)


@dataclass(frozen=True, slots=True)
class Sort:
    """One criterion of a query's `sort`. `name` is None for a geo sort."""

    name: str | None
    ascending: bool

    @property
    def kind(self) -> Comparison:
        """What it compares by."""
        if self.name is None:
            return Comparison.GEO_ASCENDING if self.ascending else Comparison.GEO_DESCENDING
        return Comparison.ASCENDING if self.ascending else Comparison.DESCENDING

    def __str__(self) -> str:
        return f"{'_geo(..)' if self.name is None else self.name}:{'asc' if self.ascending else 'desc'}"


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are compared as one. `place` says where they stand, `rules` which they are, both in a node's words."""

    kind: Comparison
    place: str
    rules: str


@dataclass(frozen=True, slots=True)
class CanonicalRules:
    """The ranking rules that take part in a query, and what was done to get there."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def canonical_rules(
    rules: Sequence[str], query: Mapping[str, Any], *, uid: str, position: int
) -> CanonicalRules | None:
    """The rules of a query of the index `uid`, whose own are `rules`; None if its `sort` is none that a node takes.

    `position`: of the query in the request, for texts.
    """
    sort = _sorts(query.get("sort"))
    if sort is _MALFORMED:
        return None
    strategy = query.get("matchingStrategy")
    text = query.get("q")
    if kind_of(query) is Kind.SEMANTIC:
        made = _Canonicalisation(rules, sort)
        made.vector()
    elif isinstance(text, str) and text:
        made = _Canonicalisation(rules, sort)
        made.keyword(all_words=strategy == "all")
    else:
        made = _Canonicalisation(rules, sort)
        made.placeholder()
    return CanonicalRules(tuple(made.groups(uid, position)), tuple(made.notes))


def incompatibility(
    previous: CanonicalRules, previous_position: int, current: CanonicalRules, position: int
) -> str | None:
    """A node's text about two queries whose hits cannot be compared; None if they can."""
    for before, now in zip(previous.groups, current.groups, strict=False):
        if before.kind is not now.kind:
            break
    else:
        return None
    lines = [
        f"The results of queries #{previous_position} and #{position} are incompatible: ",
        f"  1. {before.place}: {before.kind.value} {before.rules}",
        f"  2. {now.place}: {now.kind.value} {now.rules}",
        f"  - {_reason(before.kind, now.kind)}",
    ]
    for rules, at in ((previous, previous_position), (current, position)):
        if rules.notes:
            lines.append(f"  - note: The ranking rules of query #{at} were modified during canonicalization:")
            lines += rules.notes
    return "\n".join(lines) + "\n"


def _reason(one: Comparison, other: Comparison) -> str:
    if Comparison.RELEVANCY in (one, other):
        sort = other if one is Comparison.RELEVANCY else one
        return f"cannot compare a relevancy rule with a {'geosort' if sort in _GEO_KINDS else 'sort'} rule"
    geo = [kind in _GEO_KINDS for kind in (one, other)]
    if geo[0] is not geo[1]:
        return "cannot compare a sort rule with a geosort rule"
    return f"cannot compare two {'geosort' if geo[0] else 'sort'} rules in opposite directions"


_MALFORMED: Final = [Sort("", ascending=True)]


def _sorts(value: Any) -> list[Sort] | None:
    """A query's `sort`; None if there is none, `_MALFORMED` if it is one that a node refuses."""
    if value is None:
        return None
    found = []
    for each in value if isinstance(value, list) else [value]:
        name, colon, direction = each.rpartition(":") if isinstance(each, str) else ("", "", "")
        if not colon or direction not in ("asc", "desc"):
            return _MALFORMED
        found.append(Sort(None if name.startswith(_GEO) else name, direction == "asc"))
    return found


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """Where a rule stands in what the client wrote."""

    name: str
    position: str


@dataclass(slots=True)
class _Canonicalisation:
    """One run over the rules of an index; `criteria` and `sorts` are what is left of them."""

    rules: Sequence[str]
    sort: Sequence[Sort] | None
    criteria: list[str] = field(default_factory=list)
    sorts: list[Sort] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _fields: dict[str, _Occurrence] = field(default_factory=dict)
    _seen: dict[str, _Occurrence] = field(default_factory=dict)

    def placeholder(self) -> None:
        """Without words to look for, no rule of relevancy takes part."""
        for at, rule in enumerate(self.rules):
            if rule in _RELEVANCY:
                self._note(
                    f"Removed relevancy rule `{rule}` at position {_in_rules(at)} because the query is a placeholder "
                    'search (`q`: "")'
                )
            else:
                self._sorting(at, rule)

    def vector(self) -> None:
        """The first rule of relevancy stands for the vector; behind a sort, the next one ends the list."""
        vector: str | None = None
        for at, rule in enumerate(self.rules):
            if rule not in _RELEVANCY:
                self._sorting(at, rule)
            elif vector is None:
                vector = _in_rules(at)
                self.criteria.append(rule)
            elif not self._fields:
                self._note(
                    f"Removed relevancy rule `{self._first_relevancy()}` at position {_in_rules(at)} because the query "
                    f"is a vector search and `vector` was already inserted at position {vector}"
                )
            else:
                self._note(
                    f"Truncated relevancy rule `{rule}` at position {_in_rules(at)} and later rules because the query "
                    f"is a vector search and `vector` was inserted at position {vector}"
                )
                return

    def keyword(self, *, all_words: bool) -> None:
        """`words` comes before all relevancy unless every word must match anyway; nothing comes twice."""
        prepended = False
        for at, rule in enumerate(self.rules):
            if rule == "words":
                if all_words:
                    self._note(
                        f"Removed rule `words` at position {_in_rules(at)} because `query.matchingWords` is set to "
                        "`all`"
                    )
                    continue
                if prepended and "words" not in self._seen:
                    self._note(f"Removed rule `words` at position {_in_rules(at)} because it was previously prepended")
                if not self._repeated("words", at):
                    self.criteria.append(rule)
            elif rule in _RELEVANCY:
                if not (all_words or prepended or "words" in self._seen):
                    prepended = True
                    self.criteria.append("words")
                    self._note(
                        f"Prepended rule `words` before first relevancy rule `{rule}` at position {_in_rules(at)}"
                    )
                if not self._repeated(rule, at):
                    self.criteria.append(rule)
            else:
                self._sorting(at, rule)

    def groups(self, uid: str, position: int) -> list[Group]:
        """What is left, relevancy next to relevancy taken together."""
        found: list[
            tuple[Comparison, int, int, str]
        ] = []  # kind, the criteria it spans, text of a criterion of the sort
        for at, rule in enumerate(self.criteria):
            if rule == "sort":
                found += [(sort.kind, at, place, "sort") for place, sort in enumerate(self.sorts)]
            elif rule in _RELEVANCY:
                if found and found[-1][0] is Comparison.RELEVANCY:
                    found[-1] = (Comparison.RELEVANCY, found[-1][1], at, "")
                else:
                    found.append((Comparison.RELEVANCY, at, at, ""))
            else:
                found.append((Comparison.ASCENDING if rule.endswith(":asc") else Comparison.DESCENDING, at, at, ""))
        made = []
        for kind, first, last, source in found:
            if source:
                name = self.sorts[last].name
                place = f"`queries[{position}].sort[{last}]`, `{uid}.rankingRules[{first}]`"
                made.append(Group(kind, place, f"rule(s) {'default' if name is None else f'on field `{name}`'}"))
                continue
            span = str(first) if first == last else f"{first}..={last}"
            place = f"`queries[{position}]`, `{uid}.rankingRules[{span}]`"
            made.append(Group(kind, place, f"rule(s) {', '.join(self.criteria[first : last + 1])}"))
        return made

    def _note(self, text: str, indent: str = "    ") -> None:
        self.notes.append(f"{indent}{len(self.notes) + 1}. {text}")

    def _duplicate(self, earlier: _Occurrence, position: str) -> None:
        self._note(
            f"Removed duplicate rule `{earlier.name}` at position {position} as it already appears at position "
            f"{earlier.position}"
        )

    def _repeated(self, rule: str, at: int) -> bool:
        """Whether the rule was there before; then that is noted."""
        earlier = self._seen.get(rule)
        if earlier is not None:
            self._duplicate(earlier, _in_rules(at))
            return True
        self._seen[rule] = _Occurrence(rule, _in_rules(at))
        return False

    def _sorting(self, at: int, rule: str) -> None:
        if rule != "sort":
            name = rule.rpartition(":")[0]
            earlier = self._fields.get(name)
            if earlier is not None:
                self._duplicate(earlier, _in_rules(at))
            else:
                self._fields[name] = _Occurrence(rule, _in_rules(at))
                self.criteria.append(rule)
        elif "sort" in self._seen:
            self._duplicate(self._seen["sort"], _in_rules(at))
        elif self.sort is None:
            # One blank less: so a node writes it.
            self._note(f"Removed rule `sort` at position {_in_rules(at)} because `query.sort` is empty", "   ")
        else:
            self._seen["sort"] = _Occurrence("sort", _in_rules(at))
            self.criteria.append(rule)
            self._take_sorts(at, self.sort)

    def _take_sorts(self, at: int, sorts: Sequence[Sort]) -> None:
        geo: _Occurrence | None = None
        for place, sort in enumerate(sorts):
            here = _Occurrence(str(sort), f"#{place} in `query.sort` (as `sort` is #{at} in ranking rules)")
            earlier = geo if sort.name is None else self._fields.get(sort.name)
            if earlier is not None:
                self._duplicate(earlier, here.position)
                continue
            if sort.name is None:
                geo = here
            else:
                self._fields[sort.name] = here
            self.sorts.append(sort)

    def _first_relevancy(self) -> str:
        return next(rule for rule in self.criteria if rule in _RELEVANCY)


def _in_rules(at: int) -> str:
    return f"#{at} in ranking rules"


def same_kinds(one: CanonicalRules, other: CanonicalRules) -> bool:
    """Whether two queries are compared by the same kinds of groups throughout."""
    return all(
        before is not None and now is not None and before.kind is now.kind
        for before, now in zip_longest(one.groups, other.groups)
    )
