"""Every trusted copy of a shard lost: it says so until an operator gives a stale one his word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.client import wait_until
from tests.integration.test_faults import DEGRADED, add, all_ids, assert_copies_equal, documents, fully_repaired
from tests.nodes import ADMIN_KEY, Cluster

ROUTE = "/_miroir/shards/allocate-stale"


def command(running: Cluster, *arguments: str, typed: str = "") -> tuple[int, str]:
    environment = {**os.environ, "MIROIR_ADMIN_API_KEY": ADMIN_KEY, "MIROIR_URL": running.server.address}
    done = subprocess.run(
        [sys.executable, "-c", "from miroir.cli.ctl import main; main()", "shard", "allocate-stale", *arguments],
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_a_wiped_disk_held_alone_is_given_up_by_word(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1, fresh=True)
    client = running.client
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 60))
    wiped = running.nodes[1]
    wiped.kill()
    wiped.wipe()
    wiped.restart()
    running.wait_all_healthy()
    wait_until(lambda: not fully_repaired(running, index_name), 30, "the loss noticed")
    left, answer = all_ids(running, index_name)
    lost = [int(shard) for shard in answer.headers[DEGRADED].removeprefix("shards=").split(",")]
    assert 0 < len(left) < 60
    assert add(running, index_name, documents(0, 60)).status_code == 503
    for said in (None, False, "yes", 1):
        body: dict[str, Any] = {"index": index_name, "node": "meili-1", "accept_data_loss": said}
        refused = running.admin.request("POST", ROUTE, json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert running.client.request("POST", ROUTE, json={}).status_code in (401, 403), "the master key is no admin's"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"node": "meili-9"}, "There is no node"),
        ({"node": "meili-0"}, "that node `meili-0` has a copy of"),
        ({"shards": [next(iter(set(range(16)) - set(lost)))]}, "has no copy of shard"),
        ({"shards": [16]}, "has no copy of shard 16"),
        ({"node": "meili-0", "shards": [next(iter(set(range(16)) - set(lost)))]}, "is not lost"),
    ]
    for names, text in wrong:
        body = {"index": index_name, "node": "meili-1", "accept_data_loss": True, **names}
        wait_until(partial(_refused_with, running, body, text), 60, f"refused with {text!r}")  # once both are in sight
    unknown = {"index": "nope", "node": "meili-1", "accept_data_loss": True}
    assert running.admin.request("POST", ROUTE, json=unknown).status_code == 404
    assert all_ids(running, index_name)[1].headers[DEGRADED] == answer.headers[DEGRADED], "nothing was done"
    # First one shard, then all that are left.
    code, said_so = command(running, index_name, "meili-1")
    assert (code, "--accept-data-loss" in said_so) == (2, True), said_so
    code, said_so = command(running, index_name, "meili-1", "--accept-data-loss", typed="another\n")
    assert code == 2, said_so
    one = ("--shard", str(lost[0]), "--accept-data-loss")
    code, said_so = command(running, index_name, "meili-1", *one, typed=f"{index_name}\n")
    assert code == 0, said_so
    assert all_ids(running, index_name)[1].headers[DEGRADED] == "shards=" + ",".join(map(str, lost[1:]))
    code, said_so = command(running, index_name, "meili-1", "--accept-data-loss", "--yes")
    assert code == 0, said_so
    found, answer = all_ids(running, index_name)
    assert (set(left) <= set(found), DEGRADED in answer.headers) == (True, False)
    assert "stale copy allocated, data loss accepted" in running.server.log.read_text()
    client.add_documents(index_name, documents(0, 60))
    assert all_ids(running, index_name)[0] == list(range(60))


def test_a_copy_that_is_behind_is_made_the_truth_and_the_others_follow(
    cluster: Callable[..., Cluster], index_name: str
) -> None:
    running = cluster(groups=1, nodes=2, rf=2, fresh=True)
    client, (ahead, behind) = running.client, running.nodes
    client.create_index(index_name, "id")
    client.add_documents(index_name, documents(0, 20))
    behind.kill()
    client.add_documents(index_name, documents(20, 10))
    ahead.kill()
    behind.restart()
    running.wait_left(behind)
    search = client.request("POST", f"/indexes/{index_name}/search", json={"q": ""})
    assert search.json().get("code") == "miroir_shard_unavailable" or DEGRADED in search.headers
    body = {"index": index_name, "node": "meili-1", "accept_data_loss": True}
    done = running.admin.post(ROUTE, body)
    assert (done["documents"] <= 20, set(map(tuple, done["given_up"].values()))) == (True, {("meili-0",)})
    found = all_ids(running, index_name)
    assert DEGRADED not in found[1].headers
    assert set(range(20)) <= set(found[0]) < set(range(30))
    client.add_documents(index_name, documents(100, 5))
    ahead.restart()
    wait_until(lambda: fully_repaired(running, index_name), 60, "the copy that came back made equal")
    assert all_ids(running, index_name)[0] == [*found[0], *range(100, 105)]
    assert_copies_equal(running, index_name)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"index":1}', b'{"index":"x","node":"y","shards":[]}', b'{"what":1}'])
def test_what_is_not_understood_changes_nothing(cluster: Callable[..., Cluster], body: bytes) -> None:
    refused = cluster(groups=1, nodes=2, rf=1).admin.request("POST", ROUTE, content=body)
    assert (refused.status_code, refused.json()["code"] in ("bad_request", "malformed_payload")) == (400, True)


def _refused_with(running: Cluster, body: dict[str, Any], text: str) -> bool:
    refused = running.admin.request("POST", ROUTE, json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "miroir_topology_conflict"), refused.text
    return text in refused.json()["message"]
