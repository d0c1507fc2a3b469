"""From a client's search to what the nodes are asked.

Whatever is malformed stays as it is: a node judges it, in its own words. What is understood is widened (first pages,
scores, our own fields) so that the answers can be merged, and the merge is told what to take away again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from miroir.indexes.view import IndexView
from miroir.search.attributes import refuse_injected
from miroir.search.display import Presentation
from miroir.search.facets import FacetPlan
from miroir.search.hybrid import Kind, kind_of, ratio_of
from miroir.search.node_body import NodeBody
from miroir.search.ranking import Order
from miroir.stamps import RESERVED_FIELDS, SEQ_FIELD, STAMP_FIELDS

_MAX_USIZE: Final = (1 << 64) - 1
_DEFAULT_LIMIT: Final = 20
_STAMPS: Final = frozenset(STAMP_FIELDS)
_RESERVED: Final = frozenset(RESERVED_FIELDS)
_SORT_RULES: Final = (":asc", ":desc")


class Window(msgspec.Struct, frozen=True):
    """Which hits the client gets, and how the answer says so."""

    offset: int
    """Already clamped to `maxTotalHits`."""
    limit: int
    """Hits at most, clamped to what is left after the offset."""
    paged: bool
    """`page` / `hitsPerPage` were given: exact totals, pages in the answer."""
    echo_limit: int
    """The client's `limit` or `hitsPerPage`."""
    echo_page: int

    @property
    def reach(self) -> int:
        """How many hits a node must send for the window to be filled whatever the others send."""
        return self.offset + self.limit if self.limit else 0


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A search ready to be scattered, and everything that merging its answers needs."""

    index: IndexView
    window: Window
    order: Order
    semantic_ratio: float
    query: str
    distinct: str | None
    """The attribute whose values may appear once; None: no such rule."""
    facets: FacetPlan | None
    """None: the client asked for no facets."""
    presentation: Presentation
    node_body: NodeBody
    """The body of `POST /indexes/{physical}/search`, by the shards a node is asked for."""


def _natural(body: Mapping[str, Any], name: str, default: int) -> int | None:
    """A non-negative integer as a node takes it; None if it is malformed."""
    value = body.get(name, default)
    return value if type(value) is int and 0 <= value <= _MAX_USIZE else None


def _window(body: Mapping[str, Any], max_total_hits: int) -> Window | None:
    """The hits asked for; None if a node will refuse what is asked."""
    offset = _natural(body, "offset", 0)
    limit = _natural(body, "limit", _DEFAULT_LIMIT)
    paged = body.get("page") is not None or body.get("hitsPerPage") is not None
    page = _natural(body, "page", 1) if body.get("page") is not None else 1
    per_page = _natural(body, "hitsPerPage", 0) if body.get("hitsPerPage") is not None else _DEFAULT_LIMIT
    if offset is None or limit is None or page is None or per_page is None:
        return None
    if not paged:
        start = min(offset, max_total_hits)
        return Window(start, min(limit, max_total_hits - start), False, limit, 1)
    start = min(per_page * (page - 1) & _MAX_USIZE, max_total_hits) if page else 0  # a node's product wraps around
    shown = min(per_page, max_total_hits - start) if page else 0
    return Window(start, shown, True, per_page, page)


def _names(body: Mapping[str, Any], member: str) -> list[str] | None:
    """A list of attribute names; None if absent, null or malformed."""
    value = body.get(member)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    return None


def _flag(body: Mapping[str, Any], member: str) -> bool:
    return body.get(member) is True


def _set_flag(body: dict[str, Any], member: str) -> bool:
    """Switch a boolean on; False if the client's value is malformed and must stay."""
    if member in body and not isinstance(body[member], bool):
        return False
    body[member] = True
    return True


def shown_names(names: list[str] | None, displayed: frozenset[str] | None) -> list[str] | None:
    """Attributes to retrieve or highlight, `*` resolved where the client's displayed list allows it; None: all."""
    if names is None or "*" in names:
        return None if displayed is None else sorted(displayed)
    return [name for name in names if name not in _RESERVED and (displayed is None or name in displayed)]


def _shown_crops(crops: list[str], displayed: frozenset[str] | None) -> list[str]:
    """`attributesToCrop` confined to what is displayed: `name` or `name:length`, `*` included."""
    shown = []
    for crop in crops:
        name, colon, length = crop.rpartition(":") if ":" in crop else (crop, "", "")
        if name == "*":
            shown += [crop] if displayed is None else [f"{each}:{length}" for each in sorted(displayed)]
        elif name not in _RESERVED and (displayed is None or name in displayed):
            shown.append(f"{name}{colon}{length}")
    return shown


def _order(body: Mapping[str, Any], index: IndexView, *, is_part: bool) -> Order:
    kind = kind_of(body)
    if kind is Kind.HYBRID and not is_part:
        return Order.HYBRID
    if kind is not Kind.KEYWORD:
        return Order.DETAILS
    if body.get("sort") or any(rule.endswith(_SORT_RULES) for rule in index.ranking_rules):
        return Order.DETAILS
    query = body.get("q")
    if query is None or (isinstance(query, str) and not query.strip()):
        return Order.SEQ
    return Order.SCORE


def _facet_plan(body: dict[str, Any], index: IndexView) -> FacetPlan | None:
    """What to make of the facets; takes stamps out of what the nodes are asked (a plain node knows no such field)."""
    names = _names(body, "facets")
    if names is None:
        return None
    if not _STAMPS.isdisjoint(names):
        body["facets"] = [name for name in names if name not in _STAMPS]
    return facet_plan(names, index)


