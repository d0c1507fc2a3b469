"""The data plane's door end to end: TLS, Hypercorn, inherited sockets, bombs, clients that leave, a slow crowd."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import resource
import selectors
import socket
import ssl
import statistics
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from miroir.cli.dev_process import free_port
from miroir.cli.dev_server import merged
from tests.client import wait_until
from tests.integration.test_faults import all_ids, documents
from tests.nodes import MASTER_KEY, Cluster, RealServer

CERTIFICATE = Path(__file__).with_name("http") / "localhost.pem"
TLS = {"server": {"tls": {"cert": str(CERTIFICATE), "key": str(CERTIFICATE)}}}
AUTHORIZED = {"Authorization": f"Bearer {MASTER_KEY}"}


class SecondServer(RealServer):
    """Another Miroir in front of a cluster's nodes, with a store of its own in which they are foreign: so without nodes
    that answer. Enough for `/health`."""

    def __init__(self, directory: Path, running: Cluster, over: dict[str, Any]) -> None:
        changed = {
            "nodes": [{"id": "nobody", "address": f"http://127.0.0.1:{free_port()}", "replica_group": 0}],
            "replica_groups": 1,
            "replication_factor": 1,
            "server": {"port": free_port(), "metrics_port": free_port(), "shutdown_grace_s": 1},
            "task_store": {"path": str(directory / "second.db")},
        }
        super().__init__(
            directory, merged(running.server.config, {"miroir": merged(changed, over)}), running.server.keys
        )

    def ask(self, path: str = "/health", **options: Any) -> httpx.Response:
        scheme = "https" if self.config["miroir"]["server"].get("tls", {}).get("cert") else "http"
        verify = ssl.create_default_context(cafile=str(CERTIFICATE))
        with httpx.Client(verify=verify, trust_env=False, timeout=30, **options) as client:
            return client.get(f"{scheme}://localhost:{self.port}{path}")

    def answers(self, **options: Any) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.ask(**options).status_code == 200
        return False


@pytest.fixture
def second(cluster: Callable[..., Cluster], tmp_path: Path) -> Iterator[Callable[..., SecondServer]]:
    """A function that starts a second server with configuration on top."""
    started: list[SecondServer] = []

    def start(over: dict[str, Any]) -> SecondServer:
        server = SecondServer(tmp_path, cluster(groups=1, nodes=2, rf=2), over)
        started.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.kill()


# -- TLS and Hypercorn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "http2", "version"),
    [("native", True, "HTTP/1.1"), ("hypercorn", True, "HTTP/2"), ("hypercorn", False, "HTTP/1.1")],
)
def test_tls(engine: str, http2: bool, version: str, second: Callable[..., SecondServer]) -> None:
    server = second(merged(TLS, {"server": {"engine": engine}}))
    wait_until(server.answers, 30, "an answer over TLS")
    response = server.ask(http2=http2)
    assert (response.http_version, response.json()) == (version, {"status": "available"})
    assert server.ask("/_miroir/topology", headers={"X-Admin-Key": server.keys.admin}).status_code == 200
    # Who does not speak TLS, or nothing at all, is no reason for anybody else to wait.
    with (
        socket.create_connection(("127.0.0.1", server.port)) as silent,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
    ):
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        plain.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(100).startswith(b"HTTP")
        assert server.answers()
        silent.sendall(b"\x16\x03\x01")
        server.terminate()
        assert server.wait(30)
    assert server.returncode == 0


@pytest.mark.parametrize(
    ("tls", "text"),
    [
        ({"cert": "/nowhere/tls.crt", "key": str(CERTIFICATE)}, "The TLS certificate /nowhere/tls.crt cannot be read"),
        ({"cert": str(CERTIFICATE), "key": __file__}, "is not a PEM file"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_said(
    tls: dict[str, str], text: str, second: Callable[..., SecondServer]
) -> None:
    server = second({"server": {"tls": tls}})
    assert server.wait(20)
    assert server.returncode == 1
    assert "cannot start" in server.log_tail()
    assert text in server.log_tail()


def test_hypercorn_serves_the_whole_api(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(
        groups=1, nodes=2, rf=2, fresh=True, over={"server": {"engine": "hypercorn", "max_body_bytes": 1_000_000}}
    )
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 50))
    assert all_ids(running, index_name)[0] == list(range(50))
    assert running.topology()["degraded_node_count"] == 0
    response = running.client.request(
        "POST",
        f"/indexes/{index_name}/documents",
        content=b"[" + b" " * 2_000_000 + b"]",
        headers={"Content-Type": "application/json"},
    )
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    running.server.terminate()
    assert running.server.wait(30)
    assert running.server.returncode == 0
    assert "Traceback" not in running.server.log_tail()


# -- inherited sockets -------------------------------------------------------------------------------------------------


class HeirServer(SecondServer):
    """Started with its sockets open already, as by systemd."""

    sockets: tuple[socket.socket, ...] = ()
    names = "data:metrics"

    def _popen(self, command: Any, environment: Any, directory: Any, output: Any) -> subprocess.Popen[bytes]:
        redirected = " ".join(f"{3 + place}<&{sock.fileno()}" for place, sock in enumerate(self.sockets))
        return subprocess.Popen(
            ["bash", "-c", f'exec {redirected}; export LISTEN_PID=$$; exec "$@"', "bash", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "LISTEN_FDS": str(len(self.sockets)), "LISTEN_FDNAMES": self.names},
            cwd=directory,
            pass_fds=[sock.fileno() for sock in self.sockets],
        )


@pytest.fixture
def heir(cluster: Callable[..., Cluster], tmp_path: Path) -> Iterator[HeirServer]:
    server = HeirServer(tmp_path, cluster(groups=1, nodes=2, rf=2), {})
    server.sockets = tuple(socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    try:
        yield server
    finally:
        server.kill()
        for sock in server.sockets:
            sock.close()


def test_sockets_may_be_inherited(heir: HeirServer) -> None:
    heir.start()
    data, metrics = (sock.getsockname()[1] for sock in heir.sockets)
    # They listen already: who connects before the server is up only waits.
    assert httpx.get(f"http://127.0.0.1:{data}/health", timeout=20).json() == {"status": "available"}
    assert "miroir_requests_total" in httpx.get(f"http://127.0.0.1:{metrics}/metrics", timeout=30).text
    heir.terminate()
    assert heir.wait(30)
    assert heir.returncode == 0


def test_sockets_with_names_nobody_knows_are_said(heir: HeirServer) -> None:
    heir.names = "data:web"
    heir.start()
    assert heir.wait(20)
    assert heir.returncode == 1
    assert "web; the names are data and metrics" in heir.log_tail()


# -- bombs -------------------------------------------------------------------------------------------------------------

LIMIT = 4 * 1024 * 1024
PLAIN = 1 << 30
"""What the bombs unpack to."""


def peak_memory_kib(pid: int) -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]  # Linux


def forget_peak_memory(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def bomb(encoding: str) -> bytes:
    """A gibibyte of blanks, compressed piece by piece."""
    piece, pieces = b" " * (1 << 20), PLAIN >> 20
    match encoding:
        case "gzip" | "deflate":
            packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
            return b"".join([*(packer.compress(piece) for _ in range(pieces)), packer.flush()])
        case "br":
            brotler = brotli.Compressor(quality=4)
            return b"".join([*(brotler.process(piece) for _ in range(pieces)), brotler.finish()])
        case _:
            zstd = zstandard.ZstdCompressor().compressobj()
            return b"".join([*(zstd.compress(piece) for _ in range(pieces)), zstd.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_refused_in_bounded_memory(encoding: str, cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2, over={"server": {"max_body_bytes": LIMIT}})
    packed = bomb(encoding)
    assert len(packed) < LIMIT, "it must pass the limit on what is sent"
    forget_peak_memory(running.server.pid)
    before = peak_memory_kib(running.server.pid)
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    response = running.client.request("POST", f"/indexes/{index_name}/documents", content=packed, headers=headers)
    assert response.status_code == 413
    assert response.json()["code"] == "payload_too_large"
    assert "4 MiB" in response.json()["message"]
    grown = peak_memory_kib(running.server.pid) - before
    assert grown < 8 * LIMIT // 1024, f"{grown} KiB for a limit of {LIMIT // 1024} KiB"
    # A body that unpacks to less is taken.
    good = running.client.request(
        "POST",
        f"/indexes/{index_name}/documents",
        content=gzip.compress(b'[{"id":1}]', mtime=0),
        headers={**headers, "Content-Encoding": "gzip"},
    )
    assert good.status_code == 202


# -- clients that leave ------------------------------------------------------------------------------------------------


def metric(running: Cluster, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} ([\d.e+-]+)$", httpx.get(running.metrics_url, timeout=30).text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def left(running: Cluster, path: str) -> float:
    labels = f'method="POST",path_template="{path}",status="499"'
    return metric(running, f"miroir_request_duration_seconds_count{{{labels}}}")


def send(running: Cluster, path: str, body: bytes) -> socket.socket:
    """A request whose answer nobody has read yet."""
    sock = socket.create_connection(("127.0.0.1", running.server.port))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER_KEY}\r\nContent-Type: application/json\r\n"
    )
    sock.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return sock


def test_a_search_is_given_up_when_its_client_leaves_and_a_write_is_not(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    patience = {"scatter": {"node_timeout_ms": 25_000}, "health": {"interval_ms": 60_000, "timeout_ms": 30_000}}
    running = cluster(groups=1, nodes=1, rf=1, fresh=True, over=patience)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 20))
    node = running.nodes[0]
    node.pause()
    began = time.monotonic()
    search = send(running, f"/indexes/{index_name}/search", b'{"q":""}')
    in_use = 'miroir_node_pool_connections{node_id="meili-0",state="in_use"}'
    wait_until(lambda: metric(running, in_use) > 0, 30, "the search under way")
    search.close()
    wait_until(lambda: left(running, "/indexes/{uid}/search") == 1, 30, "the search given up")
    assert time.monotonic() - began < 20, "it must not have been the timeout"
    wait_until(lambda: metric(running, in_use) == 0, 30, "nobody asking the node")

    write = send(running, f"/indexes/{index_name}/documents", b'[{"id":100}]')
    wait_until(lambda: metric(running, in_use) > 0, 30, "the write under way")
    write.close()
    time.sleep(1.0)  # longer than it takes to notice
    assert metric(running, in_use) > 0
    node.resume()
    wait_until(lambda: 100 in all_ids(running, index_name)[0], 30, "the write applied")
    assert left(running, "/indexes/{uid}/documents") == 0  # it ran to its end, and only then nobody was there


# -- a crowd -----------------------------------------------------------------------------------------------------------

CROWD = 10_000
FILES_BESIDE = 500
"""Descriptors that each process needs for something else."""

# Half a head is ended after 15 s, so these come last: all are accepted before the first of them is ended.
SLOW = {
    "idle": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a body": f"POST /indexes/a/search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER_KEY}\r\n".encode()
    + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "half a head": b"GET /indexes HTTP/1.1\r\nHost: x\r\nX-Slow",
}


@contextlib.contextmanager
def many_files() -> Iterator[int]:
    """The soft limit raised to the hard one; yields how many connections that leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield min(CROWD, hard - FILES_BESIDE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd_of(port: int, count: int) -> list[socket.socket]:
    """So many connections that have begun something and do not go on."""
    kinds = list(SLOW.values())
    sockets = []
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(kinds[number * len(kinds) // count])
        sockets.append(sock)
    return sockets


def timed_health(port: int, count: int = 200) -> list[float]:
    """Seconds of so many requests, one after the other, over a connection that did not exist before."""
    times = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:
        for _ in range(count):
            began = time.perf_counter()
            assert client.get("/health").status_code == 200
            times.append(time.perf_counter() - began)
    return times


def test_ten_thousand_slow_clients_do_not_starve_a_fast_one(
    cluster: Callable[..., Cluster], record_property: Callable[[str, object], None]
) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    port, pid = running.server.port, running.server.pid
    alone = timed_health(port)
    with many_files() as count:
        said = "" if count == CROWD else f" (only {count} connections: the hard limit of open files is too low)"
        before = memory_kib(pid)
        crowd = crowd_of(port, count)
        try:
            with many_open(pid, count):
                crowded = timed_health(port)
                search = running.client.request("GET", "/indexes")
                assert search.status_code == 200, said
                each_kib = (memory_kib(pid) - before) / count
        finally:
            for sock in crowd:
                sock.close()
    found = f"median {ms(alone)} ms alone, {ms(crowded)} ms in the crowd, most {max(crowded) * 1e3:.1f} ms{said}"
    record_property("crowd", f"{found}; {each_kib:.1f} KiB a connection")
    assert max(crowded) < 2.0, found
    assert statistics.median(crowded) < statistics.median(alone) * 10 + 0.02, found
    assert each_kib < 64, said
    wait_until(lambda: open_sockets(pid) < 200, 30, "the crowd gone")


@contextlib.contextmanager
def many_open(pid: int, count: int) -> Iterator[None]:
    """Check that the crowd is really there: accepted, and not yet timed out."""
    wait_until(lambda: open_sockets(pid) >= count, 90, f"{count} connections accepted")
    yield
    assert open_sockets(pid) >= count * 0.6, "the crowd left too early for this to mean anything"


def open_sockets(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]  # Linux


def ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1e3:.2f}"


# -- large bodies ------------------------------------------------------------------------------------------------------


def test_answers_that_nobody_reads_do_not_pile_up(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    running.client.create_index(index_name, "id")
    rows = [{"id": number, "text": "x" * 5_000} for number in range(400)]
    running.client.add_documents(index_name, rows)
    pid = running.server.pid
    body = b'{"limit":400}'
    whole = len(
        running.client.request(
            "POST", f"/indexes/{index_name}/documents/fetch", content=body, headers={"Content-Type": "application/json"}
        ).content
    )
    forget_peak_memory(pid)
    before = memory_kib(pid)
    with selectors.DefaultSelector() as ready:
        readers = [send(running, f"/indexes/{index_name}/documents/fetch", body) for _ in range(8)]
        for sock in readers:
            ready.register(sock, selectors.EVENT_READ)
        wait_until(lambda: len(ready.select(0)) == len(readers), 30, "every answer begun")
    grown = memory_kib(pid) - before
    answers: list[int] = []

    def read(sock: socket.socket) -> None:
        size = 0
        with sock, contextlib.suppress(TimeoutError):
            sock.settimeout(30)
            while data := sock.recv(1 << 16):
                size += len(data)
                if size >= whole:
                    break
        answers.append(size)

    threads = [threading.Thread(target=read, args=(sock,)) for sock in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(answers) >= whole, "each gets all of it, late as it is"
    assert grown * 1024 < 6 * len(readers) * whole, f"{grown} KiB for {len(readers)} answers of {whole >> 10} KiB"
