"""Making dumps over a real store, with nodes that stand in: in memory, holding documents and doing as a test says."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio

from miroir.cluster import Cluster, Features
from miroir.cluster.hashing import shard_of
from miroir.http import Exchange, Pool, Response
from miroir.indexes import Registry
from miroir.nodes import NodeCall, NodeClient, Observer
from miroir.search import Planner, Scatter
from miroir.security import Keyring, KeyService, KeySync
from miroir.stamps import SEQ_FIELD, SHARD_FIELD
from miroir.stamps.fields import seq_text, shard_text
from miroir.store import Store, TaskRow
from miroir.store.sqlite import open_sqlite
from miroir.tasks import TaskTracker, Webhooks
from miroir.telemetry import Metrics
from miroir.upkeep import Dumped, Dumps, IndexExport, dumps
from miroir.upkeep.dump_writing import Contents, DumpFile, KeyTable
from tests.client import eventually
from tests.integration.dumps import unpacked
from tests.unit.store.samples import NOW, copies, index_row, new_task
from tests.unit.tasks.stand_ins import come_back, stand_in_cluster

DOCUMENTS: Final = 30
NOT_FOUND: Final = b'{"message":"Index `books` not found.","code":"index_not_found","type":"invalid_request","link":""}'


class StandInExchange(Exchange):
    """Stands in for a request that is answered already."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    async def response(self) -> Response:
        await trio.lowlevel.checkpoint()
        return self._answer

    def has_arrived(self) -> bool:
        return True

    def abandon(self) -> None:
        pass


