"""What stands around every answer (methods, origins, encodings, paths), against a plain node."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.client import Api
from tests.nodes import Cluster, RealNode

OURS = frozenset({"date", "x-request-id", "connection", "transfer-encoding", "content-length", "allow"})
ORIGIN = {"Origin": "http://shop.example"}
ASKING = "Access-Control-Request-Method"


def ask(api: Api, method: str, path: str, headers: dict[str, str], *, key: bool) -> tuple[object, ...]:
    """Status, the headers that must be equal, and whether there is a body. `http.client` adds nothing of its own."""
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in ({"Authorization": f"Bearer {api.key}"} if key else {}).items() | headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    found: dict[str, set[str]] = {}
    for name, value in response.getheaders():
        if name.lower() not in OURS and name.lower() != "access-control-expose-headers":
            parts = value.split(", ") if name.lower() in ("vary", "access-control-allow-methods") else [value]
            found.setdefault(name.lower(), set()).update(part.lower() for part in parts)
    return response.status, found, bool(body)


REQUESTS: list[tuple[str, str, dict[str, str], bool]] = [
    *(("GET", path, {}, True) for path in ("/health", "//health", "/health/", "/indexes/", "//indexes//", "/nope")),
    *(("GET", path, ORIGIN, key) for path in ("/health", "/indexes", "/nope", "/version") for key in (True, False)),
    *(("GET", "/indexes", {"Origin": origin}, True) for origin in ("null", "", "not an origin")),
    *(
        (method, path, ORIGIN, True)
        for method in ("HEAD", "OPTIONS", "TRACE", "FOO")
        for path in ("/health", "/indexes")
    ),
    *((method, "/nope", ORIGIN, False) for method in ("HEAD", "OPTIONS", "POST")),
    ("POST", "/health", ORIGIN, False),
    ("OPTIONS", "/health", {}, False),
    *(("OPTIONS", path, {**ORIGIN, ASKING: "POST"}, False) for path in ("/indexes", "/nope", "/keys")),
    ("OPTIONS", "/indexes", {**ORIGIN, ASKING: "FOO"}, False),
    ("OPTIONS", "/indexes", {ASKING: "POST"}, False),
    ("OPTIONS", "/indexes", {**ORIGIN, ASKING: "PUT", "Access-Control-Request-Headers": "authorization,x-a"}, False),
    *(
        ("GET", path, {"Accept-Encoding": accepted}, True)
        for accepted in (
            *("gzip", "br", "deflate", "zstd", "identity", "*", "gzip;q=0", "gzip, br", "br;q=0.5, gzip;q=1", ""),
            *("GZIP", "gzip;q=0.5, identity", "deflate, gzip;q=1.0, *;q=0.5", "foo, gzip", "compress"),
        )
        for path in ("/health", "/indexes", "/indexes/nope", "/nope")
    ),
]


@pytest.mark.parametrize(("method", "path", "headers", "key"), REQUESTS, ids=str)
def test_around_an_answer(
    method: str,
    path: str,
    headers: dict[str, str],
    key: bool,
    cluster: Callable[..., Cluster],
    single_node: RealNode,
) -> None:
    ours = ask(cluster(groups=1, nodes=2, rf=2).client, method, path, headers, key=key)
    nodes = ask(single_node.api, method, path, headers, key=key)
    if nodes[0] == 400:  # a node forgets its headers here, and a browser that may not read the answer learns nothing
        assert ours[0] == 400
        return
    assert ours == nodes


@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate"])
def test_answers_unpack_to_what_they_are(encoding: str, cluster: Callable[..., Cluster]) -> None:
    api = cluster(groups=1, nodes=2, rf=2).client
    plain = api.request("GET", "/keys?limit=1000", headers={"accept-encoding": "identity"})
    packed = api.request("GET", "/keys?limit=1000", headers={"accept-encoding": encoding})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == encoding
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_who_takes_nothing_gets_nothing(cluster: Callable[..., Cluster], single_node: RealNode) -> None:
    for api in (cluster(groups=1, nodes=2, rf=2).client, single_node.api):
        answer = api.request("GET", "/health", headers={"accept-encoding": "identity;q=0"})
        assert (answer.status_code, answer.text) == (406, "br, gzip, deflate")