def facet_plan(names: Sequence[str], index: IndexView) -> FacetPlan:
    """What to make of these facets of an index."""
    return FacetPlan(
        names=tuple(names),
        hidden=_STAMPS | index.hidden_filterable,
        max_values=index.max_values_per_facet,
        orders=dict(index.sort_facet_values_by),
    )


def _merge_fields(index: IndexView, order: Order, distinct: str | None, facets: FacetPlan | None) -> set[str]:
    """What documents must carry for the merge; `*`: everything, because names cannot be told beforehand."""
    fields = {SEQ_FIELD} if index.exact_ties and order is not Order.HYBRID else set()
    if distinct is not None:
        fields.add(distinct)
        if facets is not None:
            fields.update(facets.names)
    return fields


def _fit_fields(
    body: dict[str, Any], index: IndexView, needed: set[str]
) -> tuple[bool, bool, frozenset[str] | None, frozenset[str] | None]:
    """Set which fields the nodes send.

    Returns whether stamps come, whether `_formatted` may, and the names to cut documents and `_formatted` to.
    """
    displayed = None if index.displayed is None else frozenset(index.displayed)
    retrieve = shown_names(_names(body, "attributesToRetrieve"), displayed)
    formats: set[str] = set()
    all_formatted = False
    highlights = _names(body, "attributesToHighlight")
    if highlights is not None:
        shown = shown_names(highlights, displayed)
        all_formatted = shown is None
        formats.update(shown or ())
        if shown is not None:
            body["attributesToHighlight"] = shown
    crops = _names(body, "attributesToCrop")
    if crops is not None:
        body["attributesToCrop"] = _shown_crops(crops, displayed)
        for crop in body["attributesToCrop"]:
            name = crop.rpartition(":")[0] if ":" in crop else crop
            all_formatted = all_formatted or name == "*"
            formats.add(name)
    has_formatted = bool(formats) or all_formatted
    given = body.get("attributesToRetrieve")
    if retrieve is None or (given is not None and _names(body, "attributesToRetrieve") is None):
        return True, has_formatted, None, None
    extra = needed.difference(retrieve)
    sent = ["*"] if "*" in extra else [*retrieve, *sorted(extra)]
    body["attributesToRetrieve"] = sent
    has_stamps = all_formatted or "*" in extra or not _STAMPS.isdisjoint((*sent, *formats))
    if extra <= {SEQ_FIELD}:
        return has_stamps, has_formatted, None, None
    return has_stamps, has_formatted, frozenset(retrieve), None if all_formatted else frozenset({*retrieve, *formats})


def window_of(body: Mapping[str, Any], index: IndexView) -> Window:
    """The hits a search asks for; none if a node will refuse what is asked."""
    return _window(body, index.max_total_hits) or Window(0, 0, False, _DEFAULT_LIMIT, 1)


def prepare(
    body: Mapping[str, Any],
    index: IndexView,
    *,
    over_fetch: int = 1,
    is_part: bool = False,
    federated: Window | None = None,
) -> Prepared:
    """What the nodes are asked for a client's search `body`, any JSON object.

    `over_fetch`: how many times the hits wanted each node is asked for. `is_part`: the hits are to be united with those
    of another search (`miroir.search.hybrid`), so each must bring its scores and its insertion stamp.
    `federated`: the window of the federated search that this is a query of. Then the nodes are not asked for pages, and
    every document carries the stamp by which it is known again among those of other queries.

    Raises `ApiError` for what a plain node would refuse and ours would not: filter, distinct or facets on an attribute
    that only we made filterable. All other judgement is the nodes'.
    """
    refuse_injected(body, index)
    asked = dict(body)
    window = federated or _window(asked, index.max_total_hits)
    order = _order(asked, index, is_part=is_part)
    distinct = asked.get("distinct")
    if not isinstance(distinct, str):
        distinct = index.distinct
    facets = _facet_plan(asked, index)

    keep_score, keep_details = _flag(body, "showRankingScore"), _flag(body, "showRankingScoreDetails")
    has_score, has_details = keep_score, keep_details
    if order in (Order.SCORE, Order.HYBRID) or is_part:
        has_score = _set_flag(asked, "showRankingScore")
    if order in (Order.DETAILS, Order.HYBRID) or is_part:
        has_details = _set_flag(asked, "showRankingScoreDetails")
    needed = _merge_fields(index, order, distinct, facets)
    if is_part or federated is not None:
        needed.add(SEQ_FIELD)
    has_stamps, has_formatted, retrieve, formatted = _fit_fields(asked, index, needed)

    if window is None:  # a node will refuse it
        window = Window(0, 0, False, _DEFAULT_LIMIT, 1)
    elif federated is None:
        # With `distinct` the exact total of page mode can only be counted over all winners of all nodes.
        counts_winners = distinct is not None and window.paged
        reach = index.max_total_hits if counts_winners else min(window.reach * over_fetch, index.max_total_hits)
        if window.paged:
            asked["page"] = 1
            asked["hitsPerPage"] = reach
        else:
            asked["limit"] = reach
            if asked.get("offset"):
                asked["offset"] = 0
    query = body.get("q")
    return Prepared(
        index=index,
        window=window,
        order=order,
        semantic_ratio=ratio_of(body),
        query=query if isinstance(query, str) else "",
        distinct=distinct,
        facets=facets,
        presentation=Presentation(
            displayed=None if index.displayed is None else frozenset(index.displayed),
            has_score=has_score,
            keep_score=keep_score,
            has_details=has_details,
            keep_details=keep_details,
            ranked=order is not Order.SEQ,
            has_stamps=has_stamps,
            has_formatted=has_formatted,
            has_positions=_flag(body, "showMatchesPosition"),
            retrieve=retrieve,
            formatted=formatted,
        ),
        node_body=NodeBody.of(asked),
    )