class StandInNode(NodeClient):
    """Stands in for a node's client as far as a dump asks it."""

    def __init__(self, node_id: str, observe: Observer) -> None:
        super().__init__(node_id, Pool("http://127.0.0.1:1"), observe)  # never used
        self.stored: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Response | None] = lambda _: None
        """What it says to a fetch instead of its documents; None: those."""
        self.says_version: bytes = b'{"pkgVersion":"1.21.7"}'

    @property
    def has_idle_connection(self) -> bool:
        return True

    async def start(self, call: NodeCall) -> Exchange:
        await trio.lowlevel.checkpoint()
        body = json.loads(call.body)
        return StandInExchange(self.answer(body) or self._documents(body))

    def _documents(self, body: dict[str, Any]) -> Response:
        found = self.stored
        if "ids" in body:
            found = [document for document in found if str(document["id"]) in body["ids"]]
        if "filter" in body:
            shards = re.findall(r'"([^"]*)"', body["filter"])
            found = [document for document in found if document[SHARD_FIELD] in shards]
        shown = [
            {name: value for name, value in document.items() if name in body.get("fields", document)}
            for document in found[: body["limit"]]
        ]
        return Response(200, [], msgspec.json.encode({"results": shown, "total": len(found)}))

    async def features(self) -> dict[str, bool]:
        await trio.lowlevel.checkpoint()
        return {"metrics": False}

    async def version(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.says_version


class Rig:
    """A maker of dumps, and one index with documents on three nodes of which each holds all."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.cluster: Cluster
        self.nodes: dict[str, StandInNode]
        self.cluster, self.nodes = stand_in_cluster(client=StandInNode)
        self.registry = Registry(exact_ties=False)
        self.tracker = TaskTracker(self.cluster, store, lambda _, text: text, lambda _: None)
        planner = Planner(self.cluster)
        scatter = Scatter(
            self.cluster,
            planner,
            Metrics(),
            lambda _, physical_uid: self.registry.behind(physical_uid) is None,
            node_timeout_s=10.0,
            retry_on_timeout=True,
        )
        keyring = Keyring()
        sync = KeySync(self.cluster, store, keyring, node_key=None, node_timeout_s=1.0)
        dumped = Dumped(
            store,
            self.cluster,
            self.registry,
            KeyService(self.cluster, store, keyring, sync, node_timeout_s=1.0),
            Features(self.cluster, store, node_timeout_s=1.0),
            Webhooks(store),
        )
        self.dumps = Dumps(dumped, self.tracker, IndexExport(scatter, planner, self.registry), folder)

    async def fill(self) -> None:
        row, _ = await self.store.insert_index(index_row(primary_key="id"), copies())
        self.registry.put(row)
        self.cluster.load_in_sync(await self.store.load_in_sync())
        for node in self.nodes.values():
            node.stored = [
                {SHARD_FIELD: shard_text(shard_of(str(n), row.shards)), SEQ_FIELD: seq_text(1, n), "id": n}
                for n in range(DOCUMENTS)
            ]

    def answering(self, answer: Callable[[dict[str, Any]], Response | None]) -> None:
        """Every node says this to fetches from now on."""
        for node in self.nodes.values():
            node.answer = answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.dumps.run)
            yield
            nursery.cancel_scope.cancel()

    async def dumped(self) -> TaskRow:
        """Make one dump; its task when it has ended."""
        task = await self.dumps.create()
        async with self.running():
            return await self.ended(task)

    async def ended(self, task: TaskRow) -> TaskRow:
        with trio.fail_after(60):
            ended = await self.tracker.ended(task.uid)
        assert ended is not None
        return ended

    def files(self, task: TaskRow) -> dict[str, bytes]:
        """What is in the dump of a task that succeeded; nothing else lies in the folder."""
        assert task.status == "succeeded", task.error
        (file,) = self.folder.iterdir()
        assert file.name == f"{task.details['dumpUid']}.dump"
        return unpacked(file.read_bytes())

    def reason(self, task: TaskRow) -> str:
        """Why there is no dump. Nothing of it lies in the folder."""
        assert (task.status, task.details) == ("failed", {"dumpUid": None})
        assert task.error is not None
        assert task.error["code"] == "dump_process_failed"
        assert list(self.folder.iterdir()) == []
        return task.error["message"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with await open_sqlite(tmp_path / "store.db") as store:
        made = Rig(store, tmp_path / "dumps")
        await made.fill()
        yield made


def ids(files: dict[str, bytes]) -> list[int]:
    return [json.loads(line)["id"] for line in files["indexes/books/documents.jsonl"].splitlines()]


async def test_every_document_is_in_it_in_the_order_of_insertion(rig: Rig) -> None:
    files = rig.files(await rig.dumped())
    assert ids(files) == list(range(DOCUMENTS))
    assert b"_miroir" not in b"".join(files.values())
    assert json.loads(files["metadata.json"])["dbVersion"] == "1.21.7"


# -- indexes that go -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_for", ["limit", "fields", "ids"])
async def test_an_index_that_is_deleted_meanwhile_is_left_out(rig: Rig, asked_for: str) -> None:
    """Wherever the deletion falls: while documents are counted, listed, or fetched."""

    def gone(body: dict[str, Any]) -> Response | None:
        if asked_for in body:
            rig.registry.remove("books")
        return None if rig.registry.is_index("books") else Response(404, [], NOT_FOUND)

    rig.answering(gone)
    files = rig.files(await rig.dumped())
    assert not [path for path in files if path.startswith("indexes/")]


async def test_one_that_goes_after_its_last_document_was_read_is_left_out(rig: Rig) -> None:
    """Its last fetch may have found nothing because of that."""
    copied = IndexExport.copy_documents

    async def then_deleted(export: IndexExport, *args: Any) -> int:
        written = await copied(export, *args)
        rig.registry.remove("books")
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndexExport, "copy_documents", then_deleted)
        files = rig.files(await rig.dumped())
    assert not [path for path in files if path.startswith("indexes/")]


# -- what it waits for -----------------------------------------------------------------------------------------------


async def test_earlier_writes_are_waited_for_also_by_a_process_that_has_just_started(rig: Rig) -> None:
    """It knows them from the store alone until the tracker has taken them over."""
    write = await rig.store.add_task(new_task())
    dump = await rig.dumps.create()
    later = await rig.store.add_task(new_task())
    seen: list[str] = []
    gone_on = trio.Event()
    ended = rig.tracker.ended

    async def watched(uid: int) -> TaskRow | None:
        gone_on.set()
        return await ended(uid)

    def asked(_: dict[str, Any]) -> None:
        seen.append("read")
        gone_on.set()

    rig.answering(asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.tracker, "ended", watched)
        async with rig.running():
            with trio.fail_after(60):
                await gone_on.wait()
            assert seen == []
            rig.tracker.follow(write)
            await rig.tracker.conclude(write, "succeeded", {}, NOW)
            assert ids(rig.files(await rig.ended(dump))) == list(range(DOCUMENTS))
    kept = await rig.store.get_task(later.uid)
    assert kept is not None
    assert kept.status == "enqueued"


async def test_nodes_that_nobody_has_seen_yet_are_waited_for(rig: Rig) -> None:
    """A dump that a restart interrupted is taken up before the first probe."""
    for node in rig.nodes:
        rig.cluster.node_condemned(node, "not seen yet")
    task = await rig.dumps.create()
    async with rig.running():

        async def begun() -> bool:
            row = await rig.store.get_task(task.uid)
            return row is not None and row.status != "enqueued"

        await eventually(begun, what="the beginning")
        for node in rig.nodes:
            come_back(rig.cluster, node)
        files = rig.files(await rig.ended(task))
    assert ids(files) == list(range(DOCUMENTS))


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [b"<html>", b"[]", b'{"results":[5],"total":1}', b'{"results":{},"total":1}'])
async def test_a_node_that_answers_with_something_else_has_failed(rig: Rig, lie: bytes) -> None:
    """Another one has the same documents."""
    for node in ("a", "b"):
        rig.nodes[node].answer = lambda _: Response(200, [], lie)
    assert ids(rig.files(await rig.dumped())) == list(range(DOCUMENTS))


@pytest.mark.parametrize("version", [b"[]", b"<html>", b'{"pkgVersion":1}', b'{"pkgVersion":"\xff"}'])
async def test_nodes_that_do_not_know_their_version_do_not_hinder_it(rig: Rig, version: bytes) -> None:
    for node in rig.nodes.values():
        node.says_version = version
    assert json.loads(rig.files(await rig.dumped())["metadata.json"])["dbVersion"] == "1.21.0"


async def test_a_shard_that_nobody_has_fails_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miroir.upkeep.index_export._PATIENCE_S", 0.0)
    rig.cluster.load_in_sync({"books": {shard: frozenset({"a"} if shard else ()) for shard in copies()}})
    assert rig.reason(await rig.dumped()) == (
        "The dump could not be made: no trusted copy of shard 0 of index `books` could be read."
    )


async def test_a_full_disk_fails_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(KeyTable):
        def add(self, documents: Any) -> None:
            self._db.execute("PRAGMA max_page_count = 1")
            super().add((stamp + "-" * 5000, key, shard) for stamp, key, shard in documents)

    monkeypatch.setattr(dumps, "KeyTable", Full)
    assert rig.reason(await rig.dumped()) == "The dump could not be made: database or disk is full."


async def test_what_nobody_foresaw_fails_it_and_the_next_one_is_made(rig: Rig) -> None:
    async def broken(*_: Any) -> None:
        raise TypeError("nobody foresaw this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndexExport, "list_keys", broken)
        reason = rig.reason(await rig.dumped())
    assert reason == "The dump could not be made: an internal error, which the log of Miroir tells about."
    assert ids(rig.files(await rig.dumped())) == list(range(DOCUMENTS))


async def test_packing_ends_when_the_process_is_to_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of gigabytes may be packed in one call, in a thread."""
    ends: list[type[BaseException]] = []
    add_file = DumpFile.add_file

    def canceled_meanwhile(dump: DumpFile, path: str, content: Contents, size: int) -> None:
        if path.endswith("documents.jsonl"):
            trio.from_thread.run_sync(nursery.cancel_scope.cancel)
        try:
            add_file(dump, path, content, size)
        except BaseException as end:
            ends.append(type(end))
            raise

    monkeypatch.setattr(DumpFile, "add_file", canceled_meanwhile)
    task = await rig.dumps.create()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dumps.run)
    assert ends == [trio.Cancelled]
    assert list(rig.folder.iterdir()) == []
    monkeypatch.undo()
    async with rig.running():  # the same task, by the next process
        assert ids(rig.files(await rig.ended(task))) == list(range(DOCUMENTS))
