"""`make bench`: three nodes with Miroir against one plain node with the same documents, on this machine, in one run.

Machines drift, also within minutes: the rounds alternate between the servers, what is reported is the median of five
rounds, and what to compare between days is the ratio.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from rich.table import Table

from bench.load import Connection, Sample, prepared, timed
from miroir import __version__
from miroir.cli.dev_fleet import DevOptions, Fleet
from miroir.cli.dev_nodes import MeilisearchNode
from miroir.cli.dev_process import free_port, scratch_directory
from miroir.cli.sample import INDEX_UID, PRIMARY_KEY, SETTINGS, catalogue

ROUNDS = 5
HEALTH_REQUESTS = 2000
SEARCH_REQUESTS = 200
CORPUS = 10_000
INGEST = 5_000
BATCH = 1_000
_TASK_LIMIT_S = 300.0
_POLL_S = 0.02

QUERIES: tuple[dict[str, Any], ...] = (
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


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers that are compared; `pid` is where its CPU is read."""

    name: str
    port: int
    key: str
    pid: int

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        return prepared(method, path, self.key, body)

    def searches(self, index: str = INDEX_UID) -> list[bytes]:
        return [self.request("POST", f"/indexes/{index}/search", {"limit": 20, **query}) for query in QUERIES]


async def wait_task(connection: Connection, side: Side, uid: int) -> None:
    """Until the task succeeded. Raises `RuntimeError` when it did not."""
    with trio.fail_after(_TASK_LIMIT_S):
        while True:
            task = await connection.json(side.request("GET", f"/tasks/{uid}"))
            if task["status"] == "succeeded":
                return
            if task["status"] in {"failed", "canceled"}:
                raise RuntimeError(f"{side.name}: task {uid} {task['status']}: {task['error']}")
            await trio.sleep(_POLL_S)


async def fill(side: Side, index: str, batches: Sequence[list[dict[str, Any]]]) -> float:
    """Make the index and send the batches; seconds from the first byte until the last document can be found."""
    connection = await Connection.open(side.port)
    for method, path, body in (
        ("POST", "/indexes", {"uid": index, "primaryKey": PRIMARY_KEY}),
        ("PATCH", f"/indexes/{index}/settings", SETTINGS),
    ):
        summary = await connection.json(side.request(method, path, body))
        await wait_task(connection, side, summary["taskUid"])
    requests = [side.request("POST", f"/indexes/{index}/documents", batch) for batch in batches]
    began = time.perf_counter()
    summaries = [await connection.json(request) for request in requests]
    for summary in summaries:
        await wait_task(connection, side, summary["taskUid"])
    took = time.perf_counter() - began
    await connection.aclose()
    return took


async def drop(side: Side, index: str) -> None:
    connection = await Connection.open(side.port)
    summary = await connection.json(side.request("DELETE", f"/indexes/{index}"))
    await wait_task(connection, side, summary["taskUid"])
    await connection.aclose()


def batches_of(count: int) -> list[list[dict[str, Any]]]:
    products = catalogue(count)
    return list(iter(lambda: list(itertools.islice(products, BATCH)), []))


def median_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Field by field over the rounds."""
    rows = [asdict(sample) for sample in samples]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def compared(plain: Sequence[Sample], ours: Sequence[Sample]) -> dict[str, Any]:
    """Medians of both and the median of the rounds' ratios."""
    return {
        "plain": median_of(plain),
        "miroir": median_of(ours),
        "p50_ratio": statistics.median(o.p50_us / p.p50_us for o, p in zip(ours, plain, strict=True)),
        "p50_added_us": statistics.median(o.p50_us - p.p50_us for o, p in zip(ours, plain, strict=True)),
    }


