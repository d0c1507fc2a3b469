"""What is measured: a checkout of Miroir over three nodes of its own, and a plain node beside it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from bench.load import request
from miroir.cli.dev_nodes import MeilisearchNode
from miroir.cli.dev_process import Child, free_port
from miroir.cli.dev_server import Keys, MiroirServer, miroir_command, server_config
from miroir.cli.sample import INDEX_UID, PRIMARY_KEY, SETTINGS, catalogue

CORPUS: Final = 10_000
_NODES: Final = 3
_SHARDS: Final = 64
_BATCH: Final = 1_000
_TASK_LIMIT_S: Final = 300.0
_POLL_S: Final = 0.01
_KEYS: Final = Keys(master="bench-master-key-01234", node="bench-node-key-0123456", admin="bench-admin-key-012345")
_CORES: Final = sorted(os.sched_getaffinity(0))


class Target(Protocol):
    """A server with the Meilisearch API; what parts of the harness ask."""

    @property
    def name(self) -> str:
        """The name of its column."""

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int:
        """The process whose CPU time counts."""

    @property
    def key(self) -> str: ...


def search(target: Target, body: dict[str, Any], index: str = INDEX_UID) -> bytes:
    """A whole search request."""
    return request("POST", f"/indexes/{index}/search", target.key, body)


def call(target: Target, method: str, path: str, body: Any = None) -> Any:
    """One call and its JSON. Raises `RuntimeError` for what is no 2xx."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    if answer.status // 100 != 2:
        raise RuntimeError(f"{target.name}: {method} {path}: {answer.status} {content[:500]!r}")
    return json.loads(content) if content else None


def finish(target: Target, uid: int) -> None:
    """Wait until a task succeeded. Raises `RuntimeError` when it did not."""
    deadline = time.monotonic() + _TASK_LIMIT_S
    while True:
        task = call(target, "GET", f"/tasks/{uid}")
        if task["status"] == "succeeded":
            return
        if task["status"] in {"failed", "canceled"} or time.monotonic() > deadline:
            raise RuntimeError(f"{target.name}: task {uid} is {task['status']}: {task['error']}")
        time.sleep(_POLL_S)


def batches(count: int, size: int = _BATCH) -> list[list[dict[str, Any]]]:
    """The first so many products of the sample catalogue."""
    products = catalogue(count)
    return list(iter(lambda: list(itertools.islice(products, size)), []))


def make_index(target: Target, index: str = INDEX_UID, settings: Mapping[str, Any] = SETTINGS) -> None:
    """An empty index with the sample's settings, or others."""
    finish(target, call(target, "POST", "/indexes", {"uid": index, "primaryKey": PRIMARY_KEY})["taskUid"])
    finish(target, call(target, "PATCH", f"/indexes/{index}/settings", settings)["taskUid"])


def fill(target: Target, count: int = CORPUS) -> None:
    """The corpus of the searches, or its beginning."""
    make_index(target)
    tasks = [call(target, "POST", f"/indexes/{INDEX_UID}/documents", batch)["taskUid"] for batch in batches(count)]
    for uid in tasks:
        finish(target, uid)


@contextlib.contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Run here and have children started here run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def proxy_core() -> list[int]:
    """The core that a server under a CPU meter has for itself."""
    return _CORES[-1:]


def other_cores() -> list[int]:
    """The cores for everything else; on a machine with one core, that one."""
    return _CORES[:-1] or _CORES


def cpu_seconds(pid: int) -> float:
    """CPU time of the process's living threads so far, from the scheduler's nanoseconds (`stat` counts in 10 ms)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def resident_bytes(pid: int) -> int:
    """Memory that is the process's own or shared by it now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class PlainNode:
    """One unmodified node with everything in it."""

    def __init__(self, directory: Path) -> None:
        self.name = "plain node"
        self.key = "bench-plain-key-012345"
        self.node = MeilisearchNode("plain", port=free_port(), directory=directory / "plain", master_key=self.key)

    @property
    def port(self) -> int:
        return self.node.port

    @property
    def pid(self) -> int:
        return self.node.pid

    def start(self) -> None:
        self.node.start()
        self.node.wait_serving()
        fill(self)

    def stop(self) -> None:
        self.node.kill()


class Server(MiroirServer):
    """`miroir serve` out of a given checkout."""

    def __init__(self, directory: Path, config: dict[str, Any], checkout: Path) -> None:
        super().__init__(directory, config, _KEYS)
        self._checkout = checkout

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "miroir.yaml"
        file.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MIROIR_")}
        self.spawn(
            miroir_command("serve", "--config", str(file)),
            {**environment, "PYTHONPATH": str(self._checkout), **_KEYS.environment()},
            self.directory,
        )


