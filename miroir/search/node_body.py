"""A request's body for each node: the client's, with the shards that the node is asked for put into its filter."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson

from miroir.stamps import shard_filter


class NodeBody(msgspec.Struct, frozen=True, eq=False):
    """A body with a place for shards in its filter. Everything else in it is written once."""

    _rest: bytes
    """The body without its filter, as JSON."""
    _elements: bytes
    """The client's filter elements, each as JSON after a comma; empty: no filter that can be extended."""
    _own_filter: bytes
    """The client's `filter` member as it came, for requests that need no shards in it; may be empty."""
    _wraps: bool
    """Whether shards can be put into the filter."""
    _written: dict[tuple[int, ...] | None, bytes] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, body: dict[str, Any]) -> NodeBody:
        """Of any JSON object, out of which the filter is taken. One that is neither text nor list is left to a node."""
        own = b'"filter":' + dumps(body["filter"]) if "filter" in body else b""
        value = body.pop("filter", None)
        if value is None:
            elements = b""
        elif isinstance(value, str):
            elements = b"," + dumps(value)
        elif isinstance(value, list):
            elements = (b"," if value else b"") + dumps(value)[1:-1]
        else:
            return cls(dumps(body), b"", own, False)
        return cls(dumps(body), elements, own, True)

    def __call__(self, shards: tuple[int, ...] | None) -> bytes:
        """The body for a node asked for `shards`; None: for all it holds."""
        written = self._written.get(shards)
        if written is None:
            written = self._written[shards] = self._write(shards)
        return written

    def _write(self, shards: tuple[int, ...] | None) -> bytes:
        if shards is None or not self._wraps:
            member = self._own_filter
        else:
            member = b'"filter":[%s%s]' % (dumps(shard_filter(shards)), self._elements)
        if not member:
            return self._rest
        return b"{%s}" % member if self._rest == b"{}" else b"{%s,%s" % (member, self._rest[1:])


def dumps(value: Any) -> bytes:
    """JSON of whatever was JSON: integers past 64 bits and lone surrogates too, for a node to judge."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
