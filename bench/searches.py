"""Searches on real nodes: latency beside a plain node, the bare scatter to the same nodes, and the slowest of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from bench.fleet import Miroir, Target, search
from bench.generator import Turn
from bench.load import alternating, latency
from bench.parts import Bench, Figure, Round

QUERIES: Final[tuple[dict[str, Any], ...]] = tuple(
    {"limit": 20, **query}
    for query in (
        {"q": "lamp"},
        {"q": "quiet keyboard"},
        {"q": "wool swetaer"},
        {"q": "nordhaus desk", "facets": ["brand", "category"]},
        {"q": "bike", "filter": "price < 200 AND in_stock = true"},
        {"q": "Kopfhörer"},
        {"q": "", "filter": "category = Kitchen", "sort": ["price:asc"]},
        {"q": "gift", "sort": ["rating:desc"], "facets": ["tags"]},
        {"q": "tente légère", "attributesToRetrieve": ["id", "name"]},
        {"q": "notebook", "attributesToHighlight": ["name"]},
    )
)
_CONNECTIONS: Final = (1, 8, 32)
_TURNS: Final = 400
SCATTER: Final = "bare scatter"
SLOWEST: Final = "slowest shard"


def scatters(miroir: Miroir) -> list[Turn]:
    """The queries as the bare work behind them: the same requests to the same nodes, and nothing around it."""
    return [[(node, asked) for node, asked, _ in miroir.node_searches(query)] for query in QUERIES]


class Searches:
    """Ten queries over real nodes that share the machine's cores with everything else."""

    name: ClassVar[str] = "search"
    title: ClassVar[str] = "Searches over three real nodes, 10,000 documents"
    figures: ClassVar[Sequence[Figure]] = (
        *[
            Figure(f"p50_{number}", f"p50, {number} connection{'s' if number > 1 else ''}", "ms")
            for number in _CONNECTIONS
        ],
        Figure("p95_8", "p95, 8 connections", "ms"),
        Figure("per_second_32", "searches a second, 32 connections", "/s", more_is_better=True),
        Figure("added_1", "p50 over the bare scatter, 1 connection, turn by turn", "ms"),
    )

    def __init__(self) -> None:
        self._scatters: list[Turn] = []

    def round(self, bench: Bench) -> Round:
        if not self._scatters:
            self._scatters = scatters(bench.miroirs[0])
        for miroir in bench.miroirs:
            miroir.ask_nodes()
        nodes = sorted({port for turn in self._scatters for port, _ in turn})
        targets: tuple[Target, ...] = (bench.plain, *bench.miroirs)
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for connections in _CONNECTIONS:
            loads: dict[str, list[Turn]] = {
                target.name: [[(target.port, search(target, query))] for query in QUERIES] for target in targets
            }
            loads[SCATTER] = self._scatters
            if connections == 1:
                alone = alternating(loads, _TURNS)
                seen["p50_1"] = {column: statistics.median(times) for column, times in alone.items()}
                for miroir in bench.miroirs:
                    pairs = zip(alone[miroir.name], alone[SCATTER], strict=True)
                    seen["added_1"][miroir.name] = statistics.median(ours - bare for ours, bare in pairs)
            else:
                for column, turns in loads.items():
                    timed = latency(turns, connections, _TURNS)
                    seen[f"p50_{connections}"][column] = timed.p50
                    seen[f"p95_{connections}"][column] = timed.p95
                    seen[f"per_second_{connections}"][column] = timed.per_second
            shards = [[[part for part in turn if part[0] == node] for turn in self._scatters] for node in nodes]
            slowest = [latency([turn for turn in turns if turn], connections, _TURNS).p50 for turns in shards]
            seen[f"p50_{connections}"][SLOWEST] = max(slowest)
        return seen
