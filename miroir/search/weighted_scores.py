"""How a node compares hits of different queries: by what each group of ranking rules gave them, weighted.

A node that is asked as a part of a network (`Meili-Proxy-Search`) says these values of every hit, in
`_federation.weightedScoreValues`. Follows Meilisearch's `search/federated/weighted_scores.rs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from miroir.stamps import is_silent

Value: TypeAlias = dict[str, Any]
"""One member says its kind: `weightedScore`, `vectorSort`, `sort` or `geoSort`."""

_SAME: Final = 2.220446049250313e-16  # f64::EPSILON
_SCORES: Final = ("weightedScore", "vectorSort")


def clients_values(values: Sequence[Value]) -> Sequence[Value]:
    """The values without that of our own ranking rule, the last of all."""
    if values:
        sort = values[-1].get("sort")
        if sort is not None and isinstance(sort["value"], str) and is_silent(sort["value"]):
            return values[:-1]
    return values


def compare(left: Sequence[Value], left_score: float, right: Sequence[Value], right_score: float) -> int:
    """Above 0 if the left hit comes first, below 0 if the right one does, 0 if nothing tells.

    `left_score`: its `weightedRankingScore`, which decides where values cannot be compared.
    """
    for at, (one, other) in enumerate(zip(left, right, strict=False)):
        ((kind, this),) = one.items()
        ((other_kind, that),) = other.items()
        if kind in _SCORES and other_kind in _SCORES:
            if abs(this - that) > _SAME:
                return _order(this, that)
        elif kind != other_kind:
            remaining = _order(len(left) - at, len(right) - at)
            return remaining or _order(left_score, right_score)
        elif kind == "sort":
            if this["asc"] is not that["asc"]:
                return _order(left_score, right_score)
            order = _sorted(this["value"], that["value"], ascending=this["asc"])
            if order:
                return order
        elif this["asc"] is that["asc"]:
            order = _distant(this["distance"], that["distance"])
            if order:
                return order
    return _order(len(left), len(right))


def _order(this: float, that: float) -> int:
    return (this > that) - (this < that)


def _distant(this: float | None, that: float | None) -> int:
    """The greater distance comes first, whichever way was asked for: so a node does it between queries."""
    if this is None or that is None:
        return (this is not None) - (that is not None)
    return 0 if abs(this - that) <= _SAME else _order(this, that)


def _sorted(this: Any, that: Any, *, ascending: bool) -> int:
    """Numbers before texts before nothing, each in its direction; anything else is equal."""
    ranks = [_rank(value) for value in (this, that)]
    if 3 in ranks:
        return 0
    if ranks[0] != ranks[1]:
        return ranks[1] - ranks[0]
    if ranks[0] == 2:
        return 0
    order = int(this > that) - int(this < that)
    return -order if ascending else order


def _rank(value: Any) -> int:
    if value is None:
        return 2
    if isinstance(value, bool):
        return 3
    return 0 if isinstance(value, (int, float)) else 1 if isinstance(value, str) else 3
