"""Paths that only a Meilisearch newer than 1.21 can know.

What nobody knows is an empty 404, as on a node. What a node knows and Miroir does not is passed to one node only where
nothing can come of it but an answer: a `GET`, with the master key, that is about no index (of an index one node has a
share). The rest is 501, so that nothing unstamped is ever written.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import trio

from miroir.api.messages import Request, Response
from miroir.cluster import Cluster
from miroir.errors import miroir_error
from miroir.http import ExchangeError
from miroir.http import Response as NodeResponse
from miroir.nodes import NodeCall

_SHARED: Final = re.compile(r"/(?!/*indexes(?:/|$))[\w./-]*", re.ASCII)
"""Paths that cannot lead to an index."""
_OURS: Final = b"_miroir_"
_NOWHERE: Final = (404, b"")


class UnknownPaths:
    """Answers for paths that no route of ours has. Only for requests with the master key."""

    def __init__(self, cluster: Cluster, *, node_timeout_s: float) -> None:
        self._cluster = cluster
        self._node_timeout_s = node_timeout_s

    async def answer(self, request: Request) -> Response:
        """A node's answer to a `GET`, an empty 404, or 501 `miroir_not_supported`."""
        if request.method == "GET" and _SHARED.fullmatch(request.path):
            query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
            response = await self._ask("GET", f"{request.path}{query}")
            if response is None or _OURS not in response.body:
                return _passed(response)
        # A node that knows the path answers this with 405, and does nothing.
        response = await self._ask("OPTIONS", quote(request.path))
        if response is None or response.status == 404:
            return _passed(None)
        raise miroir_error(
            "miroir_not_supported",
            f"Miroir does not know `{request.method} {request.path}`, though the nodes do: they are newer than it is.",
        )

    async def _ask(self, method: str, target: str) -> NodeResponse | None:
        for node in self._cluster.readiest():
            with trio.move_on_after(self._node_timeout_s):
                try:
                    return await self._cluster.clients[node].call(NodeCall("unknown", method, target))
                except ExchangeError:
                    continue
        return None


def _passed(response: NodeResponse | None) -> Response:
    if response is None or (response.status, response.body) == _NOWHERE:
        return Response(404, content_type=b"")
    return Response(response.status, response.body, content_type=response.header(b"content-type") or b"")
