"""What README.md and docs/keys.md show to copy: it works as it stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client import Api
from tests.nodes import MASTER_KEY, Cluster

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> Iterator[str]:
    """Its indented blocks, without the indentation."""
    for block in re.findall(r"(?:^    .*\n(?:\n+(?=    ))?)+", (ROOT / page).read_text(), re.MULTILINE):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)


def commands(page: str, url: str) -> list[list[str]]:
    """The words of every `curl` that goes to the Meilisearch API."""
    found = []
    for block in blocks(page):
        text = block.replace("$URL", url).replace("http://127.0.0.1:7700", url).replace("$KEY", MASTER_KEY)
        text = text.replace("\\\n", " ")
        found += [shlex.split(command) for command in re.split(r"(?m)^(?=curl )", text) if command.startswith("curl ")]
    return found


def run(words: list[str]) -> Any:
    """Do as curl would. Other options than these are not shown anywhere."""
    method, url, headers, body = None, "", {}, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-s":
                continue
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                assert not word.startswith("-"), word
                url = word
    response = httpx.request(
        method or ("GET" if body is None else "POST"), url, headers=headers, content=body, timeout=60, trust_env=False
    )
    return Api.expect(response)


def python(page: str, beginning: str) -> str:
    """The one block of Python on the page that begins like this."""
    (block,) = (block for block in blocks(page) if block.startswith(beginning))
    return block


@pytest.fixture
def running(cluster: Callable[..., Cluster]) -> Cluster:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    products = [
        {"id": 1, "name": "Quiet lamp", "brand": "Acme", "price": 20, "tenant": 7},
        {"id": 2, "name": "Quiet lamp, gilded", "brand": "Globex", "price": 900, "tenant": 8},
    ]
    running.client.add_documents("products", products, "id")
    running.client.update_settings("products", {"filterableAttributes": ["brand", "price", "tenant"]})
    return running


def test_those_of_the_readme(
    running: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = running.server.address
    monkeypatch.setenv("KEY", MASTER_KEY)
    source = python("README.md", "import os").replace("http://127.0.0.1:7700", url)
    exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out == "[{'id': 1, 'title': 'Emma'}]\n"
    search, several, federated = map(run, commands("README.md", url))
    assert [hit["id"] for hit in search["hits"]] == [1]
    assert search["facetDistribution"] == {"brand": {"Acme": 1}}
    assert [[hit["id"] for hit in each["hits"]] for each in several["results"]] == [[1, 2], [1]]
    found = [(hit["_federation"]["indexUid"], hit["id"]) for hit in federated["hits"]]
    assert found == [("books", 1), ("products", 1), ("products", 2)]


def test_those_about_keys(running: Cluster) -> None:
    made, every = map(run, commands("docs/keys.md", running.server.address))
    assert (made["actions"], made["indexes"], made["name"]) == (["search"], ["products"], "shop window")
    assert made in every["results"]
    names: dict[str, Any] = {"key": made["key"], "uid": made["uid"]}
    exec(compile(python("docs/keys.md", "import base64"), "docs/keys.md", "exec"), names)
    tenant = running.client.with_key(names["token"])
    try:
        assert [hit["id"] for hit in tenant.search("products", "lamp")["hits"]] == [1]
        assert tenant.request("POST", "/indexes/books/search", json={}).status_code == 403
        assert tenant.request("GET", "/keys").status_code == 403
        running.client.delete(f"/keys/{made['uid']}")
        assert tenant.request("POST", "/indexes/products/search", json={}).status_code == 403
    finally:
        tenant.close()
