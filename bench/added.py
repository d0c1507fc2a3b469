"""What Miroir adds to a search: its latency over that of the bare scatter to the same canned nodes, turn by turn.

One connection, the server on a core of its own, the canned nodes and the load on the others. So nothing but the server
costs anything worth the name: real nodes on the same cores would take its caches, and be measured with it (`search`
does that).
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from bench.cpu import DETAILS, SCORE
from bench.fleet import Miroir, on_cores, other_cores, search
from bench.generator import Turn
from bench.load import alternating
from bench.parts import Bench, Figure, Round
from bench.searches import QUERIES, SCATTER

_QUERIES: Final[dict[str, Sequence[dict[str, Any]]]] = {"ten": QUERIES, "score": SCORE, "details": DETAILS}
_TURNS: Final = 800


class Added:
    """Searches over canned nodes, one at a time."""

    name: ClassVar[str] = "added"
    title: ClassVar[str] = "Searches over canned nodes, one connection, turn by turn with the bare scatter"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("p50_ten", "p50, ten kinds of query", "ms"),
        Figure("added_ten", "p50 over the bare scatter, ten kinds of query", "ms", budget="0.8 ms"),
        Figure("added_score", "the same, limit 20, merged by score", "ms", budget="0.8 ms"),
        Figure("added_details", "the same, merged by details", "ms", budget="0.8 ms"),
    )

    def round(self, bench: Bench) -> Round:
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for kind, queries in _QUERIES.items():
            loads: dict[str, list[Turn]] = {}
            for miroir in bench.miroirs:
                loads[miroir.name] = [[(miroir.port, search(miroir, query))] for query in queries]
                loads[_scatter_of(miroir)] = [
                    [(miroir.stand_in(node), asked) for node, asked, _ in miroir.node_searches(query)]
                    for query in queries
                ]
            with on_cores(other_cores()):
                times = alternating(loads, _TURNS)
            for miroir in bench.miroirs:
                ours, bare = times[miroir.name], times[_scatter_of(miroir)]
                seen[f"added_{kind}"][miroir.name] = statistics.median(
                    [mine - theirs for mine, theirs in zip(ours, bare, strict=True)]
                )
                if kind == "ten":
                    seen["p50_ten"][miroir.name] = statistics.median(ours)
                    seen["p50_ten"].setdefault(SCATTER, statistics.median(bare))
        return seen


def _scatter_of(miroir: Miroir) -> str:
    return f"{SCATTER} of {miroir.name}"