class Canned(Child):
    """The nodes' stand-ins (`bench.relay`), one port for each."""

    def __init__(self, directory: Path, nodes: Sequence[MeilisearchNode]) -> None:
        self.ports = {node.port: free_port() for node in nodes}
        super().__init__(
            "canned nodes", log=directory / "relay.log", port=next(iter(self.ports.values())), serving_path="/_recorded"
        )

    def start(self) -> None:
        script = str(Path(__file__).with_name("relay.py"))
        pairs = [f"{port}={node}" for node, port in self.ports.items()]
        with on_cores(other_cores()):
            self.spawn([sys.executable, script, *pairs], os.environ)
        self.wait_serving()

    def recorded(self) -> list[tuple[int, bytes, bytes]]:
        """Every search it has seen: the node's own port, the request, the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/_recorded")
            listed = json.loads(connection.getresponse().read())
        return [(node, base64.b64decode(asked), base64.b64decode(answer)) for node, asked, answer in listed]

    def late(self, node: int, seconds: float, every: int) -> None:
        """Have every so-manieth search of that node (its own port) be answered so much later, from now on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[node], timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", f"/_late/{round(seconds * 1000)}/{every}")
            connection.getresponse().read()


class Miroir:
    """A checkout under measurement: its server, its nodes, and what stands in for them."""

    def __init__(self, name: str, checkout: Path, directory: Path, *, rf: int = 1, corpus: int = CORPUS) -> None:
        """`rf`: copies of each shard. `corpus`: documents it is filled with."""
        self.name = name
        self.checkout = checkout
        self.directory = directory
        self.key = _KEYS.master or ""
        self._corpus = corpus
        self._directory = directory / name
        self.nodes = [
            MeilisearchNode(
                f"meili-{number}",
                port=free_port(),
                directory=self._directory / f"meili-{number}",
                master_key=_KEYS.node or "",
            )
            for number in range(_NODES)
        ]
        self._canned = Canned(self._directory, self.nodes)
        self._config = server_config(
            self.nodes,
            groups=1,
            rf=rf,
            shards=_SHARDS,
            port=free_port(),
            metrics_port=free_port(),
            store=self._directory / "miroir.db",
        )
        self.server = Server(self._directory, self._config, checkout)
        self._is_canned = False
        self._searches: dict[str, list[tuple[int, bytes, bytes]]] = {}

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def pid(self) -> int:
        return self.server.pid

    def start(self) -> None:
        """Nodes and server up, the corpus in."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_serving()
        self.server.start()
        self.server.wait_serving()
        fill(self, self._corpus)

    def stop(self) -> None:
        self.server.kill()
        self._canned.kill()
        for node in self.nodes:
            node.kill()

    def ask_nodes(self) -> None:
        """From now on the server asks its nodes."""
        if self._is_canned:
            self._restart({node.port: node.port for node in self.nodes})
            self._is_canned = False

    def ask_canned(self) -> None:
        """From now on the server asks the nodes' stand-ins, and has a core for itself."""
        if not self._canned.running:
            self._canned.start()
        if not self._is_canned:
            self._restart(self._canned.ports)
            os.sched_setaffinity(self.pid, proxy_core())
            self._is_canned = True

    def stand_in(self, node: int) -> int:
        """The port of a node's stand-in, by the node's own."""
        return self._canned.ports[node]

    def make_late(self, node: int, seconds: float, *, every: int) -> None:
        """Have a node's stand-in (its own port) be late with every so-manieth search, by so much; 0: in time again."""
        self.ask_canned()
        self._canned.late(node, seconds, every)

    def restart(self) -> float:
        """Seconds from the start of the process until it is ready to serve."""
        self.server.stop()
        began = time.perf_counter()
        self.server.start()
        self.server.wait_serving()
        return time.perf_counter() - began

    def _restart(self, ports: dict[int, int]) -> None:
        self.server.stop()
        for node, entry in zip(self.nodes, self._config["miroir"]["nodes"], strict=True):
            entry["address"] = f"http://127.0.0.1:{ports[node.port]}"
        self.server.start()
        self.server.wait_serving()

    def node_searches(self, body: dict[str, Any]) -> list[tuple[int, bytes, bytes]]:
        """What a search becomes: each node's own port, what it is asked, and its answer. Switches to the stand-ins."""
        self.ask_canned()
        known = self._searches.get(json.dumps(body))
        if known is None:
            before = {(node, asked) for node, asked, _ in self._canned.recorded()}
            call(self, "POST", f"/indexes/{INDEX_UID}/search", body)
            known = [each for each in self._canned.recorded() if (each[0], each[1]) not in before]
            self._searches[json.dumps(body)] = known
        return known
