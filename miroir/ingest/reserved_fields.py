"""`_geo` and `_vectors`: what the index's settings ask of them, judged before any node is asked.

A node fails the whole payload over one bad place or vector, as a task. The nodes that hold the other documents would
apply theirs, so it is judged here, in a node's words (measured on 1.21). What depends on the documents that are there
already, such as a vector that is missing now and was given before, only a node can judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from miroir.errors import ErrorBody, node_error
from miroir.indexes import IndexView
from miroir.ingest import json_text
from miroir.ingest.batch import PLACE, VECTORS, Batch
from miroir.ingest.payload import Payload
from miroir.ingest.primary_key import TaskFailure


def check_reserved_fields(payload: Payload, batch: Batch, index: IndexView) -> None:
    """Raise `TaskFailure` for the first place, else the first vector, that a node of this index would refuse."""
    if has_places(index):
        for key, place in zip(batch.keys, payload.members(PLACE), strict=True):
            problem = _geo_problem(key, place)
            if problem is not None:
                raise _failure(index, "invalid_document_geo_field", problem, batch)
    if index.dimensions:
        for key, vectors in zip(batch.keys, payload.members(VECTORS), strict=True):
            problem = _vector_problem(key, vectors, index.dimensions)
            if problem is not None:
                raise _failure(index, "invalid_vector_dimensions", problem, batch)


def has_places(index: IndexView) -> bool:
    """Whether `_geo` is filterable or sortable; otherwise a node does not look at it."""
    if PLACE in index.sortable:
        return True
    for rule in index.filterable:
        if rule == PLACE or (isinstance(rule, Mapping) and PLACE in (rule.get("attributePatterns") or ())):
            return True
    return False


def _geo_problem(key: str, place: Any) -> str | None:
    document = f'the document with the id: `"{key}"`'
    if place is None:
        return None
    if not isinstance(place, dict):
        return (
            f"The `_geo` field in {document} is not an object. Was expecting an object with the `_geo.lat` and "
            f"`_geo.lng` fields but instead got `{json_text.dump(place)}`."
        )
    missing = [(name, word) for name, word in (("lat", "latitude"), ("lng", "longitude")) if name not in place]
    if len(missing) == 2:
        return f"Could not find latitude nor longitude in {document}. Was expecting `_geo.lat` and `_geo.lng` fields."
    if missing:
        name, word = missing[0]
        return f"Could not find {word} in {document}. Was expecting a `_geo.{name}` field."
    bad = [word for name, word in (("lat", "latitude"), ("lng", "longitude")) if not _is_finite_number(place[name])]
    lat, lng = json_text.dump(place["lat"]), json_text.dump(place["lng"])
    if len(bad) == 2:
        return (
            f"Could not parse latitude nor longitude in {document}. "
            f"Was expecting finite numbers but instead got `{lat}` and `{lng}`."
        )
    if bad:
        got = lat if bad == ["latitude"] else lng
        return f"Could not parse {bad[0]} in {document}. Was expecting a finite number but instead got `{got}`."
    others = {name: value for name, value in sorted(place.items()) if name not in ("lat", "lng")}
    if others:
        listed = json_text.dump(others)
        return f"The `_geo` field in {document} contains the following unexpected fields: `{listed}`."
    return None


def _is_finite_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return isfinite(float(value)) and value == value.strip() and "_" not in value
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _vector_problem(key: str, vectors: Any, dimensions: Mapping[str, int]) -> str | None:
    if not isinstance(vectors, dict):
        return None
    for name in sorted(dimensions.keys() & vectors.keys()):
        for number, embedding in enumerate(_embeddings(vectors[name])):
            if len(embedding) != dimensions[name]:
                return (
                    f"Invalid vector dimensions in document with id `{key}` in `._vectors.{name}`.\n"
                    f"  - note: embedding #{number} has dimensions {len(embedding)}\n"
                    f"  - note: embedder `{name}` requires {dimensions[name]}"
                )
    return None


def _embeddings(value: Any) -> Iterator[Sequence[Any]]:
    if isinstance(value, dict):
        value = value.get("embeddings")
    if not isinstance(value, list) or not value:
        return
    if isinstance(value[0], list):
        yield from value
    else:
        yield value


def _failure(index: IndexView, code: str, problem: str, batch: Batch) -> TaskFailure:
    error: ErrorBody = node_error(400, code, f"Index `{index.uid}`: {problem}").body()
    return TaskFailure(error, batch.received)
