"""A slow node: what it is worth to searches that the shards of each node are elsewhere too.

Two copies of every shard on three nodes, canned ones, so that all that is slow is what we make slow: a node that is
asked answers searches late, every one of them or a few. It answers probes in time, as a node does that is merely
overloaded. Nobody need wait for it, since the other two hold everything. A server that picks copies by their speed does
not ask a node that is always late; one that asks a second copy when the first takes long (hedging) does not wait for
one that is late now and then. Where the server does neither, this says what there is to gain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Final

from bench.cpu import SCORE
from bench.fleet import Miroir, search
from bench.load import latency
from bench.parts import Bench, Figure, Round

_COPIES: Final = 2
_CORPUS: Final = 2_000
_LATE_S: Final = 0.05
_NOW_AND_THEN: Final = 8
_TURNS: Final = 240
_LATE_TURNS: Final = 80


class Slow:
    """Searches by score, one at a time, while one of three nodes is late."""

    name: ClassVar[str] = "slow"
    title: ClassVar[str] = "Searches while one of three canned nodes is 50 ms late, two copies of each shard"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("p50_never", "p50, all in time", "ms"),
        Figure("p95_never", "p95, all in time", "ms"),
        Figure("p50_always", "p50, always late", "ms"),
        Figure("p95_always", "p95, always late", "ms"),
        Figure("p50_sometimes", "p50, late with every eighth answer", "ms"),
        Figure("p95_sometimes", "p95, late with every eighth answer", "ms"),
    )

    def __init__(self) -> None:
        self._fleets: list[tuple[Miroir, int]] = []
        """And the node that is made late, by its own port."""

    def round(self, bench: Bench) -> Round:
        if not self._fleets:
            self._fleets = [_started(miroir, bench) for miroir in bench.miroirs]
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        cases = {"never": (0.0, 1, _TURNS), "always": (_LATE_S, 1, _LATE_TURNS)}
        cases["sometimes"] = (_LATE_S, _NOW_AND_THEN, _TURNS)
        for (fleet, node), miroir in zip(self._fleets, bench.miroirs, strict=True):
            turns = [[(fleet.port, search(fleet, body))] for body in SCORE]
            for case, (seconds, every, count) in cases.items():
                fleet.make_late(node, seconds, every=every)
                timed = latency(turns, 1, count)
                seen[f"p50_{case}"][miroir.name] = timed.p50
                seen[f"p95_{case}"][miroir.name] = timed.p95
        return seen


def _started(miroir: Miroir, bench: Bench) -> tuple[Miroir, int]:
    """A fleet of the same checkout with more copies, whose stand-ins know the answers already; a node that is asked."""
    fleet = Miroir(f"{miroir.name} twice", miroir.checkout, miroir.directory, rf=_COPIES, corpus=_CORPUS)
    bench.ending.callback(fleet.stop)
    fleet.start()
    node, _, _ = fleet.node_searches(SCORE[0])[0]
    turns = [[(fleet.port, search(fleet, body))] for body in SCORE]
    latency(turns, 1, 20 * len(turns))  # whichever copies its plans take turns with
    return fleet, node
