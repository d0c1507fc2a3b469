"""Importing dumps that real nodes made: what comes out is what the node had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.client import Api, wait_until
from tests.integration.dumps import IMPORTS, PATIENT, completed, ended, import_of, make_dump, packed, small, upload
from tests.nodes import ADMIN_KEY, Cluster, RealNode

FORM = {"content-type": "multipart/form-data"}
FILMS = 300
KEY = "6062abda-a5aa-4414-ac91-ecd7944c0f8d"
HOOK = {"url": "http://127.0.0.1:9/hook", "headers": {"authorization": "secret"}}


def fill(api: Api) -> None:
    """Indexes of every kind, settings, keys, a webhook, a switched feature."""
    api.create_index("empty", "id")
    api.create_index("keyless")
    api.create_index("films", "id")
    api.patch("/experimental-features", {"containsFilter": True})
    api.update_settings(
        "films",
        {
            "filterableAttributes": ["genre", {"attributePatterns": ["cast*"], "features": {"facetSearch": False}}],
            "sortableAttributes": ["year"],
            "rankingRules": ["words", "typo", "sort", "proximity", "attribute", "exactness", "year:desc"],
            "displayedAttributes": ["id", "title", "year"],
            "stopWords": ["the"],
            "synonyms": {"movie": ["film"]},
            "embedders": {"own": {"source": "userProvided", "dimensions": 3}},
            "faceting": {"maxValuesPerFacet": 7},
            "searchCutoffMs": 60_000,
        },
    )
    api.add_documents("films", [_film(number) for number in range(FILMS)])
    nested = [{"ref": {"key": f"n-{number}"}, "tags": [{"deep": {"er": [number, None, 1.50]}}]} for number in range(30)]
    api.add_documents("nested", nested, "ref.key")
    api.post("/keys", {"uid": KEY, "name": "films", "actions": ["search"], "indexes": ["films"], "expiresAt": None})
    api.request("POST", "/webhooks", json=HOOK).raise_for_status()


def _film(number: int) -> dict[str, Any]:
    return {
        "id": number * 7919 % 307,
        "title": f"Film number {number} of the {('dark', 'bright', 'quiet')[number % 3]} sea",
        "genre": ("drama", "comedy")[number % 2],
        "year": 1950 + number % 70,
        "big": 12345678901234567890,
        "_vectors": {"own": [number / FILMS, 0.5, 1.0 - number / FILMS] if number % 5 else None},
    }


def documents_of(api: Api, uid: str) -> list[Any]:
    """Every document as it is listed, with its vectors."""
    listed: list[Any] = api.post(f"/indexes/{uid}/documents/fetch", {"limit": 10_000, "retrieveVectors": True})[
        "results"
    ]
    return listed


SEARCHES: tuple[dict[str, Any], ...] = (
    {"q": "film"},
    {"q": "dark movie", "filter": "genre = drama", "facets": ["genre"]},
    {"q": "", "sort": ["year:asc"], "limit": 50},
    {"q": "quiet", "offset": 30, "limit": 30},
)


def same(ours: Api, theirs: Api) -> None:
    """Whatever was filled in is the same on both."""
    for uid in ("empty", "keyless", "films", "nested"):
        one, other = ours.get(f"/indexes/{uid}"), theirs.get(f"/indexes/{uid}")
        assert one["primaryKey"] == other["primaryKey"]
        assert one["createdAt"].rstrip("0Z") == other["createdAt"].rstrip("0Z")  # a node writes no zeros at the end
        assert ours.get(f"/indexes/{uid}/settings") == theirs.get(f"/indexes/{uid}/settings")
        assert documents_of(ours, uid) == documents_of(theirs, uid)
    for search in SEARCHES:
        one, other = ours.search("films", **search), theirs.search("films", **search)
        for answer in (one, other):
            answer.pop("processingTimeMs")
            answer.pop("requestUid", None)
        assert one == other, search
    members = ("uid", "name", "description", "actions", "indexes", "expiresAt")
    kept = {key["uid"]: key for key in ours.get("/keys", limit=100)["results"]}
    for key in theirs.get("/keys", limit=100)["results"]:
        assert {name: kept[key["uid"]][name] for name in members} == {name: key[name] for name in members}
    assert ours.get("/experimental-features")["containsFilter"] is True
    assert ours.get("/webhooks") == theirs.get("/webhooks")


def test_what_a_node_had_is_here(cluster: Callable[..., Cluster], real_node: Callable[..., RealNode]) -> None:
    node = real_node()
    fill(node.api)
    running = cluster(groups=1, nodes=3, rf=1, fresh=True, over={**PATIENT, "dump_import": {"batch_size": 100}})
    found = completed(running, make_dump(node))
    assert found["dump_version"] == 6
    assert found["indexes"] == {"empty": 0, "films": FILMS, "keyless": 0, "nested": 30}
    assert (found["pct_complete"], found["documents"], found["remarks"]) == (100.0, FILMS + 30, [])
    same(running.client, node.api)
    # Nothing was here before: so there are the dump's keys and no others, as on a node that has imported it.
    assert _uids(running.client) == _uids(node.api)
    for each in running.nodes:
        wait_until(lambda api=each.api: _uids(api) == _uids(node.api), 30.0, "the same keys on every node")
    assert not list((running.directory / "dumps" / "import").iterdir())


def _uids(api: Api) -> set[str]:
    return {key["uid"] for key in api.get("/keys", limit=100)["results"]}


def _has_imported(admin: Api, id: str, documents: int) -> bool:
    return bool(import_of(admin, id)["documents"] >= documents)


def test_it_goes_on_after_a_kill(cluster: Callable[..., Cluster]) -> None:
    """Killed again and again in the middle, it ends with every document there once and no batch written twice."""
    documents = [{"id": number, "text": f"text {number} " + "x" * 50} for number in range(6000)]
    dump = packed(small("long", documents, {"sortableAttributes": ["id"]}))
    running = cluster(groups=1, nodes=2, rf=1, fresh=True, over={"dump_import": {"batch_size": 20}})
    id = upload(running, dump)["id"]
    for share in (300, 1500):
        wait_until(partial(_has_imported, running.admin, id, share), 60.0, f"{share} documents")
        assert import_of(running.admin, id)["documents"] < 5000, "it was to be killed in the middle"
        running.server.kill()
        running.server.start()
        running.server.wait_serving()
    found = ended(running, id)
    assert (found["state"], found["documents"]) == ("completed", 6000)
    listed = running.client.post("/indexes/long/documents/fetch", {"limit": 10_000})["results"]
    assert listed == documents
    additions = running.client.get("/tasks", types="documentAdditionOrUpdate", statuses="succeeded", limit=0)
    assert additions["total"] == 300
    assert running.client.get("/indexes/long")["createdAt"] == "2024-05-06T07:08:09Z"


def test_what_cannot_be_imported_is_refused(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    admin, client = running.admin, running.client

    def refusal(content: bytes, **more: Any) -> tuple[int, str]:
        answer = admin.request("POST", IMPORTS, content=content, **more)
        return answer.status_code, answer.json()["code"]

    assert refusal(b"not gzipped at all") == (400, "miroir_dump_invalid")
    assert refusal(b"") == (400, "miroir_dump_invalid")
    assert refusal(b"", params={"if_exists": "maybe"}) == (400, "bad_request")
    assert refusal(b"", params={"other": "1"}) == (400, "bad_request")
    for key in (client, admin.with_key(None)):
        shut = key.request("POST", IMPORTS, content=b"x")
        assert (shut.status_code, shut.json()["code"]) == (401, "miroir_invalid_auth")
    unknown = admin.request("GET", f"{IMPORTS}/none/status")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "miroir_dump_import_not_found")

    client.create_index(index_name, "id")
    client.add_documents(index_name, [{"id": 1, "from": "here"}, {"id": 2, "from": "here"}])
    dump = packed(small(index_name, [{"id": 2, "from": "dump"}, {"id": 3, "from": "dump"}]))
    before = client.get("/tasks", limit=0)["total"]
    failed = ended(running, upload(running, dump)["id"])
    assert (failed["state"], failed["phase"], failed["error"]["code"]) == (
        "failed",
        "reading",
        "miroir_dump_import_conflict",
    )
    assert client.get("/tasks", limit=0)["total"] == before
    # Merged, the dump's documents are on top; and what failed can be resumed once nothing stands in its way.
    completed(running, dump, if_exists="merge")
    expected = [{"id": 1, "from": "here"}, {"id": 2, "from": "dump"}, {"id": 3, "from": "dump"}]
    listed = client.get(f"/indexes/{index_name}/documents")["results"]
    assert sorted(listed, key=lambda document: document["id"]) == expected
    client.delete_index(index_name)
    resumed = admin.request("POST", f"{IMPORTS}/{failed['id']}/resume")
    assert resumed.status_code == 202
    assert ended(running, failed["id"])["state"] == "completed"
    assert client.get(f"/indexes/{index_name}/stats")["numberOfDocuments"] == 2
    assert admin.request("POST", f"{IMPORTS}/{failed['id']}/resume").status_code == 409
    assert failed["id"] in [each["id"] for each in admin.get(IMPORTS)["results"]]


@pytest.mark.allow_stamps  # the error names the field that the dump sent
def test_a_form_and_a_stopped_import(cluster: Callable[..., Cluster], index_name: str) -> None:
    """Fields that are ours are refused where they are met; then the import is given up, or mended and resumed."""
    running = cluster(groups=1, nodes=2, rf=1)
    admin = running.admin
    dump = packed(small(index_name, [{"id": 1}, {"id": 2, "_miroir_shard": 7}]))
    answer = admin.request("POST", IMPORTS, files={"file": ("some.dump", dump)}, data={"note": "from a form"})
    assert answer.status_code == 202, answer.text
    found = ended(running, answer.json()["id"])
    assert (found["state"], found["error"]["code"]) == ("failed", "miroir_reserved_field")
    assert found["error"]["message"].startswith(f"Index `{index_name}`, documents in `indexes/{index_name}/documents")
    assert Api.expect(admin.request("DELETE", f"{IMPORTS}/{found['id']}"))["state"] == "canceled"
    empty = admin.request("POST", IMPORTS, files={}, data={"note": "x"}, headers=FORM)
    assert empty.status_code == 400


def test_a_node_behind_miroir_is_recognised(cluster: Callable[..., Cluster], index_name: str) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    running.client.add_documents(index_name, [{"id": number} for number in range(10)])
    failed = ended(running, upload(running, make_dump(running.nodes[0]))["id"])
    assert (failed["state"], failed["error"]["code"]) == ("failed", "miroir_dump_invalid")
    assert "made by a node behind Miroir" in failed["error"]["message"]


def test_from_the_command_line(cluster: Callable[..., Cluster], index_name: str, tmp_path: Path) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    file = tmp_path / "some.dump"
    file.write_bytes(packed(small(index_name, [{"id": 1}, {"id": 2}])))

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from miroir.cli.ctl import main; main()", "dump", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "MIROIR_URL": running.server.address, "MIROIR_ADMIN_API_KEY": ADMIN_KEY},
        )

    done = command("import", str(file))
    assert (done.returncode, f"{index_name}: 2" in done.stdout) == (0, True), done
    assert ": completed, 2 documents" in done.stdout
    taken = command("import", str(file), "--if-exists", "merge", "--no-wait")
    lines = taken.stdout.splitlines()
    assert (taken.returncode, lines[0].split(": ")[1]) == (0, "queued, 0 documents")
    id = lines[0].split()[1].rstrip(":")
    assert lines[-1] == f"It goes on by itself; `miroir-ctl dump status {id} --watch` stays until it has ended"
    assert command("status", id, "--watch").returncode == 0
    # What is here already is in the way of a second time, and the command says so in its status.
    again = command("import", str(file), "--json")
    found = json.loads(again.stdout)
    assert (again.returncode, found["state"], found["error"]["code"]) == (1, "failed", "miroir_dump_import_conflict")
    assert found["error"]["message"] in again.stderr
    assert found["id"] in command("status").stdout
    assert json.loads(command("status", found["id"], "--json").stdout)["state"] == "failed"
    assert f"`miroir-ctl dump resume {found['id']}` goes on" in command("status", found["id"]).stdout
    assert command("cancel", found["id"]).returncode == 0
    assert command("resume", found["id"]).returncode == 1
    assert command("import", str(tmp_path / "none.dump")).returncode == 2
