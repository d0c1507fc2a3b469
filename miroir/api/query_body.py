"""A search in a query string, as the body that asks for the same.

Both forms of a search are one search to a node, so it is planned, scattered and merged as a body. Only what is read
beyond doubt becomes one: of everything else a node says in its own words what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from miroir.api.reading import json_or_text, parse_boolean, parse_number, sort_criteria

Reader = Callable[[str], Any]

_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _number(text: str) -> float:
    """A number as Rust reads one; those that JSON has no form for (`nan`, `inf`) are none here."""
    if _FLOAT.fullmatch(text) is None or not math.isfinite(number := float(text)):
        raise ValueError(f"not a finite number: {text!r}")
    return number


def _listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _vector(text: str) -> list[float]:
    return [_number(part) for part in _listed(text)]


SEARCH_PARAMETERS: Final[Mapping[str, Reader]] = {
    "q": str,
    "vector": _vector,
    "offset": parse_number,
    "limit": parse_number,
    "page": parse_number,
    "hitsPerPage": parse_number,
    "attributesToRetrieve": _listed,
    "retrieveVectors": parse_boolean,
    "attributesToCrop": _listed,
    "cropLength": parse_number,
    "attributesToHighlight": _listed,
    "filter": json_or_text,
    "sort": sort_criteria,
    "distinct": str,
    "showMatchesPosition": parse_boolean,
    "showRankingScore": parse_boolean,
    "showRankingScoreDetails": parse_boolean,
    "facets": _listed,
    "highlightPreTag": str,
    "highlightPostTag": str,
    "cropMarker": str,
    "matchingStrategy": str,
    "attributesToSearchOn": _listed,
    "hybridEmbedder": str,
    "hybridSemanticRatio": _number,
    "rankingScoreThreshold": _number,
    "locales": _listed,
}
"""What `GET /indexes/{uid}/search` takes, and how each value is read."""

SIMILAR_PARAMETERS: Final[Mapping[str, Reader]] = {
    "id": str,
    "offset": parse_number,
    "limit": parse_number,
    "attributesToRetrieve": _listed,
    "retrieveVectors": parse_boolean,
    "filter": json_or_text,
    "showRankingScore": parse_boolean,
    "showRankingScoreDetails": parse_boolean,
    "rankingScoreThreshold": _number,
    "embedder": str,
}
"""The same of `GET /indexes/{uid}/similar`."""


def query_body(members: Sequence[tuple[str, str]], parameters: Mapping[str, Reader]) -> dict[str, Any]:
    """The body for these members of a query string; of a name given twice the last counts, as on a node.

    `ValueError` for an unknown name and for a value that a node refuses, or that a body could not say.
    """
    body: dict[str, Any] = {}
    for name, text in dict(members).items():
        reader = parameters.get(name)
        if reader is None:
            raise ValueError(f"unknown parameter: {name!r}")
        body[name] = reader(text)
    hybrid = {
        member: body.pop(name)
        for name, member in (("hybridEmbedder", "embedder"), ("hybridSemanticRatio", "semanticRatio"))
        if name in body
    }
    if hybrid:
        if "embedder" not in hybrid:
            raise ValueError("a ratio without an embedder")
        body["hybrid"] = hybrid
    return body
