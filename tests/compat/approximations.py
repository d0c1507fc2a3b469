"""What Miroir does not promise to answer as one node does, and what of an answer each such thing may change.

Whether a request falls under one of these is told by the request, the settings and the corpus alone, never by its
answer. An approximation names the part of an answer that it may touch: that part is taken out of both answers, and the
rest must be equal all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from miroir.search.facets import normalise, number_text
from tests.compat.cases import Case
from tests.compat.corpus import Document

_ESTIMATES: Final = ("estimatedTotalHits", "facetDistribution", "facetStats", "facetHits")
_TOTALS: Final = (*_ESTIMATES, "totalHits", "totalPages")

_TREE: Final = 20
"""So many numbers, or texts, of an attribute a node keeps in a tree of more than one level."""

Fold = Callable[[Any, Case], Any]
Check = Callable[[Any, Any], Iterator[str]]


@dataclass(frozen=True)
class Knowledge:
    """What the corpus is like, as far as approximations ask: sets of dotted paths."""

    count: int
    """How many documents there are."""
    paths: frozenset[str]
    spelled: frozenset[str]
    """Where one facet value comes in several spellings."""
    numbers_as_texts: frozenset[str]
    """Where the same number stands as number and as text."""
    many_valued: frozenset[str]
    """Where a document may have several values."""
    wide: frozenset[str]
    """Where there are so many values that a node keeps them in a tree."""

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Knowledge:
        """Read off the documents."""
        values: dict[str, list[Any]] = {}
        many_valued: set[str] = set()
        for document in documents:
            own: dict[str, list[Any]] = {}
            _collect(document, "", own)
            for path, found in own.items():
                values.setdefault(path, []).extend(found)
                if len(found) > 1:
                    many_valued.add(path)
        return cls(
            len(documents),
            frozenset(values),
            frozenset(path for path, found in values.items() if _has_spellings(found)),
            frozenset(path for path, found in values.items() if _has_numbers_as_texts(found)),
            frozenset(many_valued),
            frozenset(path for path, found in values.items() if _is_wide(found)),
        )


def _anything(_left: Any, _right: Any) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True)
class Approximation:
    """One of them: its name in the report, when it applies, how it is taken out of an answer, and what holds yet."""

    name: str
    applies: Callable[[Case, Knowledge], bool]
    fold: Fold
    holds: Check = _anything
    """What is wrong with two answers even so, a line each: for what no part of either can show by itself."""


def _wants_nothing_of_an_object(case: Case, known: Knowledge) -> bool:
    """A name in an object that no document has, while the merge needs another member of some object."""
    wanted = case.body.get("attributesToRetrieve")
    if _distinct(case) is None or not isinstance(wanted, list):
        return False
    return any(isinstance(name, str) and "." in name and name not in known.paths for name in wanted)


def _without_empty_objects(answer: Any, _case: Case) -> Any:
    for hit in answer.get("hits", []):
        for name in [name for name, value in hit.items() if value == {}]:
            del hit[name]
    return answer


def _searches(case: Case) -> bool:
    return case.route == "search"


def _distinct(case: Case) -> str | None:
    if case.route not in ("search", "facet-search"):
        return None
    value = case.body.get("distinct", case.variant.settings.get("distinctAttribute"))
    return value if isinstance(value, str) else None


def _counts_winners(case: Case, known: Knowledge) -> bool:
    """A facet search that looks at all hits: a node does not with words, and we see but `maxTotalHits` of them."""
    body, most = case.body, case.variant.settings.get("pagination", {}).get("maxTotalHits", 1000)
    is_exhaustive = body.get("exhaustiveFacetCount") is True and not body.get("q")
    return case.route == "facet-search" and is_exhaustive and known.count <= most


def _collect(value: Any, path: str, values: dict[str, list[Any]]) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            _collect(member, f"{path}.{name}" if path else name, values)
    elif isinstance(value, list):
        for item in value:
            _collect(item, path, values)
    else:
        values.setdefault(path, []).append(value)


def _has_spellings(values: Sequence[Any]) -> bool:
    spellings: dict[str, str] = {}
    return any(spellings.setdefault(normalise(text), text) != text for text in values if isinstance(text, str))


def _has_numbers_as_texts(values: Sequence[Any]) -> bool:
    numbers = {number_text(leaf) for leaf in values if isinstance(leaf, int | float) and not isinstance(leaf, bool)}
    return any(isinstance(leaf, str) and leaf in numbers for leaf in values)


def _is_wide(values: Sequence[Any]) -> bool:
    texts = {normalise(leaf) for leaf in values if isinstance(leaf, str)}
    numbers = {float(leaf) for leaf in values if isinstance(leaf, int | float) and not isinstance(leaf, bool)}
    return max(len(texts), len(numbers)) >= _TREE


def _faceted(case: Case, paths: Collection[str]) -> bool:
    """Whether an answer counts the values of one of these paths."""
    if case.route == "facet-search":
        return case.body.get("facetName") in paths
    facets = case.body.get("facets")
    if not _searches(case) or not isinstance(facets, list):
        return False
    wanted = case.variant.filterable if "*" in facets else [name for name in facets if isinstance(name, str)]
    return any(_is_below(path, wanted) for path in paths)


def _is_below(path: str, wanted: Sequence[str]) -> bool:
    return any(
        path == each or path.startswith(f"{each}.") or (each.endswith("*") and path.startswith(each[:-1]))
        for each in wanted
    )


def _spelled_alike(answer: Any, _case: Case) -> Any:
    """Facet texts by what a node files them under."""
    for name, values in answer.get("facetDistribution", {}).items():
        answer["facetDistribution"][name] = [[normalise(value), count] for value, count in values.items()]
    for hit in answer.get("facetHits", []):
        hit["value"] = normalise(hit["value"])
    return answer


def _without_numbers(answer: Any, _case: Case) -> Any:
    """Without the counts of what looks like a number, and without what the cut to so many values left."""
    for name, values in answer.get("facetDistribution", {}).items():
        answer["facetDistribution"][name] = {text: count for text, count in values.items() if not _is_number(text)}
    if "facetHits" in answer:
        answer["facetHits"] = [hit for hit in answer["facetHits"] if not _is_number(hit["value"])]
    return answer


def _by_count(case: Case, path: str) -> bool:
    """Whether the values of a facet come by count. A node looks up only names asked for literally."""
    orders, facets = case.variant.settings.get("faceting", {}).get("sortFacetValuesBy", {}), case.body["facets"]
    everywhere = orders.get("*", "alpha")
    found: str = orders.get(path, everywhere) if path in facets and "*" not in facets else everywhere
    return found == "count"


def _counts_a_tree(case: Case, known: Knowledge) -> bool:
    return _searches(case) and any(_faceted(case, {path}) and _by_count(case, path) for path in known.wide)


def _in_order_of_names(answer: Any, case: Case) -> Any:
    """Values of one count in the order of their names; where some are cut off, those of the least count unnamed."""
    most = case.variant.settings.get("faceting", {}).get("maxValuesPerFacet", 100)
    for name, values in answer.get("facetDistribution", {}).items():
        if not _by_count(case, name):
            continue
        ordered: dict[str, int] = {}
        for count, of_one_count in groupby(values.items(), key=lambda item: item[1]):
            texts = sorted(text for text, _ in of_one_count)
            is_cut = len(values) >= most and count == min(values.values())
            ordered |= {f"one of {count}: {place}" if is_cut else text: count for place, text in enumerate(texts)}
        answer["facetDistribution"][name] = ordered
    return answer


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _without_totals(answer: Any, _case: Case) -> Any:
    return {name: value for name, value in answer.items() if name not in _TOTALS}


def _without_estimates(answer: Any, _case: Case) -> Any:
    """Exact totals, which come with pages, stay."""
    return {name: value for name, value in answer.items() if name not in _ESTIMATES}


def _without_scores(answer: Any, _case: Case) -> Any:
    for hit in answer.get("hits", []):
        hit.pop("_rankingScore", None)
        hit.pop("_rankingScoreDetails", None)
    return answer


def _shows_vectors_of_some(case: Case, _known: Knowledge) -> bool:
    """Vectors are wanted, and only some attributes are displayed."""
    return case.body.get("retrieveVectors") is True and "displayedAttributes" in case.variant.settings


def _without_vectors(answer: Any, _case: Case) -> Any:
    for hit in answer.get("hits", []):
        hit.pop("_vectors", None)
    return answer


def _is_cut_off(case: Case, _known: Knowledge) -> bool:
    """Cut off before anything is ranked."""
    return case.route in ("search", "facet-search") and case.variant.settings.get("searchCutoffMs") == 0


def _is_cut_off_below_a_threshold(case: Case, known: Knowledge) -> bool:
    return _is_cut_off(case, known) and bool(case.body.get("rankingScoreThreshold"))


def _pairs_a_beginning(case: Case, _known: Knowledge) -> bool:
    """Nearness is judged by attribute, and the last of several words may be a beginning.

    Which pairs of a word and a beginning a node looks at depends on the words it has.
    """
    query = case.body.get("q")
    return (
        _searches(case)
        and isinstance(query, str)
        and case.variant.settings.get("proximityPrecision") == "byAttribute"
        and len(query.split()) > 1
        and query[-1].isalnum()
    )


def _without_hits(answer: Any, _case: Case) -> Any:
    """Those that are shown may be others than on a node, for they may stand in another order."""
    return {name: value for name, value in answer.items() if name != "hits"}


def _lists_by_place(case: Case, _known: Knowledge) -> bool:
    """A list of documents by distance; the corpus has many at one place, which a node lists in no told order."""
    return case.kind == "list" and any("_geoPoint" in criterion for criterion in case.body.get("sort", []))


def _without_results(answer: Any, _case: Case) -> Any:
    """Which documents are on a page depends on their order; how many there are does not."""
    return {name: len(value) if name == "results" else value for name, value in answer.items()}


def _without_findings(answer: Any, _case: Case) -> Any:
    """Without what depends on which documents are found; of facets which attributes are counted stays."""
    kept = {name: value for name, value in answer.items() if name not in ("hits", *_TOTALS)}
    return {**kept, "members": list(answer), "facets": list(answer.get("facetDistribution", {}))}


def _in_one_order(left: Any, right: Any) -> Iterator[str]:
    """Hits that both sides show come in one order."""
    one, other = _identities(left), _identities(right)
    both = set(one) & set(other)
    if [key for key in one if key in both] != [key for key in other if key in both]:
        yield "hits that both show are in another order"


def _counts_what_it_shows(left: Any, right: Any) -> Iterator[str]:
    """A page is as long as the answer's own total says."""
    for side, answer in (("left", left), ("right", right)):
        total = answer.get("totalHits")
        if total is not None and answer["page"]:
            before = min((answer["page"] - 1) * answer["hitsPerPage"], total)
            wanted = min(answer["hitsPerPage"], total - before)
            if len(answer["hits"]) != wanted:
                yield f"{side}: {len(answer['hits'])} hits on a page that has {wanted}"


