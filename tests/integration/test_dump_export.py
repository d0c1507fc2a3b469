"""`POST /dumps` of a cluster: one archive, which a plain Meilisearch imports by its own flag, and Miroir again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.dumps import PATIENT, completed, started_from, unpacked
from tests.integration.test_dump_import import FILMS, fill, same
from tests.nodes import Cluster, ClusterPool, RealNode


def dump_of(running: Cluster) -> bytes:
    """A dump of the cluster, as it lies in its folder."""
    answer = running.client.request("POST", "/dumps")
    assert answer.status_code == 202
    assert list(answer.json()) == ["taskUid", "indexUid", "status", "type", "enqueuedAt"]
    task = running.client.succeeded(answer.json(), 60.0)
    assert (task["type"], task["indexUid"], list(task["details"])) == ("dumpCreation", None, ["dumpUid"])
    folder = running.directory / "dumps"
    (file,) = folder.glob(f"{task['details']['dumpUid']}.dump")
    assert not list(folder.glob("*.part"))
    return file.read_bytes()


@pytest.fixture(scope="module")
def filled(cluster_pool: ClusterPool) -> tuple[Cluster, bytes]:
    """A cluster with something of everything, of a shape that nobody else has, and a dump of it."""
    running = cluster_pool.get(groups=1, nodes=3, rf=1, shards=12, over=PATIENT)
    fill(running.client)
    return running, dump_of(running)


def test_a_plain_node_takes_it(filled: tuple[Cluster, bytes], cluster_pool: ClusterPool) -> None:
    running, dump = filled
    files = unpacked(dump)
    assert b"_miroir" not in b"".join(files.values())
    assert json.loads(files["metadata.json"])["dumpVersion"] == "V6"
    node = RealNode("plain", cluster_pool.folder())
    try:
        same(running.client, started_from(node, dump).api)
    finally:
        node.close()


def test_miroir_itself_takes_it(filled: tuple[Cluster, bytes], cluster: Callable[..., Cluster]) -> None:
    """And a dump of that is the same again, whatever the number of nodes."""
    _, dump = filled
    again = cluster(groups=1, nodes=2, rf=1, fresh=True, over=PATIENT)
    found = completed(again, dump)
    assert found["indexes"] == {"empty": 0, "films": FILMS, "keyless": 0, "nested": 30}
    one, other = unpacked(dump), unpacked(dump_of(again))
    assert one.keys() == other.keys()
    told = {path for path in one if path.rpartition("/")[2] in ("documents.jsonl", "settings.json", "webhooks.json")}
    assert {path: one[path] for path in told} == {path: other[path] for path in told}
    kept = [_key(line) for line in other["keys.jsonl"].splitlines()]
    assert all(_key(line) in kept for line in one["keys.jsonl"].splitlines())


def _key(line: bytes) -> dict[str, Any]:
    """A key without its times: one that is imported is made anew."""
    return {name: value for name, value in json.loads(line).items() if not name.endswith("ed_at")}


def test_a_node_that_is_away_is_not_missed(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=2, nodes=2, rf=1, fresh=True)
    client = running.client
    client.add_documents(index_name, [{"id": number} for number in range(300)])
    client.succeeded(client.post(f"/indexes/{index_name}/documents/delete-batch", [7, 8, 9]))
    running.nodes[0].kill()
    written = client.put(f"/indexes/{index_name}/documents", [{"id": 0, "late": True}])
    lines = unpacked(dump_of(running))[f"indexes/{index_name}/documents.jsonl"].splitlines()
    # What was acknowledged before is in it, without anybody having waited for it.
    assert client.wait_task(written)["status"] == "succeeded"
    documents = [json.loads(line) for line in lines]
    assert sorted(document["id"] for document in documents) == [n for n in range(300) if n not in (7, 8, 9)]
    assert {"id": 0, "late": True} in documents
