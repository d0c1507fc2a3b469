"""A key that opens no node, or not all of them: whoever operates the cluster is told what is wrong and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from tests.client import wait_until
from tests.integration.test_faults import all_ids, documents
from tests.nodes import ADMIN_KEY, NODE_KEY, Cluster

WRONG = "another-node-key-0123456789"
WHAT_TO_DO = "the node refuses the key that Miroir sends it: set MIROIR_NODE_MASTER_KEY to the node's master key"


def status(running: Cluster) -> str:
    """What `miroir-ctl status` prints."""
    done = subprocess.run(
        [sys.executable, "-c", "from miroir.cli.ctl import main; main()", "status"],
        env={**os.environ, "MIROIR_URL": running.client.url, "MIROIR_ADMIN_API_KEY": ADMIN_KEY, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def told(running: Cluster) -> set[tuple[str, str, str]]:
    """Node, level and reason of the log's lines about nodes that refuse the key."""
    lines = (json.loads(line) for line in running.server.log.read_text().splitlines() if line.startswith("{"))
    return {
        (line["node_id"], line["level"], line["reason"]) for line in lines if line["message"] == "node refuses our key"
    }


def test_a_key_that_opens_no_node(cluster: Callable[..., Cluster]) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    running.server.kill()
    right = running.server.keys
    running.server.keys = replace(right, node=WRONG)
    running.server.start()

    def refused_by() -> list[str] | None:
        try:
            answer = running.client.request("GET", "/_miroir/ready")
        except httpx.TransportError:
            return None
        assert answer.status_code == 503
        found: list[str] | None = answer.json().get("key_refused_by")
        return found

    def shown() -> list[tuple[Any, ...]]:
        return [(node["status"], node.get("refuses_key"), node.get("error")) for node in running.topology()["nodes"]]

    wait_until(lambda: refused_by() == ["meili-0", "meili-1"], 30, "readiness says who refuses the key")
    wait_until(lambda: shown() == [("failed", True, WHAT_TO_DO)] * 2, 30, "the topology says why")
    lines = {
        "fully covered  no: a new index would be without 16 shards",
        f"meili-0: {WHAT_TO_DO}",
        f"meili-1: {WHAT_TO_DO}",
    }
    wait_until(lambda: lines <= {line.rstrip() for line in status(running).splitlines()}, 30, "the command says it")
    assert told(running) == {(node, "error", WHAT_TO_DO) for node in ("meili-0", "meili-1")}
    running.server.kill()
    running.server.keys = right
    running.server.restart()
    running.wait_all_healthy()
    wait_until(lambda: all(node[1:] == (None, None) for node in shown()), 30, "no refusal any more")


def test_a_node_that_comes_back_with_another_key(cluster: Callable[..., Cluster], index_name: str) -> None:
    """It stays out of use: its refusals would be taken for the client's. The other copies answer."""
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    running.client.create_index(index_name, "id")
    running.client.add_documents(index_name, documents(0, 30))
    changed = running.nodes[1]
    changed.stop()
    running.wait_failed(1)
    changed.master_key = WRONG
    changed.restart()

    def refuses() -> bool:
        assert all_ids(running, index_name)[0] == list(range(30))
        return f"meili-1: {WHAT_TO_DO}" in status(running)

    wait_until(refuses, 30, "the refusal noticed")
    assert told(running) == {("meili-1", "error", WHAT_TO_DO)}
    changed.stop()
    changed.master_key = NODE_KEY
    changed.restart()
    running.wait_all_healthy()
