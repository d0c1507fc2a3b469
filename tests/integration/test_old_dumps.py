"""Dumps of versions 1 to 5, and what waited in one of version 6: Miroir makes of them what a plain node makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client import Api, wait_until
from tests.integration.dumps import completed, packed, small, started_from
from tests.integration.old_dumps import DOCUMENTS, KEY, old_dump
from tests.nodes import Cluster, ClusterPool, RealNode


@pytest.fixture
def unborn(cluster_pool: ClusterPool) -> Iterator[RealNode]:
    """A node that was never started."""
    node = RealNode("plain", cluster_pool.folder())
    try:
        yield node
    finally:
        node.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_an_old_dump_is_what_a_node_makes_of_it(
    version: int, cluster: Callable[..., Cluster], index_name: str, unborn: RealNode
) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    dump = packed(old_dump(version, index_name))
    found = completed(running, dump)
    assert (found["dump_version"], found["documents"], found["remarks"]) == (version, len(DOCUMENTS), [])
    ours, theirs = running.client, started_from(unborn, dump).api
    for path in (f"/indexes/{index_name}/settings", f"/indexes/{index_name}/documents"):
        assert ours.get(path) == theirs.get(path)
    assert ours.get(f"/indexes/{index_name}")["primaryKey"] == theirs.get(f"/indexes/{index_name}")["primaryKey"]
    if version >= 4:
        one, other = _key(ours, version), _key(theirs, version)
        assert one == other
        assert (one["uid"] == KEY) is (version == 5)


def _key(api: Api, version: int) -> dict[str, Any]:
    kept = api.get("/keys", limit=1000)["results"]
    (key,) = [key for key in kept if key["description"] == f"a key of version {version}"]
    hidden = {"key", "createdAt", "updatedAt"} | ({"uid"} if version == 4 else set())
    return {"uid": None} | {name: value for name, value in key.items() if name not in hidden}


def test_what_waited_is_carried_out(cluster: Callable[..., Cluster], index_name: str, unborn: RealNode) -> None:
    """In its order, on top of the documents; what fails on a node fails here, and the import goes on."""
    uid, other = index_name, f"{index_name}_other"
    addition = {"primary_key": None, "method": "UpdateDocuments", "documents_count": 2, "allow_index_creation": True}
    settings = {"filterableAttributes": ["kind"]}
    added = {"DocumentAdditionOrUpdate": {"received_documents": 2, "indexed_documents": None}}
    by_filter = {"original_filter": '"kind = late"', "deleted_documents": None}
    made = {"IndexInfo": {"primary_key": "id", "new_index_uid": None, "old_index_uid": None}}
    kinds: list[tuple[str, Any, Any]] = [
        (uid, {"settings": {"settings": settings, "is_deletion": False, "allow_index_creation": True}},
         {"SettingsUpdate": {"settings": settings}}),
        (uid, {"documentImport": addition}, added),
        (uid, {"documentDeletion": {"documents_ids": ["3"]}},
         {"DocumentDeletion": {"provided_ids": 1, "deleted_documents": None}}),
        (uid, {"documentDeletionByFilter": {"filter": "kind = late"}}, {"DocumentDeletionByFilter": by_filter}),
        (other, {"documentImport": {**addition, "method": "ReplaceDocuments", "primary_key": "key"}}, added),
        (f"{uid}_made", {"indexCreation": {"primary_key": "id"}}, made),
        (uid, {"indexCreation": {"primary_key": "id"}}, made),
        (f"{uid}_none", "documentClear", {"ClearAll": {"deleted_documents": None}}),
    ]  # fmt: skip
    waits = {"status": "enqueued", "enqueuedAt": "2024-05-06T07:08:09Z"}
    tasks = [
        {"uid": 7 + number, "indexUid": index, "type": kind, "details": details, **waits}
        for number, (index, kind, details) in enumerate(kinds)
    ]
    documents = [{"id": number, "kind": "early"} for number in range(5)]
    dump = packed(
        {
            **small(uid, documents),
            "tasks/queue.jsonl": tasks,
            "tasks/update_files/8.jsonl": [{"id": 1, "more": True}, {"id": 9, "kind": "late"}],
            "tasks/update_files/11.jsonl": [{"key": 1}, {"key": 2}],
        }
    )
    running = cluster(groups=1, nodes=2, rf=1)
    found = completed(running, dump)
    assert (found["waiting_tasks"], found["waiting_tasks_done"]) == (8, 8)
    assert [remark.partition(" failed")[0] for remark in found["remarks"]] == [
        "the waiting task 13 (indexCreation)",
        "the waiting task 14 (documentClear)",
    ]
    ours, theirs = running.client, started_from(unborn, dump).api
    wait_until(lambda: not theirs.get("/tasks", statuses="enqueued,processing")["results"], 60.0, "the node's queue")
    assert [task["status"] for task in theirs.get("/tasks", reverse="true")["results"]][-2:] == ["failed", "failed"]
    for index in (uid, other, f"{uid}_made"):
        assert _sorted(ours, index) == _sorted(theirs, index)  # what is updated goes to the end here
        assert ours.get(f"/indexes/{index}/settings") == theirs.get(f"/indexes/{index}/settings")
        assert ours.get(f"/indexes/{index}")["primaryKey"] == theirs.get(f"/indexes/{index}")["primaryKey"]


def _sorted(api: Api, uid: str) -> list[Any]:
    listed: list[Any] = api.get(f"/indexes/{uid}/documents")["results"]
    return sorted(listed, key=str)
