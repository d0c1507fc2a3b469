"""Work without I/O: merging and placing, timed by `bench.pure` in a process of the checkout that is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from bench.fleet import Miroir, on_cores, proxy_core
from bench.parts import Bench, Figure, Round

_SCRIPT: Final = Path(__file__).with_name("pure.py")
_BODY: Final[dict[str, Any]] = {"q": "a", "limit": 1000}


class Work:
    """The pure core's two heaviest jobs."""

    name: ClassVar[str] = "work"
    title: ClassVar[str] = "Work without I/O"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("merge_thirds", "merge of 1,000 hits, 334 from each of 3 nodes, decoding included", "ms", budget="2 ms"),
        Figure("merge_full", "first 1,000 of 3,000 hits, 1,000 from each of 3 nodes, decoding included", "ms"),
        Figure("placement", "placement of 10,000 documents, 64 shards, 3 nodes", "ms", budget="4 ms, aim 2"),
    )

    def round(self, bench: Bench) -> Round:
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for miroir in bench.miroirs:
            for figure, value in _timed(miroir).items():
                seen[figure][miroir.name] = value
        return seen


def _timed(miroir: Miroir) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, on_cores(proxy_core()):
        for node, _, answer in miroir.node_searches(_BODY):
            Path(folder, f"{node}.json").write_bytes(answer.partition(b"\r\n\r\n")[2])
        done = subprocess.run(
            [sys.executable, str(_SCRIPT), folder],
            env={**os.environ, "PYTHONPATH": str(miroir.checkout)},
            stdout=subprocess.PIPE,
            check=True,
        )
    seen: dict[str, float] = json.loads(done.stdout)
    return seen
