"""CPU time of a request: canned nodes, the server saturated on a core of its own, metrics and logs on.

The unit is one `GET /health` through the same server in the same round, because machines drift and that ratio does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from bench.fleet import Miroir, cpu_seconds, on_cores, other_cores, search
from bench.load import request, saturate
from bench.parts import Bench, Figure, Round

_WORDS: Final = ("lamp", "quiet keyboard", "wool sweater", "desk", "bike", "kettle", "notebook", "tent")
SCORE: Final[tuple[dict[str, Any], ...]] = tuple({"q": word, "limit": 20} for word in _WORDS)
DETAILS: Final[tuple[dict[str, Any], ...]] = tuple({**body, "sort": ["price:asc"]} for body in SCORE)
_SECONDS: Final = 2


class Cpu:
    """What the server's process spends, over all its threads, divided by the requests that were answered."""

    name: ClassVar[str] = "cpu"
    title: ClassVar[str] = "CPU of the server per request, canned nodes, saturated"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("health", "GET /health", "us"),
        Figure("score", "search over 3 nodes, limit 20, merged by score", "us"),
        Figure("details", "the same, merged by details", "us"),
        Figure("score_in_healths", "search merged by score, in GET /health", "x", budget="16, aim 10"),
        Figure("details_in_healths", "search merged by details, in GET /health", "x", budget="26"),
        Figure("per_second", "searches merged by score a second, one core", "/s", more_is_better=True),
    )

    def round(self, bench: Bench) -> Round:
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for miroir in bench.miroirs:
            for body in (*SCORE, *DETAILS):
                miroir.node_searches(body)
            loads = {
                "health": [request("GET", "/health", None)],
                "score": [search(miroir, body) for body in SCORE],
                "details": [search(miroir, body) for body in DETAILS],
            }
            for name, requests in loads.items():
                spent, per_second = _metered(miroir, requests)
                seen[name][miroir.name] = spent
                if name == "score":
                    seen["per_second"][miroir.name] = per_second
                if name != "health":
                    seen[f"{name}_in_healths"][miroir.name] = spent / seen["health"][miroir.name]
        return seen


def _metered(miroir: Miroir, requests: list[bytes]) -> tuple[float, float]:
    """CPU seconds of one request, and how many were answered a second."""
    with on_cores(other_cores()):
        saturate(miroir.port, requests, 1)  # connections, caches, the interpreter's own warming up
        before = cpu_seconds(miroir.pid)
        count = saturate(miroir.port, requests, _SECONDS)
        return (cpu_seconds(miroir.pid) - before) / count, count / _SECONDS
