"""The routes there are: a node's, found by asking it. Each is served, or stands in the table of refused ones."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from urllib.parse import urlsplit

import httptools

from miroir.api import Router, register_refused
from miroir.api.refused import REFUSED
from tests.client import Api
from tests.nodes import Cluster, RealNode

NAME = "0"
"""Stands for whatever a path names: an index, a task, a key."""
# What a path of this Meilisearch, or of a later one, is known to be made of. Settings stand last in a path.
# fmt: off
SETTINGS = (
    "dictionary", "displayed-attributes", "distinct-attribute", "embedders", "facet-search", "faceting",
    "filterable-attributes", "foreign-keys", "localized-attributes", "non-separator-tokens", "pagination",
    "prefix-search", "proximity-precision", "ranking-rules", "search-cutoff-ms", "searchable-attributes",
    "separator-tokens", "sortable-attributes", "stop-words", "synonyms", "typo-tolerance", "vector-store",
)
WORDS = (
    NAME, "batches", "cancel", "chat", "chats", "compact", "completions", "control", "delete", "delete-batch",
    "documents", "dumps", "edit", "experimental-features", "export", "facet-search", "fetch", "fields", "health",
    "indexes", "keys", "logs", "metrics", "multi-search", "network", "proxy", "render-template", "rules", "search",
    "settings", "similar", "snapshots", "stats", "stderr", "stream", "swap-indexes", "tasks", "templates", "version",
    "webhooks",
)
# fmt: on

_BLOCK = 50
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Door:
    """Asks without a key, so that nothing is done: 404 for an unknown path, 405 for an unknown method.

    Many requests on one connection, sent before their answers are read: there are thousands.
    """

    def __init__(self, api: Api) -> None:
        self._socket = socket.create_connection((urlsplit(api.url).hostname, urlsplit(api.url).port), timeout=20)
        self._answers: list[str] = []
        self._status_of: Callable[[], int] = int
        self._body = False

    def ask(self, requests: Sequence[tuple[str, str]]) -> list[str]:
        """For each method and path `nowhere`, `another method` or `there`."""
        self._answers = []
        for start in range(0, len(requests), _BLOCK):
            block = requests[start : start + _BLOCK]
            self._socket.sendall(
                b"".join(f"{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for method, path in block)
            )
            parser = httptools.HttpResponseParser(self)
            self._status_of = parser.get_status_code
            while len(self._answers) < start + len(block):
                data = self._socket.recv(1 << 16)
                assert data, "the connection was closed"
                parser.feed_data(data)
        return self._answers

    def on_message_begin(self) -> None:
        self._body = False

    def on_body(self, _: bytes) -> None:
        self._body = True

    def on_message_complete(self) -> None:
        status = self._status_of()
        nowhere = status == 404 and not self._body
        self._answers.append("nowhere" if nowhere else "another method" if status == 405 else "there")

    def known(self, paths: Iterable[str]) -> list[str]:
        """Those of the paths that are paths of this server."""
        asked = list(dict.fromkeys(paths))
        answers = self.ask([("GET", path) for path in asked])
        return [path for path, answer in zip(asked, answers, strict=True) if answer != "nowhere"]

    def close(self) -> None:
        self._socket.close()


def candidates(node: Door) -> Iterator[str]:
    """Every path of up to four such parts, as far as there is something below."""
    yield "/"
    yield from (f"/{one}" for one in WORDS)
    yield from (f"/{one}/{two}" for one, two in product(WORDS, WORDS) if one != NAME)
    named = node.known(f"/{one}/{NAME}" for one in WORDS)
    yield from (f"{above}/{one}" for above, one in product(named, WORDS))
    yield from (f"/indexes/0/{one}/{two}" for one, two in product(WORDS, WORDS))
    yield from (f"/indexes/0/settings/{one}" for one in SETTINGS)
    yield from (f"/chats/0/{one}/{two}" for one, two in product(("chat", "settings", NAME), WORDS))


def test_every_route_of_a_node_is_served_or_refused_with_a_reason(
    cluster: Callable[..., Cluster], single_node: RealNode
) -> None:
    miroir = cluster().client
    node, ours = Door(single_node.api), Door(miroir)
    try:
        paths = [*node.known(candidates(node)), "/nowhere", "/indexes/0/nowhere", "/logs", "/chats/0/chat"]
        asked = list(product(METHODS, paths))
        answers = node.ask(asked)
        found = {each for each, answer in zip(asked, answers, strict=True) if answer == "there"}
        differing = [
            f"{method} {path}: node {theirs}, Miroir {here}"
            for (method, path), theirs, here in zip(asked, answers, ours.ask(asked), strict=True)
            if theirs != here
        ]
    finally:
        node.close()
        ours.close()
    assert not differing
    assert len(found) > 120, "the node was not asked well"
    router = Router()
    register_refused(router)
    refused = {asked: route[0].template for asked in found if not isinstance(route := router.find(*asked), int)}
    assert set(refused.values()) == {each.template for each in REFUSED}, "a route is refused that no node has"
    for method, path in found:
        if method == "GET" or (method, path) in refused:
            answer = miroir.request(method, path)
            assert (answer.status_code == 501) == ((method, path) in refused), f"{method} {path}: {answer.text}"


def test_what_a_key_must_allow_for_a_refused_route_is_what_a_node_asks_for(
    cluster: Callable[..., Cluster], single_node: RealNode
) -> None:
    miroir = cluster().client
    actions = sorted({action for each in REFUSED for action in each.methods.values()})
    for api in (single_node.api, miroir):
        keys = {
            action: api.post("/keys", {"actions": [action], "indexes": ["*"], "expiresAt": None})["key"]
            for action in actions
        }
        for each in REFUSED:
            path = each.template.replace("{uid}", "0").replace("{workspace}", "none")
            for method, needed in each.methods.items():
                for action, key in keys.items():
                    if action == needed and (method, path) in HARMFUL:
                        continue
                    headers = {"connection": "close", "authorization": f"Bearer {key}"}
                    answer = api.request(method, path, headers=headers, json=BODIES.get(path))
                    refused = answer.status_code == 403
                    assert refused == (action != needed), f"{api.url} {method} {path} with {action}: {answer.text}"
        for key in keys.values():
            api.expect(api.request("DELETE", f"/keys/{key}"))


HARMFUL = {("POST", "/export")}
"""What a node would do if it were let."""
BODIES = {
    "/network": {},
    "/export": {"url": "http://127.0.0.1:1"},
    "/logs/stream": {"target": "info"},
    "/logs/stderr": {"target": "info"},
    "/chats/none/settings": {"source": "openAi"},
    "/chats/none/chat/completions": {"model": "none", "messages": [], "stream": True},
}
"""Well formed, for a node may look at the body before the key. The features they need are off."""
