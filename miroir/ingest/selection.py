"""Documents chosen by a filter, on every node that owns some: the client's filter, and ours around it.

A node is asked only for the shards it owns, so a stale copy of another is neither counted nor touched. Each element of
an array is a filter by itself, so what a node says of the client's names places in the client's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from miroir.errors import node_error
from miroir.indexes import Index
from miroir.indexes.filterable import filter_texts, injected_filter
from miroir.ingest import json_text
from miroir.ingest.outcomes import FailedTask
from miroir.stamps import shard_filter


def is_filter(value: object) -> bool:
    """Whether a node parses it as a filter that chooses something: a text, or texts and arrays of texts in an array.

    One of nothing but white space is none, and must never reach a node beside ours: it would choose everything.
    """
    if isinstance(value, list):
        flat = [text for item in value for text in (item if isinstance(item, list) else [item])]
        if not all(isinstance(text, str) for text in flat):
            return False
    elif not isinstance(value, str):
        return False
    return any(text.strip() for text in filter_texts(value))


def node_filter(shards: Sequence[int], filter: Any) -> list[Any]:
    """The filter a node gets that owns `shards`; `filter` is the client's, None for all documents."""
    elements = [] if filter is None else filter if isinstance(filter, list) else [filter]
    return [shard_filter(shards), *elements]


def check_names(index: Index, filter: Any) -> None:
    """Raise `FailedTask` for a filter that nodes would take only because of our own rules."""
    problem = injected_filter(filter, index.ahead)
    if problem is not None:
        message = f"Index `{index.uid}`: {problem}"
        raise FailedTask(node_error(400, "invalid_document_filter", message).body())


def original(filter: Any) -> str | None:
    """The filter as a task's details show it: JSON text; None for none."""
    return None if filter is None else json_text.dump(filter)
