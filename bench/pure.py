"""Work without I/O, timed inside one process of the checkout that is measured: merging, placing documents.

Run as a script with the checkout on PYTHONPATH, a folder with three nodes' answers, and nothing else on the core. What
a checkout cannot do (an older one, with other names) is left out.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any, Final

_REPEATS: Final = 30
_BODY: Final[dict[str, Any]] = {"q": "a", "limit": 1000}
_DOCUMENTS: Final = 10_000
_SHARDS: Final = 64
_NODES: Final = ("meili-0", "meili-1", "meili-2")


def _best_half(work: Callable[[], object]) -> float:
    """CPU seconds of the median among the quicker half of the runs: the others were disturbed."""
    times = []
    for _ in range(_REPEATS):
        began = thread_time()
        work()
        times.append(thread_time() - began)
    return statistics.median(sorted(times)[: _REPEATS // 2])


def _merging(folder: Path) -> Callable[[int], Callable[[], object]]:
    from miroir.cli.sample import INDEX_UID, PRIMARY_KEY, SETTINGS
    from miroir.indexes.settings import view
    from miroir.search.merge import merge, parse_answer
    from miroir.search.request import prepare

    index = view(INDEX_UID, "physical", PRIMARY_KEY, _SHARDS, 1, SETTINGS, exact_ties=True)
    whole = [json.loads(file.read_bytes()) for file in sorted(folder.iterdir())]

    def of(hits_each: int) -> Callable[[], object]:
        bodies = [
            json.dumps(
                {**answer, "hits": answer["hits"][:hits_each]}, separators=(",", ":"), ensure_ascii=False
            ).encode()
            for answer in whole
        ]
        prepared = prepare(_BODY, index)
        return lambda: merge([parse_answer(body) for body in bodies], prepared)

    return of


def _placing() -> Callable[[], object]:
    from miroir.cluster.hashing import shards_of
    from miroir.cluster.placement import place
    from miroir.cluster.topology import Node, seed

    keys = [str(number) for number in range(_DOCUMENTS)]
    placement = place(
        seed(tuple(Node(name, f"http://{name}", 0) for name in _NODES), groups=1, replication_factor=1), _SHARDS
    )
    owners = placement.by_group[0]

    def work() -> object:
        parts: defaultdict[str, list[str]] = defaultdict(list)
        for key, shard in zip(keys, shards_of(keys, _SHARDS), strict=True):
            for node in owners[shard]:
                parts[node].append(key)
        return parts

    return work


def main() -> None:
    folder = Path(sys.argv[1])
    seen = {}
    try:
        of = _merging(folder)
        seen["merge_thirds"] = _best_half(of(334))
        seen["merge_full"] = _best_half(of(1000))
    except (ImportError, TypeError) as failure:
        print(f"merging: {failure}", file=sys.stderr)
    try:
        seen["placement"] = _best_half(_placing())
    except (ImportError, TypeError) as failure:
        print(f"placing: {failure}", file=sys.stderr)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