def _identities(answer: Any) -> list[str]:
    """Each hit that can be told from the others, scores aside."""
    shown = []
    for hit in answer.get("hits", []):
        document = {name: value for name, value in hit.items() if not name.startswith("_ranking")}
        shown.append(json.dumps(document, sort_keys=True))
    return [key for key in shown if shown.count(key) == 1]


APPROXIMATIONS: Final = (
    Approximation(
        "matchingStrategy frequency",
        lambda case, _: case.body.get("matchingStrategy") == "frequency" and bool((case.body.get("q") or "").strip()),
        _without_findings,
        _counts_what_it_shows,
    ),
    Approximation(
        "distinct by an attribute with several values",
        lambda case, known: _distinct(case) in known.many_valued,
        _without_findings,
        _in_one_order,
    ),
    Approximation(
        "a search cut off at once, under rankingScoreThreshold",
        _is_cut_off_below_a_threshold,
        _without_findings,
        _in_one_order,
    ),
    Approximation("scores of a search cut off at once", _is_cut_off, _without_scores),
    Approximation("retrieveVectors where some attributes are displayed", _shows_vectors_of_some, _without_vectors),
    Approximation(
        "proximityPrecision byAttribute, the last of several words a beginning", _pairs_a_beginning, _without_hits
    ),
    Approximation(
        "an object of which nothing is wanted that any document has",
        _wants_nothing_of_an_object,
        _without_empty_objects,
    ),
    Approximation("lists of documents by distance", _lists_by_place, _without_results),
    Approximation(
        "estimated totals and facet counts under distinct",
        lambda case, known: _distinct(case) is not None and not _counts_winners(case, known),
        _without_estimates,
    ),
    Approximation(
        "totals and facet counts under rankingScoreThreshold",
        lambda case, _: _searches(case) and bool(case.body.get("rankingScoreThreshold")),
        _without_totals,
    ),
    Approximation("facet values of one count, of many values", _counts_a_tree, _in_order_of_names),
    Approximation(
        "counts of a value that stands both as number and as text",
        lambda case, known: (_searches(case) or _distinct(case) is not None) and _faceted(case, known.numbers_as_texts),
        _without_numbers,
    ),
    Approximation(
        "spelling of a facet value that has several",
        lambda case, known: _faceted(case, known.spelled),
        _spelled_alike,
    ),
)
"""In the order in which they are taken out: the last changes the form of an answer."""


def approximations_of(case: Case, known: Knowledge) -> tuple[Approximation, ...]:
    """Those that a case falls under, by its nature."""
    return tuple(each for each in APPROXIMATIONS if each.applies(case, known))


def folded(answer: Any, case: Case, approximations: Sequence[Approximation]) -> Any:
    """What is left of a successful answer (JSON) without what they may change."""
    for approximation in approximations:
        if isinstance(answer, dict):
            answer = approximation.fold(answer, case)
    return answer
