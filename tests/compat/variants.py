"""The indexes of a run: one corpus under settings that differ in everything a search can notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.compat.corpus import DIMENSIONS, FILLERS, Document

_FILTERABLE: Final = [
    "id",
    "brand",
    "spelling",
    "price",
    "rating",
    "mixed",
    "tags",
    "specs",
    "variants",
    "group",
    "year",
    "flag",
    "maybe",
    "_geo",
]
_SORTABLE: Final = [
    "price",
    "rating",
    "mixed",
    "brand",
    "spelling",
    "year",
    "specs.weight",
    "specs.size",
    "title",
    "tags",
    "variants.stock",
    "flag",
    "_geo",
]


DIMENSIONS_OF: Final[Mapping[str, int]] = {"manual": DIMENSIONS, "bits": DIMENSIONS, "short": 3}
"""Embedders, and how much of a document's vector each is given; `bits` is binary quantised."""


@dataclass(frozen=True)
class Variant:
    """One index: its settings, and how documents are fitted to it."""

    name: str
    settings: Mapping[str, Any]
    primary_key: str = "id"
    fit: Callable[[Document], Document] = dict

    @property
    def filterable(self) -> Sequence[str]:
        """Attributes that queries may filter and facet by without being refused."""
        names: list[str] = []
        for rule in self.settings["filterableAttributes"]:
            names += [rule] if isinstance(rule, str) else rule["attributePatterns"]
        return names

    @property
    def sortable(self) -> Sequence[str]:
        found: list[str] = self.settings["sortableAttributes"]
        return found


def _without_vectors(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_vectors"}


def _with_every_vector(document: Document) -> Document:
    vector = document["_vectors"]["manual"]
    every = {name: None if vector is None else vector[:length] for name, length in DIMENSIONS_OF.items()}
    return {**document, "_vectors": every}


def _by_sku(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("_vectors", "id")} | {
        "number": document["id"]
    }


PLAIN: Final = Variant(
    "plain", {"filterableAttributes": _FILTERABLE, "sortableAttributes": _SORTABLE}, fit=_without_vectors
)

HIDDEN: Final = Variant(
    "hidden",
    {
        "displayedAttributes": [
            "title",
            "brand",
            "specs.color",
            "specs.size",
            "price",
            "variants",
            "description",
            "_geo",
        ],
        "searchableAttributes": ["title", "brand", "description", "specs", "variants.size", "foreign.ja", "group"],
        "filterableAttributes": _FILTERABLE,
        "sortableAttributes": _SORTABLE,
        "distinctAttribute": "group",
        "pagination": {"maxTotalHits": 120},
        "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"*": "count", "brand": "alpha"}},
    },
    fit=_without_vectors,
)

CUSTOM: Final = Variant(
    "custom",
    {
        "searchableAttributes": ["description", "title", "tags", "french", "german"],
        "rankingRules": ["sort", "words", "rating:desc", "typo", "exactness", "attribute", "proximity", "price:asc"],
        "filterableAttributes": [
            {
                "attributePatterns": ["spec*", "year"],
                "features": {"facetSearch": True, "filter": {"equality": True, "comparison": True}},
            },
            {
                "attributePatterns": ["brand", "tags"],
                "features": {"facetSearch": False, "filter": {"equality": True, "comparison": False}},
            },
            {
                "attributePatterns": ["price"],
                "features": {"facetSearch": False, "filter": {"equality": False, "comparison": True}},
            },
            {
                "attributePatterns": ["variants.*", "_geo", "group", "mixed"],
                "features": {"facetSearch": True, "filter": {"equality": True, "comparison": True}},
            },
        ],
        "sortableAttributes": _SORTABLE,
        "synonyms": {
            "couch": ["sofa", "chair"],
            "bike": ["bicycle"],
            "headset": ["head set"],
            "nyc": ["new york city"],
        },
        "stopWords": sorted(FILLERS),
        "proximityPrecision": "byAttribute",
        "faceting": {"maxValuesPerFacet": 25, "sortFacetValuesBy": {"brand": "count", "mixed": "count"}},
    },
    fit=_without_vectors,
)

STRICT: Final = Variant(
    "strict",
    {
        "searchableAttributes": ["title", "sku", "description", "number"],
        "rankingRules": ["exactness", "words", "proximity", "typo", "attribute", "year:desc", "sort"],
        "filterableAttributes": [*_FILTERABLE, "sku"],
        "sortableAttributes": [*_SORTABLE, "sku", "number"],
        "typoTolerance": {
            "minWordSizeForTypos": {"oneTypo": 3, "twoTypos": 6},
            "disableOnWords": ["shirt"],
            "disableOnAttributes": ["sku"],
            "disableOnNumbers": True,
        },
        "prefixSearch": "disabled",
        "dictionary": ["J. R. R.", "red-green"],
        "separatorTokens": ["oo"],
        "nonSeparatorTokens": ["-", "&"],
        "facetSearch": False,
        "faceting": {"maxValuesPerFacet": 60, "sortFacetValuesBy": {"group": "count", "year": "count"}},
        "searchCutoffMs": 30_000,
    },
    primary_key="sku",
    fit=_by_sku,
)

LANGUAGES: Final = Variant(
    "languages",
    {
        "filterableAttributes": ["spelling", "foreign", "brand", "rating"],
        "sortableAttributes": ["foreign.ar", "foreign.zh", "german", "rating"],
        "localizedAttributes": [
            {"attributePatterns": ["foreign.ja"], "locales": ["jpn"]},
            {"attributePatterns": ["foreign.zh"], "locales": ["cmn"]},
            {"attributePatterns": ["french"], "locales": ["fra"]},
            {"attributePatterns": ["german"], "locales": ["deu"]},
        ],
        "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness"],
    },
    fit=_without_vectors,
)

VECTORS: Final = Variant(
    "vectors",
    {
        "filterableAttributes": ["rating", "brand", "year"],
        "sortableAttributes": ["rating", "year"],
        "embedders": {
            name: {"source": "userProvided", "dimensions": dimensions, "binaryQuantized": name == "bits"}
            for name, dimensions in DIMENSIONS_OF.items()
        },
    },
    fit=_with_every_vector,
)

HURRIED: Final = Variant(
    "hurried",
    {"filterableAttributes": _FILTERABLE, "sortableAttributes": _SORTABLE, "searchCutoffMs": 0},
    fit=_without_vectors,
)
"""Every search is cut off at once, which is the only cut that comes at the same moment everywhere."""

VARIANTS: Final = (PLAIN, HIDDEN, CUSTOM, STRICT, LANGUAGES, VECTORS, HURRIED)
