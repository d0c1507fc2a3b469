"""Similar documents over several nodes: what is asked with the document's vectors, and the answers as one.

A node that holds the document compares it with its own alone. So every node is asked for what lies near the document's
vectors, the document itself left out, and the lists are merged by similarity. A document with several vectors is
compared with all of them; a node compares them place by place, which no search can ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge as merge_sorted
from typing import Any, Final

import msgspec
import orjson

from miroir.indexes.view import IndexView
from miroir.search.display import Presentation
from miroir.search.merge import NodeAnswer
from miroir.search.node_body import NodeBody
from miroir.search.ranking import details_of, seq_of
from miroir.search.request import shown_names
from miroir.stamps import SEQ_FIELD

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,511}")
_DEFAULT_LIMIT: Final = 20
_MAX_INTEGER: Final = (1 << 64) - 1
_MIN_INTEGER: Final = -(1 << 63)


def document_key(given: object) -> str | None:
    """The id of a document as its shard is told by; None for what a node refuses as one."""
    if isinstance(given, str):
        return given if _KEY.fullmatch(given) else None
    if isinstance(given, int) and not isinstance(given, bool) and _MIN_INTEGER <= given <= _MAX_INTEGER:
        return str(given)
    return None


class _Embedder(msgspec.Struct):
    embeddings: list[msgspec.Raw]


class StoredVectors(msgspec.Struct):
    """A document as far as its neighbours are looked for by it."""

    seq: str = msgspec.field(name=SEQ_FIELD, default="")
    vectors: dict[str, _Embedder] = msgspec.field(name="_vectors", default_factory=dict)


_stored: Final = msgspec.json.Decoder(StoredVectors)


def parse_stored(body: bytes) -> StoredVectors:
    """A document asked for with its vectors; `msgspec.DecodeError` if it is none."""
    return _stored.decode(body)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """A search for similar documents, ready to be scattered."""

    key: str
    offset: int
    limit: int
    threshold: float | None
    keep_score: bool
    keep_details: bool
    max_total_hits: int
    presentation: Presentation
    node_bodies: tuple[NodeBody, ...]
    """Bodies of searches, one for each vector of the document; one that only counts if it has none."""
    has_vectors: bool


def sound_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The client's request with as little to find as possible: for the document's own node to judge."""
    given = {name: body.get(name, 0) for name in ("offset", "limit")}
    return {**body, **{name: 0 for name, value in given.items() if type(value) is int and value >= 0}}


def prepare_neighbours(
    body: Mapping[str, Any], index: IndexView, key: str, stored: StoredVectors, *, over_fetch: int
) -> Neighbours:
    """What the nodes are asked. `body`: of a request for similar documents that a node has found sound.

    `over_fetch`: how many times the hits wanted each node is asked for, because its search is approximate.
    """
    offset, limit = int(body.get("offset", 0)), int(body.get("limit", _DEFAULT_LIMIT))
    embedder = str(body["embedder"])
    displayed = None if index.displayed is None else frozenset(index.displayed)
    retrieve = shown_names(body.get("attributesToRetrieve"), displayed)
    filter = body.get("filter")
    elements = [] if filter is None else filter if isinstance(filter, list) else [filter]
    asked: dict[str, Any] = {
        "limit": min((offset + limit) * over_fetch, index.max_total_hits) if limit else 0,
        "attributesToRetrieve": ["*"] if retrieve is None else [*retrieve, SEQ_FIELD],
        "retrieveVectors": body.get("retrieveVectors", False),
        "showRankingScoreDetails": True,
        "distinct": SEQ_FIELD,  # the index's own setting does not count here
        "filter": [f'{SEQ_FIELD} != "{stored.seq}"', *elements],
    }
    of_embedder = stored.vectors.get(embedder)
    vectors = [] if of_embedder is None else [orjson.loads(bytes(vector)) for vector in of_embedder.embeddings]
    hybrid = {"embedder": embedder, "semanticRatio": 1.0}
    bodies = [NodeBody.of({**asked, "vector": vector, "hybrid": hybrid}) for vector in vectors]
    threshold = body.get("rankingScoreThreshold")
    return Neighbours(
        key=key,
        offset=offset,
        limit=limit,
        threshold=None if threshold is None else float(threshold),
        keep_score=body.get("showRankingScore") is True,
        keep_details=body.get("showRankingScoreDetails") is True,
        max_total_hits=index.max_total_hits,
        presentation=Presentation(displayed=displayed, has_details=True),
        node_bodies=tuple(bodies) or (NodeBody.of({**asked, "limit": 0}),),
        has_vectors=bool(vectors),
    )


def _near(answer: NodeAnswer) -> Iterator[tuple[float, bytes, bytes]]:
    """Distance, insertion stamp and hit of what has a vector, nearest first."""
    for raw in answer.hits:
        hit = bytes(raw)
        similarity = details_of(hit).get("vectorSort", {}).get("similarity")
        if similarity is None:
            return  # what has no vector comes last
        yield -similarity, seq_of(hit), hit


def merge_neighbours(answers: Sequence[Sequence[NodeAnswer]], asked: Neighbours) -> bytes:
    """The client's answer. `answers`: for each of the document's vectors, the nodes'."""
    shown: list[bytes] = []
    seen: set[bytes] = set()
    total = min(sum(answer.total for answer in answers[0]), asked.max_total_hits)
    near = merge_sorted(*[_near(answer) for of_vector in answers for answer in of_vector]) if asked.has_vectors else ()
    for distance, seq, hit in near:
        if len(shown) == asked.limit:
            break
        if seq in seen:
            continue
        seen.add(seq)
        if len(seen) <= asked.offset:
            continue
        if asked.threshold is not None and -distance < asked.threshold:
            total = len(seen) - 1
            break
        shown.append(_with_score(asked.presentation.present(hit), -distance, asked))
    return b'{"hits":[%s],"id":%s,"processingTimeMs":%d,"limit":%d,"offset":%d,"estimatedTotalHits":%d}' % (
        b",".join(shown),
        orjson.dumps(asked.key),
        max([answer.processing_time_ms for of_vector in answers for answer in of_vector], default=0),
        asked.limit,
        asked.offset,
        total,
    )


def _with_score(hit: bytes, similarity: float, asked: Neighbours) -> bytes:
    score = msgspec.json.encode(similarity)
    members = []
    if asked.keep_score:
        members.append(b'"_rankingScore":%s' % score)
    if asked.keep_details:
        members.append(b'"_rankingScoreDetails":{"vectorSort":{"order":0,"similarity":%s}}' % score)
    if not members:
        return hit
    return b"%s%s%s}" % (hit[:-1], b"," if len(hit) > 2 else b"", b",".join(members))
