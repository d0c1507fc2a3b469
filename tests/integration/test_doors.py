"""Who may come in, what operators see, and what every answer and every log line carries: on real nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.client import Api, wait_until
from tests.nodes import ADMIN_KEY, MASTER_KEY, NODE_KEY, Cluster, RealNode

SECRETS = (MASTER_KEY, ADMIN_KEY, NODE_KEY)

DATA_ROUTES = [
    ("GET", "/version"),
    ("GET", "/stats"),
    ("GET", "/indexes"),
    ("POST", "/indexes"),
    ("GET", "/indexes/any"),
    ("GET", "/indexes/any/stats"),
    ("GET", "/indexes/any/settings"),
    ("PATCH", "/indexes/any/settings"),
    ("POST", "/indexes/any/documents"),
    ("GET", "/indexes/any/documents/1"),
    ("POST", "/indexes/any/search"),
    ("GET", "/tasks"),
    ("GET", "/tasks/0"),
]
ADMIN_ROUTES = ["/_miroir/topology", "/_miroir/shards?index=any", "/_miroir/metrics", "/_miroir/nowhere"]
WRONG_CREDENTIALS = [
    None,
    "",
    "Bearer",
    "Bearer wrong",
    f"Basic {MASTER_KEY}",
    f"bearer {MASTER_KEY}",
    f"Bearer  {MASTER_KEY}",
    f"Bearer {MASTER_KEY} {MASTER_KEY}",
    MASTER_KEY,
    f"Bearer {MASTER_KEY}x",
    f"Bearer {ADMIN_KEY}",
    f"Bearer {NODE_KEY}",
]


@pytest.fixture
def running(cluster: Callable[..., Cluster]) -> Cluster:
    return cluster()


@pytest.fixture
def nobody(running: Cluster) -> Iterator[Api]:
    """A client without a key."""
    api = running.client.with_key(None)
    yield api
    api.close()


def call(api: Api, method: str, path: str, **headers: str) -> httpx.Response:
    return api.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("credential", WRONG_CREDENTIALS)
def test_only_the_master_key_opens_the_data_plane(nobody: Api, single_node: RealNode, credential: str | None) -> None:
    """In the very words of a node, to which each of these credentials is as wrong."""
    headers = {} if credential is None else {"authorization": credential}
    with httpx.Client(base_url=single_node.address, trust_env=False) as plain:
        theirs = credential if credential != f"Bearer {NODE_KEY}" else f"Bearer {ADMIN_KEY}"
        expected = plain.get("/version", headers={} if theirs is None else {"authorization": theirs})
    for method, path in DATA_ROUTES:
        response = call(nobody, method, path, **headers)
        assert (response.status_code, response.json()) == (expected.status_code, expected.json()), (method, path)


@pytest.mark.parametrize("path", ADMIN_ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {MASTER_KEY}"},
        {"authorization": f"Bearer {NODE_KEY}"},
        {"x_admin_key": MASTER_KEY},
        {"x_admin_key": ""},
        {"authorization": ADMIN_KEY},
    ],
)
def test_only_an_admin_key_opens_the_control_plane(nobody: Api, path: str, headers: dict[str, str]) -> None:
    response = call(nobody, "GET", path, **headers)
    assert (response.status_code, response.json()["code"]) == (401, "miroir_invalid_auth")
    assert not any(secret in response.text for secret in SECRETS)


def test_both_ways_to_send_an_admin_key_work(nobody: Api) -> None:
    assert call(nobody, "GET", "/_miroir/topology", x_admin_key=ADMIN_KEY).status_code == 200
    assert call(nobody, "GET", "/_miroir/topology", authorization=f"Bearer {ADMIN_KEY}").status_code == 200


@pytest.mark.parametrize("key", [None, "wrong", MASTER_KEY, ADMIN_KEY])
def test_health_and_readiness_are_everybodys(running: Cluster, key: str | None) -> None:
    api = running.client.with_key(key)
    try:
        assert api.get("/health") == {"status": "available"}
        assert api.get("/_miroir/ready")["ready"] is True
    finally:
        api.close()


def test_the_version_is_the_nodes(running: Cluster) -> None:
    assert running.client.get("/version") == running.nodes[0].api.get("/version")


# -- what operators see ----------------------------------------------------------------------------------------------


def test_the_topology(running: Cluster) -> None:
    view = running.topology()
    assert (view["shards"], view["replication_factor"], view["replica_groups"]) == (16, 1, 1)
    assert (view["degraded_node_count"], view["rebalance_in_progress"], view["fully_covered"]) == (0, False, True)
    assert [group["id"] for group in view["groups"]] == [0]
    assert {(node["id"], node["address"]) for node in view["nodes"]} == {
        (node.node_id, node.address) for node in running.nodes
    }
    for node in view["nodes"]:
        assert (node["replica_group"], node["status"]) == (0, "healthy")
        assert node["shard_count"] > 0
        assert 0 <= node["last_seen_ms"] < 10_000
        assert "error" not in node


def test_the_shards_of_an_index(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=2, nodes=2, rf=2)
    running.client.create_index(index_name, "id")
    view = running.admin.get("/_miroir/shards", index=index_name)
    assert view["index"] == index_name
    assert [shard["shard"] for shard in view["shards"]] == list(range(16))
    for shard in view["shards"]:
        assert [group["replica_group"] for group in shard["groups"]] == [0, 1]
        for group, members in zip(shard["groups"], ({"meili-0", "meili-1"}, {"meili-2", "meili-3"}), strict=True):
            assert set(group["write_owners"]) == set(group["read_owners"]) == members


@pytest.mark.parametrize(("path", "status"), [("/_miroir/shards", 400), ("/_miroir/shards?index=gone", 404)])
def test_no_index_no_shards(running: Cluster, path: str, status: int) -> None:
    response = running.admin.request("GET", path)
    assert response.status_code == status
    assert response.json().keys() == {"message", "code", "type", "link"}


# -- request ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/version", "/indexes/gone", "/nowhere"])
def test_a_request_id_is_taken_over_or_made(running: Cluster, path: str) -> None:
    assert call(running.client, "GET", path, x_request_id="0123abcd").headers["x-request-id"] == "0123abcd"
    made = [call(running.client, "GET", path).headers["x-request-id"] for _ in range(3)]
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in made)
    assert len(set(made)) == 3
    refused = call(running.client, "GET", path, x_request_id="not <sane>").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{8}", refused)


# -- metrics ---------------------------------------------------------------------------------------------------------

Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(text: str) -> Samples:
    """Sample name -> its labels and values."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def total(found: Samples, name: str, **labels: str) -> float:
    """The sum of those samples that have these labels. The name must be there."""
    return sum(value for has, value in found[f"miroir_{name}"] if labels.items() <= has.items())


