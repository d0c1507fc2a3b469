"""Dumps for tests: made by a real node, taken apart and put together again, uploaded and waited for."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.client import Api, wait_until
from tests.nodes import Cluster, RealNode

PATIENT = {"health": {"timeout_ms": 5000, "unhealthy_threshold": 5}}
"""Nodes that index a dump on a busy machine are slow, and not to be given up."""
ENDED = frozenset({"completed", "failed", "canceled"})
IMPORTS = "/_miroir/dumps/import"


def make_dump(node: RealNode) -> bytes:
    """What `POST /dumps` of a plain node writes."""
    task = node.api.succeeded(node.api.post("/dumps"))
    return (node.directory / "dumps" / f"{task['details']['dumpUid']}.dump").read_bytes()


def unpacked(dump: bytes) -> dict[str, bytes]:
    """Every file of a dump by its path."""
    with tarfile.open(fileobj=io.BytesIO(dump), mode="r:gz") as archive:
        return {
            member.name.removeprefix("./"): archive.extractfile(member).read()  # type: ignore[union-attr]  # a file
            for member in archive
            if member.isfile()
        }


def packed(files: Mapping[str, bytes | str | Mapping[str, Any] | list[Any]]) -> bytes:
    """A dump of these files: bytes and texts as they are, a mapping as JSON, a list as lines of JSON."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for path, content in files.items():
            data = _bytes_of(content)
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def small(uid: str, documents: list[Any], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The files of a dump of today's version with one index, the version and the settings behind its documents."""
    moment = "2024-05-06T07:08:09Z"
    return {
        f"indexes/{uid}/documents.jsonl": documents,
        f"indexes/{uid}/settings.json": settings or {},
        "metadata.json": {"dumpVersion": "V6", "dbVersion": "1.21.0", "dumpDate": moment},
        f"indexes/{uid}/metadata.json": {"uid": uid, "primaryKey": "id", "createdAt": moment, "updatedAt": moment},
        "keys.jsonl": [],
        "tasks/queue.jsonl": [],
    }


def _bytes_of(content: bytes | str | Mapping[str, Any] | list[Any]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, list):
        return "".join(json.dumps(line) + "\n" for line in content).encode()
    return json.dumps(content).encode()


def upload(cluster: Cluster, dump: bytes, **params: str) -> dict[str, Any]:
    """Have it imported; the import as it was answered."""
    answer = cluster.admin.request("POST", IMPORTS, content=dump, params=params)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def import_of(admin: Api, id: str) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"{IMPORTS}/{id}/status")
    return found


def ended(cluster: Cluster, id: str, timeout_s: float = 60.0) -> dict[str, Any]:
    """The import once it has ended, however."""
    wait_until(lambda: import_of(cluster.admin, id)["state"] in ENDED, timeout_s, "the import to end")
    return import_of(cluster.admin, id)


def completed(cluster: Cluster, dump: bytes, **params: str) -> dict[str, Any]:
    """The import of it, which must complete."""
    found = ended(cluster, upload(cluster, dump, **params)["id"])
    assert found["state"] == "completed", found
    return found


def started_from(node: RealNode, dump: bytes) -> RealNode:
    """A node that was never started, begun with `--import-dump`."""
    file = Path(node.directory) / "given.dump"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dump)
    node.arguments = (*node.arguments, "--import-dump", str(file))
    node.start()
    node.wait_serving(120.0)  # it imports before it serves
    return node
