"""Ingest, taken apart: one plain node, Miroir over three, and the same three nodes with nothing before them.

The bare columns tell what three nodes cost on this machine's cores from what the proxy costs: the payloads are split
beforehand, each node gets its part of a batch at once, and all are waited for; once as the client wrote them under the
client's settings, once with stamps and under the settings that Miroir gives its nodes.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from bench.fleet import Miroir, Target, batches, call, cpu_seconds, finish, make_index
from bench.parts import Bench, Figure, Round
from miroir.cli.dev_nodes import MeilisearchNode
from miroir.cli.sample import INDEX_UID, PRIMARY_KEY, SETTINGS
from miroir.cluster import Node, place, seed, shards_of
from miroir.ingest.batch import Batch
from miroir.ingest.stamping import Stamped, node_payload, stamp_batch

BARE: Final = "bare nodes"
STAMPED: Final = "bare, stamped"
_DOCUMENTS: Final = 10_000
_POLL_S: Final = 0.02
_SHARDS: Final = 64
_WARM_UPS: Final = 3

Documents = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Door:
    """A node, as something to be asked."""

    name: str
    port: int
    pid: int
    key: str

    @classmethod
    def of(cls, node: MeilisearchNode) -> _Door:
        return cls(node.node_id, node.port, node.pid, node.master_key)


@dataclass(frozen=True, slots=True)
class _Side:
    """A way to get documents in: `parts` cuts a batch into a body for each of `doors`.."""

    doors: Sequence[Target]
    settings: dict[str, Any]
    parts: Callable[[Documents], list[bytes]]
    nodes: Sequence[int]
    proxy: int | None = None


class Ingest:
    """10,000 documents in batches of 1,000, sent one after the other and then waited for.

    The first rounds are not counted: a node that indexes for the first time touches memory for the first time, which
    took virtual machines longer than the work itself. The sides take turns at being the first of a round.
    """

    name: ClassVar[str] = "ingest"
    title: ClassVar[str] = "Ingest of 10,000 documents in batches of 1,000, real nodes sharing the machine"
    figures: ClassVar[Sequence[Figure]] = (
        Figure("speed", "speed, in that of the plain node", "x", more_is_better=True, budget="0.95"),
        Figure("took", "first byte sent to last task seen done", "s"),
        Figure("sending", "of that, until the last batch was accepted", "s"),
        Figure("late", "of that, from the end of the last task to its being seen", "ms"),
        Figure("nodes_cpu", "CPU of the nodes for 1,000 documents", "ms"),
        Figure("proxy_cpu", "CPU of the proxy for 1,000 documents, polls of nodes and clients included", "ms"),
    )

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._batches = batches(_DOCUMENTS)
        self._rounds = itertools.count()
        self._warm = False

    def round(self, bench: Bench) -> Round:
        sides = self._sides(bench)
        if not self._warm:
            for _ in range(_WARM_UPS):
                self._turns(sides)
            self._warm = True
        seen = self._turns(sides)
        plain = seen["took"][bench.plain.name]
        seen["speed"] = {column: plain / took for column, took in seen["took"].items()}
        return seen

    def _sides(self, bench: Bench) -> dict[str, _Side]:
        for miroir in bench.miroirs:
            miroir.ask_nodes()
        ours = bench.miroirs[0]
        doors = [_Door.of(node) for node in ours.nodes]
        pids = [door.pid for door in doors]
        sides = {bench.plain.name: _Side([bench.plain], SETTINGS, _whole, [bench.plain.pid])}
        for miroir in bench.miroirs:
            sides[miroir.name] = _Side([miroir], SETTINGS, _whole, [node.pid for node in miroir.nodes], miroir.pid)
        sides[BARE] = _Side(doors, SETTINGS, _cutter(ours, stamped=False), pids)
        sides[STAMPED] = _Side(doors, _hidden_settings(doors[0]), _cutter(ours, stamped=True), pids)
        return sides

    def _turns(self, sides: dict[str, _Side]) -> dict[str, dict[str, float]]:
        columns = list(sides)
        seen: dict[str, dict[str, float]] = {figure.name: dict.fromkeys(columns, 0.0) for figure in self.figures[1:]}
        first = next(self._rounds) % len(columns)
        for column in columns[first:] + columns[:first]:
            for figure, value in _ingested(sides[column], f"ingest_{next(self._numbers)}", self._batches).items():
                seen[figure][column] = value
        return seen


def _ingested(side: _Side, index: str, sent: Sequence[Documents]) -> dict[str, float]:
    for door in side.doors:
        make_index(door, index, side.settings)
    bodies = [side.parts(batch) for batch in sent]
    thousands = sum(map(len, sent)) / 1000.0
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connected(door)) for door in side.doors]
        pool = stack.enter_context(ThreadPoolExecutor(len(side.doors)))
        nodes_before, proxy_before = _spent(side.nodes), _spent([side.proxy] if side.proxy else [])
        began = time.perf_counter()
        tasks: list[int] = []
        for parts in bodies:
            tasks = list(pool.map(_send, side.doors, connections, itertools.repeat(index), parts))
        accepted = time.perf_counter()
        ended = max(
            [
                _ended(door, connection, uid)
                for door, connection, uid in zip(side.doors, connections, tasks, strict=True)
            ]
        )
        done, seen_at = time.perf_counter(), time.time()
        spent = {
            "nodes_cpu": (_spent(side.nodes) - nodes_before) / thousands,
            "proxy_cpu": (_spent([side.proxy] if side.proxy else []) - proxy_before) / thousands,
        }
    for door in side.doors:
        finish(door, call(door, "DELETE", f"/indexes/{index}")["taskUid"])
    return {"took": done - began, "sending": accepted - began, "late": seen_at - ended, **spent}


def _spent(pids: Sequence[int]) -> float:
    return sum(map(cpu_seconds, pids))


# -- one door --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(door: Target) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", door.port, timeout=300)) as connection:
        yield connection


def _asked(door: Target, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> Any:
    headers = {"Authorization": f"Bearer {door.key}", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status // 100 != 2:
        raise RuntimeError(f"{door.name}: {method} {path}: {answer.status} {content[:500]!r}")
    return json.loads(content)


def _send(door: Target, connection: http.client.HTTPConnection, index: str, body: bytes) -> int:
    path = f"/indexes/{index}/documents?primaryKey={PRIMARY_KEY}"
    uid: int = _asked(door, connection, "POST", path, body)["taskUid"]
    return uid


def _ended(door: Target, connection: http.client.HTTPConnection, uid: int) -> float:
    """Wait for the task; when it ended by its own account, in seconds of the Unix clock."""
    while True:
        task = _asked(door, connection, "GET", f"/tasks/{uid}", None)
        if task["status"] == "succeeded":
            return datetime.fromisoformat(task["finishedAt"]).timestamp()
        if task["status"] in {"failed", "canceled"}:
            raise RuntimeError(f"{door.name}: task {uid} is {task['status']}: {task['error']}")
        time.sleep(_POLL_S)


# -- what is sent ----------------------------------------------------------------------------------------------------


def _items(batch: Documents) -> list[bytes]:
    return [json.dumps(document, ensure_ascii=False).encode() for document in batch]


def _whole(batch: Documents) -> list[bytes]:
    return [b"[" + b",".join(_items(batch)) + b"]"]


def _cutter(miroir: Miroir, *, stamped: bool) -> Callable[[Documents], list[bytes]]:
    """Cuts a batch as Miroir would, for its nodes in their order."""
    members = tuple(Node(node.node_id, node.address, 0) for node in miroir.nodes)
    owned = place(seed(members, groups=1, replication_factor=1), _SHARDS).shards_of_node

    def cut(batch: Documents) -> list[bytes]:
        keys, items = [str(document[PRIMARY_KEY]) for document in batch], _items(batch)
        if stamped:
            whole = Batch(PRIMARY_KEY, keys, items)
            parts = stamp_batch(whole, stamp=time.time_ns() // 1000, shards=_SHARDS, updated=True)
        else:
            parts = Stamped(items, shards_of(keys, _SHARDS))
        return [node_payload(parts, owned[node.node_id]) for node in miroir.nodes]

    return cut


def _hidden_settings(node: _Door) -> dict[str, Any]:
    """What Miroir makes of the sample's settings on a node."""
    settings: dict[str, Any] = call(node, "GET", f"/indexes/{INDEX_UID}/settings")
    return {name: value for name, value in settings.items() if value is not None}
