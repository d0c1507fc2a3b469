"""Memory of an idle server, and how long a start takes until it is ready to serve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from bench.fleet import resident_bytes
from bench.parts import Bench, Figure, Round


class Footprint:
    """A server with one index of 10,000 documents over three nodes, started anew."""

    name: ClassVar[str] = "footprint"
    title: ClassVar[str] = "Start and memory"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("ready", "from the start of the process to ready", "s", budget="1.5 s"),
        Figure("idle", "resident memory when ready", "MB", budget="90 MB"),
    )

    def round(self, bench: Bench) -> Round:
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for miroir in bench.miroirs:
            miroir.ask_nodes()
            seen["ready"][miroir.name] = miroir.restart()
            seen["idle"][miroir.name] = float(resident_bytes(miroir.pid))
        return seen