def metrics(running: Cluster) -> Samples:
    response = httpx.get(running.metrics_url, trust_env=False)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return samples(response.text)


def test_the_metrics_tell_what_happened(running: Cluster, index_name: str) -> None:
    before = metrics(running)
    api = running.client
    api.create_index(index_name, "id")
    api.add_documents(index_name, [{"id": number, "word": "alpha"} for number in range(50)])
    for _ in range(5):
        api.search(index_name, "alpha")
    assert api.request("POST", f"/indexes/{index_name}/search", json={"limt": 1}).status_code == 400
    after = metrics(running)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    search = {"method": "POST", "path_template": "/indexes/{uid}/search"}
    assert grown("request_duration_seconds_count", **search, status="200") == 5
    assert grown("request_duration_seconds_count", **search, status="400") == 1
    assert 0 < grown("request_duration_seconds_sum", **search, status="200") < 30
    assert grown("requests_total") >= 8
    assert total(after, "requests_in_flight") == 0
    for node in running.nodes:
        assert total(after, "node_healthy", node_id=node.node_id) == 1
        assert grown("node_request_duration_seconds_count", node_id=node.node_id, operation="search") >= 5
        assert total(after, "shard_distribution", node_id=node.node_id) > 0
    assert "miroir_node_errors_total" not in after or grown("node_errors_total") == 0
    assert total(after, "shard_coverage") == 1
    assert total(after, "degraded_shards_total") == 0
    assert grown("tasks_total", status="enqueued") == 2
    assert grown("tasks_total", status="succeeded") == 2
    assert grown("task_registry_size") == 2
    assert total(after, "task_processing_age_seconds") == 0
    assert grown("scatter_fan_out_size_count") >= 5
    assert grown("scatter_fan_out_size_sum") >= 5 * len(running.nodes)
    assert (grown("scatter_partial_responses_total"), grown("scatter_retries_total")) == (0, 0)


