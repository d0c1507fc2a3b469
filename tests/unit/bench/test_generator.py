"""The load generator and the canned nodes, against a server that counts."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import relay
from bench.generator import drive
from bench.load import request
from miroir.cli.dev_process import free_port, port_is_free
from tests.client import wait_until


class _Node(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.asked.append(self.path)
        body = json.dumps({"path": self.path, "asked": len(self.asked)}).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def node() -> Iterator[tuple[int, list[str]]]:
    """A port, and the paths that were asked for there."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Counting", (_Node,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_address[1], asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_turns_are_driven_in_order_and_timed(node: tuple[int, list[str]]) -> None:
    port, asked = node
    turns = [[(port, request("GET", f"/{name}", None))] for name in "abc"]
    times, took = drive(turns, 1, 7)
    assert asked == ["/a", "/b", "/c", "/a", "/b", "/c", "/a"]
    assert len(times) == 7
    assert sum(times) <= took


def test_more_workers_than_turns_is_fine(node: tuple[int, list[str]]) -> None:
    port, asked = node
    times, _ = drive([[(port, request("GET", "/a", None))]], 4, 2)
    assert len(times) == len(asked) == 2


def test_a_refusal_is_no_answer(node: tuple[int, list[str]]) -> None:
    with pytest.raises(RuntimeError, match="404"):
        drive([[(node[0], request("GET", "/missing", None))]], 1, 1)


def test_canned_nodes_ask_once_and_remember_searches_only(node: tuple[int, list[str]]) -> None:
    port, asked = node
    front = free_port()
    with subprocess.Popen([sys.executable, relay.__file__, f"{front}={port}"]) as canned:
        try:
            wait_until(lambda: not port_is_free(front))
            search = request("POST", "/indexes/x/search", "key", {"q": "lamp"})
            drive([[(front, search)], [(front, request("GET", "/health", None))]], 1, 6)
            connection = http.client.HTTPConnection("127.0.0.1", front)
            connection.request("GET", "/_recorded")
            recorded = json.loads(connection.getresponse().read())
            connection.close()
        finally:
            canned.kill()
    assert asked.count("/indexes/x/search") == 1
    assert asked.count("/health") == 3
    assert [each[0] for each in recorded] == [port]
