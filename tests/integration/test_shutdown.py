"""SIGTERM: what runs is answered, nothing new is taken, the process ends with 0 and leaves nothing half done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from miroir.cli.dev_process import free_port
from miroir.cli.dev_server import merged
from tests.client import wait_until
from tests.integration.test_faults import documents
from tests.nodes import Cluster, RealServer


def test_a_write_that_runs_when_the_server_is_told_to_stop_is_answered(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, over={"server": {"shutdown_grace_s": 30}})
    running.client.create_index(index_name, "id")
    running.nodes[1].pause()  # so that the write takes a while
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(running.client.request("POST", f"/indexes/{index_name}/documents", json=documents(0, 10)))

    before = running.nodes[0].api.get("/tasks", limit=1)["results"][0]["uid"]
    thread = threading.Thread(target=post)
    thread.start()
    wait_until(
        lambda: running.nodes[0].api.get("/tasks", limit=1)["results"][0]["uid"] > before, 10, "node 0 took the write"
    )
    running.server.terminate()
    wait_until(lambda: _refuses(running.server.address), 30, "the door shut")
    running.nodes[1].resume()
    thread.join()
    assert answers[0].status_code == 202
    wait_until(lambda: not running.server.running, 30, "the server ended")
    assert running.server.returncode == 0
    running.server.restart()
    running.wait_all_healthy()
    assert running.client.wait_task(answers[0].json())["status"] == "succeeded"


def _refuses(address: str) -> bool:
    try:
        httpx.get(f"{address}/health", timeout=2.0)
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        return False
    return False


def test_a_port_that_is_taken_is_said_and_ends_with_1(cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    second = RealServer(tmp_path, running.server.config, running.server.keys)
    second.start()
    wait_until(lambda: not second.running, 30, "the second server gave up")
    assert second.returncode == 1
    assert "cannot start" in second.log_tail()
    assert "in use" in second.log_tail()


def test_a_store_that_is_in_use_is_said_and_left_alone(cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    running = cluster(groups=1, nodes=2, rf=2)
    other_ports = {"server": {"port": free_port(), "metrics_port": free_port()}}
    second = RealServer(tmp_path, merged(running.server.config, {"miroir": other_ports}), running.server.keys)
    second.start()
    wait_until(lambda: not second.running, 30, "the second server gave up")
    assert second.returncode == 1
    assert "Another Miroir uses the store" in second.log_tail()


@pytest.mark.parametrize("path", ["/health", "/_miroir/ready"])
def test_readiness_follows_the_nodes_and_health_does_not(cluster: Callable[..., Cluster], path: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    assert running.client.request("GET", path).status_code == 200
    running.nodes[0].kill()
    wanted = 200 if path == "/health" else 503
    wait_until(lambda: running.client.request("GET", path).status_code == wanted, 30, f"{path} says {wanted}")