async def measure(plain: Side, ours: Side, nodes: Sequence[Side], console: Console) -> dict[str, Any]:
    """Everything, round by round, the servers taking turns."""
    corpus = batches_of(CORPUS)
    for side in (plain, ours):
        await fill(side, INDEX_UID, corpus)
    for side in (plain, ours):  # caches, connections and the allocator, before anything counts
        await timed(side.port, side.searches(), SEARCH_REQUESTS)

    health: dict[str, list[Sample]] = {"plain": [], "miroir": []}
    search: dict[int, dict[str, list[Sample]]] = {c: {"plain": [], "miroir": []} for c in (1, 8)}
    slowest: list[float] = []
    ingest: dict[str, list[float]] = {"plain": [], "miroir": []}
    batches = batches_of(INGEST)
    for number in range(ROUNDS):
        console.print(f"round {number + 1} of {ROUNDS}")
        for side in (plain, ours):
            probe = [side.request("GET", "/health")]
            health[side.name].append(await timed(side.port, probe, HEALTH_REQUESTS, pid=side.pid))
        for connections, samples in search.items():
            for side in (plain, ours):
                samples[side.name].append(
                    await timed(side.port, side.searches(), SEARCH_REQUESTS, connections, pid=side.pid)
                )
        slowest.append(max([(await timed(n.port, n.searches(), SEARCH_REQUESTS)).p50_us for n in nodes]))
        for side in (plain, ours):
            ingest[side.name].append(await fill(side, f"ingest_{number}", batches))
            await drop(side, f"ingest_{number}")

    results: dict[str, Any] = {"health": compared(health["plain"], health["miroir"])}
    for connections, samples in search.items():
        results[f"search_{connections}"] = compared(samples["plain"], samples["miroir"])
    results["search_1"]["slowest_node_p50_us"] = statistics.median(slowest)
    results["search_1"]["p50_ratio_to_slowest_node"] = statistics.median(
        sample.p50_us / node for sample, node in zip(search[1]["miroir"], slowest, strict=True)
    )
    results["cpu_search_in_healths"] = statistics.median(
        s.cpu_us / h.cpu_us for s, h in zip(search[1]["miroir"], health["miroir"], strict=True) if s.cpu_us and h.cpu_us
    )
    results["ingest"] = {
        "documents": INGEST,
        "batch": BATCH,
        "plain_s": statistics.median(ingest["plain"]),
        "miroir_s": statistics.median(ingest["miroir"]),
        "speed_ratio": statistics.median(p / o for p, o in zip(ingest["plain"], ingest["miroir"], strict=True)),
    }
    return results


def table_of(results: dict[str, Any]) -> Table:
    table = Table(title="Miroir over 3 nodes against one plain node, medians of five rounds", title_justify="left")
    for column in ("what", "plain node", "Miroir", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, title in (
        ("health", "GET /health, p50"),
        ("search_1", "search, 1 connection, p50"),
        ("search_8", "search, 8 connections, p50"),
    ):
        row = results[name]
        table.add_row(
            title,
            f"{row['plain']['p50_us']:,.0f} us",
            f"{row['miroir']['p50_us']:,.0f} us",
            f"{row['p50_ratio']:.2f}",
        )
    one = results["search_1"]
    table.add_row(
        "search p50 against the slowest of the nodes",
        f"{one['slowest_node_p50_us']:,.0f} us",
        f"{one['miroir']['p50_us']:,.0f} us",
        f"{one['p50_ratio_to_slowest_node']:.2f}",
    )
    table.add_row(
        "CPU of Miroir: GET /health, a search",
        f"{results['health']['miroir']['cpu_us']:,.0f} us",
        f"{one['miroir']['cpu_us']:,.0f} us",
        f"{results['cpu_search_in_healths']:.1f}",
    )
    ingest = results["ingest"]
    table.add_row(
        f"ingest of {ingest['documents']:,} documents (speed)",
        f"{ingest['plain_s']:.2f} s",
        f"{ingest['miroir_s']:.2f} s",
        f"{ingest['speed_ratio']:.2f}",
    )
    return table


def machine() -> dict[str, Any]:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "miroir": __version__,
    }


def save(results: dict[str, Any]) -> Path:
    """Write the report below results/."""
    now = datetime.now(UTC)
    report = {"date": now.isoformat(timespec="seconds"), "machine": machine(), "results": results}
    file = Path("results", f"bench-{now:%Y%m%dT%H%M%S}.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n")
    return file


async def run(console: Console) -> int:
    directory = scratch_directory("miroir-bench")
    plain = MeilisearchNode("plain", port=free_port(), directory=directory, master_key="bench-master-key-0123")
    try:
        async with Fleet(DevOptions(port=free_port())) as fleet:
            plain.start()
            await fleet.start_nodes(lambda: None)
            await fleet.start_server()
            plain.wait_serving()
            results = await measure(
                Side("plain", plain.port, plain.master_key, plain.pid),
                Side("miroir", fleet.port, fleet.keys.master or "", fleet.server.pid),
                [Side(node.node_id, node.port, node.master_key, node.pid) for node in fleet.nodes],
                console,
            )
    finally:
        plain.kill()
        shutil.rmtree(directory, ignore_errors=True)
    file = save(results)
    console.print(table_of(results))
    console.print(f"written to {file}")
    return 0


if __name__ == "__main__":
    sys.exit(trio.run(run, Console(highlight=False)))
