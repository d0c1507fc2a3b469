"""Webhooks: what a node takes and refuses is taken and refused, and addresses are told as a node tells them."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.client import Api, wait_until
from tests.nodes import Cluster, RealNode

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Address:
    """An HTTP server that keeps what it is sent, and answers with the statuses it was given, then 200."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        self.statuses: list[int] = []
        address = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self._chunks() if "transfer-encoding" in self.headers else self._sized()
                status = address.statuses.pop(0) if address.statuses else 200
                if status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    lines = gzip.decompress(body).decode().splitlines()
                    address.told.append((headers, [json.loads(line) for line in lines]))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def _sized(self) -> bytes:
                return self.rfile.read(int(self.headers["content-length"]))

            def _chunks(self) -> bytes:
                body = b""
                while length := int(self.rfile.readline(), 16):
                    body += self.rfile.read(length)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?of=tests"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return [task for _, tasks in self.told for task in tasks]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def address() -> Iterator[Address]:
    made = Address()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def pair(cluster: Callable[..., Cluster], single_node: RealNode) -> Iterator[tuple[Api, Api]]:
    """A cluster and a plain node, both without webhooks before and after the test."""
    both = (cluster(groups=1, nodes=3, rf=1).client, single_node.api)
    _clear(*both)
    yield both
    _clear(*both)


def _clear(*servers: Api) -> None:
    for api in servers:
        for hook in api.get("/webhooks")["results"]:
            assert api.request("DELETE", f"/webhooks/{hook['uuid']}").status_code == 204


BODIES: list[Any] = [
    {"url": "http://a/b"},
    {"url": "http://a/b", "headers": {"b": "x", "A-b": " y ", "c": None}},
    {"url": "http://a/b", "headers": None},
    {"url": "HTTP://A/../b?c#d"},
    {"url": "http:a"},
    {"url": "http://é.fr/ü"},
    {"url": "http://user:pw@a/"},
    {"url": " http://a "},
    {"url": "http://[::1]:80/x"},
    {"url": "mailto:x@y"},
    {},
    {"url": ""},
    {"url": None},
    {"url": "nope"},
    {"url": "//a"},
    {"url": "http://"},
    {"url": "http:///"},
    {"url": "http://a:99999/"},
    {"url": "http://a:b/"},
    {"url": "http://[::x]/"},
    {"url": "http://1.2.3.400/"},
    {"url": "http://a b/c"},
    {"url": 5},
    {"url": "http://a", "headers": [1]},
    {"url": "http://a", "headers": {"a": 5}},
    {"url": "http://a", "headers": {"x y": "z"}},
    {"url": "http://a", "headers": {"": "z"}},
    {"url": "http://a", "headers": {"a": "x\u0001"}},
    {"url": "http://a", "headers": {"a": "x\ny", "b": "é"}},
    {"url": "nope", "headers": {"x y": "z"}},
    {"url": "http://a", "headers": {f"h{number}": "x" for number in range(201)}},
    {"url": "http://a", "uuid": "x"},
    {"url": "http://a", "isEditable": False},
    {"url": "http://a", "nope": 1},
    [],
    "text",
]

UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000001",
    "00000000000000000000000000000001",
    "nope",
    "abc",
    "0-0",
    "00000000-0000-0000-0000-0000000000",
    "0000000-0000-0000-0000-000000000000",
]


def _said(api: Api, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = api.request(method, path, json=body) if body is not None else api.request(method, path)
    return answer.status_code, _UUID.sub("<uuid>", answer.text)


def test_bodies_are_judged_as_by_a_node(pair: tuple[Api, Api]) -> None:
    ours, plain = pair
    for body in BODIES:
        assert _said(ours, "POST", "/webhooks", body) == _said(plain, "POST", "/webhooks", body), body
        _clear(*pair)
    hooks = [api.post("/webhooks", {"url": "http://a/b", "headers": {"k": "v"}})["uuid"] for api in pair]
    for body in BODIES:
        said = [_said(api, "PATCH", f"/webhooks/{uuid}", body) for api, uuid in zip(pair, hooks, strict=True)]
        assert said[0] == said[1], body
    for uuid in UUIDS:
        for method, change in (("GET", None), ("PATCH", {"url": "http://a"}), ("PATCH", {"url": 5}), ("DELETE", None)):
            path = f"/webhooks/{uuid}"
            assert _said(ours, method, path, change) == _said(plain, method, path, change), (method, uuid)
    for api in pair:
        for _ in range(19):
            api.post("/webhooks", {"url": "http://a"})
    assert _said(ours, "POST", "/webhooks", {"url": "x"}) == _said(plain, "POST", "/webhooks", {"url": "x"})


def test_an_address_is_told_as_by_a_node(
    cluster: Callable[..., Cluster], single_node: RealNode, index_name: str, address: Address
) -> None:
    running = cluster(groups=1, nodes=3, rf=1, fresh=True)
    told = []
    for api in (running.client, single_node.api):
        address.told.clear()
        hook = api.post("/webhooks", {"url": address.url, "headers": {"Authorization": "Bearer of ours"}})
        api.create_index(index_name, "id")
        api.post("/indexes", {"uid": index_name})
        api.add_documents(index_name, [{"id": 1}, {"id": 2}])
        wait_until(lambda: len(address.tasks) == 3, what="three tasks told")
        headers = address.told[0][0]
        assert headers["authorization"] == "Bearer of ours"
        assert headers["content-type"] == "application/x-ndjson"
        assert headers["content-encoding"] == "gzip"
        tasks = sorted(address.tasks, key=lambda task: int(task["uid"]))
        assert [api.get(f"/tasks/{task['uid']}") for task in tasks] == tasks
        told.append([{**task, **dict.fromkeys(_VARYING)} for task in tasks])
        assert api.request("DELETE", f"/webhooks/{hook['uuid']}").status_code == 204
    assert told[0] == told[1]
    running.client.create_index(f"{index_name}_2", "id")
    assert len(address.tasks) == 3


_VARYING = ("uid", "batchUid", "duration", "enqueuedAt", "startedAt", "finishedAt")


def test_an_address_that_fails_is_asked_again_and_holds_nobody_up(
    cluster: Callable[..., Cluster], index_name: str, address: Address
) -> None:
    running = cluster(groups=1, nodes=3, rf=1, fresh=True)
    running.client.post("/webhooks", {"url": "http://127.0.0.1:9/nobody"})
    running.client.post("/webhooks", {"url": address.url})
    running.server.restart()
    address.statuses = [500]
    running.client.create_index(index_name, "id")
    wait_until(lambda: [task["indexUid"] for task in address.tasks] == [index_name], what="the address is told again")