def test_the_control_plane_shows_the_same_families(running: Cluster) -> None:
    response = running.admin.request("GET", "/_miroir/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert samples(response.text).keys() == metrics(running).keys()


def test_no_label_holds_what_a_client_sent(running: Cluster, index_name: str) -> None:
    running.client.create_index(index_name, "id")
    for path in (f"/indexes/{index_name}/documents/my-own-id", "/my-own-path", "/indexes/my-own-index"):
        assert running.client.request("GET", path).status_code == 404
    running.client.request("BREW", "/my-own-path")
    text = httpx.get(running.metrics_url, trust_env=False).text
    assert not any(own in text for own in (index_name, "my-own", "BREW"))


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/health"), ("POST", "/metrics")])
def test_the_metrics_port_gives_nothing_but_metrics(running: Cluster, method: str, path: str) -> None:
    url = running.metrics_url.removesuffix("/metrics") + path
    assert httpx.request(method, url, trust_env=False).status_code in (404, 405)


# -- the log ---------------------------------------------------------------------------------------------------------


def log_lines(running: Cluster) -> list[dict[str, Any]]:
    """What the server wrote, every line of which must be JSON."""
    return [json.loads(line) for line in running.server.log.read_text(encoding="utf-8").splitlines()]


def test_every_line_of_the_log_is_json_and_none_tells_what_clients_said(running: Cluster, index_name: str) -> None:
    api = running.client
    api.create_index(index_name, "id")
    api.update_settings(index_name, {"filterableAttributes": ["color"]})
    api.add_documents(index_name, [{"id": "quokkaid", "text": "quokkatext", "color": "quokkacolor"}])
    asked = {
        "search": ("POST", f"/indexes/{index_name}/search", {"q": "quokkaquery", "filter": "color = quokkafilter"}),
        "refused": ("POST", f"/indexes/{index_name}/search", {"filter": "quokkaunknown = 1"}),
        "document": ("GET", f"/indexes/{index_name}/documents/quokkaid", None),
        "unknown": ("GET", "/quokkapath?q=quokkaparameter", None),
        "poison": ("POST", f"/indexes/{index_name}/documents", [{"id": "quokka bad id"}]),
    }
    ids = {}
    for name, (method, path, body) in asked.items():
        ids[name] = api.request(method, path, json=body).headers["x-request-id"]
    wrong = running.client.with_key("quokkakey")
    assert wrong.request("GET", "/version").status_code == 403
    wrong.close()

    def lines() -> dict[str, dict[str, Any]]:
        return {line["request_id"]: line for line in log_lines(running) if line["message"] == "request"}

    wait_until(lambda: set(ids.values()) <= lines().keys(), what="a line for every request")
    for line in log_lines(running):
        assert {"timestamp", "level", "message", "target", "pod_id"} <= line.keys()
        assert line["level"] in ("info", "warning", "error")
    text = running.server.log.read_text(encoding="utf-8")
    assert "quokka" not in text
    assert not any(secret in text for secret in SECRETS)

    search = lines()[ids["search"]]
    assert (search["method"], search["path_template"], search["status"]) == ("POST", "/indexes/{uid}/search", 200)
    assert (search["index"], search["node_count"]) == (index_name, len(running.nodes))
    assert 0 < search["duration_ms"] < 30_000
    assert "degraded" not in search
    assert lines()[ids["refused"]]["status"] == 400
    assert lines()[ids["document"]]["path_template"] == "/indexes/{uid}/documents/{id}"
    assert (lines()[ids["unknown"]]["path_template"], lines()[ids["unknown"]]["status"]) == ("(unknown)", 404)
    assert len([line for line in log_lines(running) if line.get("request_id") == ids["search"]]) == 1
