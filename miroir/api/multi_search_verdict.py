"""What a node says of a multi-search as it is written, whatever indexes it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from miroir.cluster import SCRATCH_PREFIX, Verdicts
from miroir.errors import ApiError
from miroir.indexes import is_uid
from miroir.nodes import NodeCall


def whole(query: Any) -> Any:
    """A query as it is."""
    return query


async def judge(verdicts: Verdicts, route: str, body: Mapping[str, Any], shown: Callable[[Any], Any]) -> None:
    """Raise a node's refusal of the request as it is written. `shown`: what of each query the node is to look at."""
    names = _Names()
    call = NodeCall("verdict", "POST", route, orjson.dumps(names.hide(body, shown)))
    try:
        await verdicts.check(call, SCRATCH_PREFIX)
    except ApiError as refusal:
        if refusal.code != "index_not_found":
            message = names.show(refusal.message)
            raise ApiError(refusal.status, message, code=refusal.code, type=refusal.type, link=refusal.link) from None


class _Names:
    """Index names in a request, for a node to judge the request without meeting an index of that name."""

    def __init__(self) -> None:
        self._scratch: dict[str, str] = {}

    def hide(self, body: Mapping[str, Any], shown: Callable[[Any], Any]) -> dict[str, Any]:
        """The request with names that no index has."""
        hidden = dict(body)
        if isinstance(body.get("queries"), list):
            hidden["queries"] = [self._query(shown(query)) for query in body["queries"]]
        federation = body.get("federation")
        if isinstance(federation, dict) and isinstance(federation.get("facetsByIndex"), dict):
            by_index = {self._name(name): facets for name, facets in federation["facetsByIndex"].items()}
            hidden["federation"] = {**federation, "facetsByIndex": by_index}
        return hidden

    def show(self, text: str) -> str:
        """A text about that request with the client's names."""
        for name, scratch in self._scratch.items():
            text = text.replace(scratch, name)
        return text

    def _query(self, query: Any) -> Any:
        if not isinstance(query, dict) or not isinstance(query.get("indexUid"), str):
            return query
        return {**query, "indexUid": self._name(query["indexUid"])}

    def _name(self, name: str) -> str:
        if not is_uid(name):
            return name
        return self._scratch.setdefault(name, f"{SCRATCH_PREFIX}_{len(self._scratch):04}")
