"""Making dumps: `POST /dumps` as on a node, and one archive of the whole that a plain Meilisearch imports.

A dump holds every write whose task is older than the dump's own: those are waited for before anything is read. Of what
comes later it may hold something or nothing; of each shard the documents there were at one moment, each as it was when
it was read. Dumps are made one after the other. One that a crash interrupts is made again from the beginning, under its
task.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import msgspec
import orjson
import trio

from miroir.cluster import Cluster, Features
from miroir.errors import ApiError, node_error
from miroir.http import ExchangeError
from miroir.indexes import Index, Registry
from miroir.indexes.settings import EXPERIMENTAL, Wish, shown
from miroir.nodes import NodeAnswerError
from miroir.security import KeyService
from miroir.store import KeyRow, NewTask, Store, StoreUnavailable, TaskQuery, TaskRow
from miroir.tasks import TaskTracker, Webhooks, now_text
from miroir.telemetry import get_logger
from miroir.upkeep.dump_writing import DumpFile, KeyTable
from miroir.upkeep.index_export import IndexExport, IndexGone, Unreadable

_log = get_logger(__name__)

_TYPE: Final = "dumpCreation"
_EVERY: Final = 1 << 31
_OUR_MODEL: Final = "1.21.0"
"""The version of Meilisearch whose dumps these are like, where no node can be asked for its own."""
_PATIENCE_S: Final = 5.0
_NODES_AWAITED_S: Final = 60.0
_PAUSE_S: Final = 0.25


class _Version(msgspec.Struct, rename="camel"):
    pkg_version: str


_version: Final = msgspec.json.Decoder(_Version)


@dataclass(frozen=True, slots=True)
class Dumped:
    """What a dump is made of, besides documents."""

    store: Store
    cluster: Cluster
    registry: Registry
    keys: KeyService
    features: Features
    webhooks: Webhooks


class Dumps:
    """Makes dumps. One for the process; `folder` is where they go."""

    def __init__(self, dumped: Dumped, tracker: TaskTracker, export: IndexExport, folder: Path) -> None:
        self._dumped = dumped
        self._store = dumped.store
        self._tracker = tracker
        self._export = export
        self._folder = folder
        self._news = trio.Event()

    async def create(self) -> TaskRow:
        """`POST /dumps`: the task under which one will be made."""
        with trio.CancelScope(shield=True):  # one that nobody took up would stay open until a restart
            task = await self._store.add_task(NewTask(None, _TYPE, {"dumpUid": None}, now_text()))
            self._tracker.follow(task)
        self._news.set()
        return task

    async def run(self) -> None:
        """Make dumps for ever, oldest first. A worker for the supervisor."""
        wanted = TaskQuery(
            types=frozenset({_TYPE}), statuses=frozenset({"enqueued", "processing"}), limit=_EVERY, reverse=True
        )
        await trio.to_thread.run_sync(_clear, self._folder)
        while True:
            self._news = trio.Event()
            for task in (await self._store.list_tasks(wanted)).tasks:
                self._tracker.follow(task)
                await self._carry_out(task)
            await self._news.wait()

    async def _carry_out(self, task: TaskRow) -> None:
        # Of the store, not of the tracker: after a restart that may not have taken over all of them yet.
        for earlier in await self._store.open_tasks():
            if earlier.uid < task.uid and earlier.type != _TYPE:
                await self._tracker.ended(earlier.uid)
        started_at = now_text()
        await self._tracker.begun(task, started_at)
        dump_uid = dump_uid_of(started_at)
        try:
            await self._make(self._folder / f"{dump_uid}.dump", started_at)
        except StoreUnavailable:
            raise  # its end could not be written down either: it is made again when the store is back
        except (Unreadable, ApiError, OSError, sqlite3.Error) as failure:
            reason = str(failure).removesuffix(".")
            _log.warning("no dump made", task_uid=task.uid, reason=reason)
            await self._fail(task, started_at, reason)
        except Exception:  # noqa: BLE001 - tried again it would fail again, and no other dump would ever be made
            _log.exception("no dump made", task_uid=task.uid)
            await self._fail(task, started_at, "an internal error, which the log of Miroir tells about")
        else:
            await self._tracker.conclude(task, "succeeded", {"dumpUid": dump_uid}, started_at)

    async def _fail(self, task: TaskRow, started_at: str, reason: str) -> None:
        error = node_error(500, "dump_process_failed", f"The dump could not be made: {reason}.", type="internal")
        await self._tracker.conclude(task, "failed", {"dumpUid": None}, started_at, error=error.body())

    # -- one dump ----------------------------------------------------------------------------------------------------

    async def _make(self, target: Path, date: str) -> None:
        with await trio.to_thread.run_sync(DumpFile, target) as dump:
            for path, content in (await self._small_files(date)).items():
                await trio.to_thread.run_sync(dump.add, path, content)
            await trio.to_thread.run_sync(dump.add_folder, "indexes")
            for index in self._dumped.registry.all_for_reads():
                try:
                    await self._add_index(dump, index)
                except IndexGone:
                    _log.info("index left out of a dump: it was deleted meanwhile", index=index.uid)
            await trio.to_thread.run_sync(dump.finish)

    async def _small_files(self, date: str) -> dict[str, bytes]:
        dumped = self._dumped
        hooks = {hook.uuid: {"url": hook.url, "headers": dict(hook.headers)} for hook in dumped.webhooks.all()}
        features = await self._features()
        metadata = {"dumpVersion": "V6", "dbVersion": await self._version(), "dumpDate": date}
        files = {
            "metadata.json": orjson.dumps(metadata),
            "keys.jsonl": b"".join(orjson.dumps(key_line(row)) + b"\n" for row in dumped.keys.all()),
            "tasks/queue.jsonl": b"",
            "batches/queue.jsonl": b"",
            "experimental-features.json": orjson.dumps(features),
        }
        if hooks:
            files["webhooks.json"] = orjson.dumps({"webhooks": hooks})
        instance = instance_uid(await self._store.cluster_id())
        if instance is not None:
            files["instance_uid.uuid"] = instance.encode()
        return files

    async def _features(self) -> Mapping[str, bool]:
        """As soon as a node can be asked for them: after a restart none is known to be there yet."""
        deadline = trio.current_time() + _NODES_AWAITED_S
        while True:
            try:
                return await self._dumped.features.shown()
            except ApiError:
                if trio.current_time() >= deadline:
                    raise
            await trio.sleep(_PAUSE_S)

    async def _version(self) -> str:
        for node in self._dumped.cluster.readiest():
            with trio.move_on_after(_PATIENCE_S):
                try:
                    return _version.decode(await self._dumped.cluster.clients[node].version()).pkg_version
                except (ExchangeError, NodeAnswerError, ValueError, msgspec.MsgspecError) as failure:
                    _log.info("version not read", node_id=node, reason=str(failure))
        return _OUR_MODEL

    async def _add_index(self, dump: DumpFile, index: Index) -> None:
        """Its documents first: an index that goes away meanwhile leaves nothing in the dump."""
        row, folder = index.row, f"indexes/{index.uid}"
        with _scratch(self._folder) as spool:
            table = await trio.to_thread.run_sync(KeyTable, self._folder)
            try:
                await self._export.list_keys(index, table)
                documents = await self._export.copy_documents(index, table, spool.write)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(table.close)
            self._export.check_there(index)
            size = spool.tell()
            spool.seek(0)
            metadata = {
                "uid": index.uid,
                "primaryKey": row.primary_key,
                "createdAt": row.created_at,
                "updatedAt": row.updated_at,
            }
            await trio.to_thread.run_sync(dump.add, f"{folder}/metadata.json", orjson.dumps(metadata))
            settings = orjson.dumps(dumped_settings(index.wishes[0]))
            await trio.to_thread.run_sync(dump.add, f"{folder}/settings.json", settings)
            contents = _UntilCancelled(spool)
            await trio.to_thread.run_sync(partial(dump.add_file, f"{folder}/documents.jsonl", contents, size))
        _log.info("index dumped", index=index.uid, documents=documents, bytes=size)


def dump_uid_of(started_at: str) -> str:
    """The name a node gives a dump that was begun then: `20261121-151623473`."""
    date, _, time = started_at.partition("T")
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{date.replace('-', '')}-{whole.replace(':', '')}{fraction[:3]:0<3}"


def dumped_settings(wish: Wish) -> dict[str, Any]:
    """Settings as a node dumps them: what the client sees, with the secrets that he is not shown again."""
    settings = shown(wish, experimental=EXPERIMENTAL)
    given = wish.get("embedders")
    for name, embedder in settings["embedders"].items():
        own = given.get(name) if isinstance(given, Mapping) else None
        if isinstance(own, Mapping) and "apiKey" in own:
            embedder["apiKey"] = own["apiKey"]
    return settings


def key_line(row: KeyRow) -> dict[str, Any]:
    """A key as a node dumps it. Its value is made of its uid and a master key, and stands nowhere."""
    return {
        "description": row.description,
        "name": row.name,
        "uid": row.uid,
        "actions": row.actions,
        "indexes": row.indexes,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def instance_uid(cluster_id: str) -> str | None:
    """The cluster's id as the uid of an instance, if it can be one."""
    try:
        return str(UUID(cluster_id))
    except ValueError:
        return None


class _UntilCancelled:
    """A file that is read in a thread for long: when the task that waits for the thread is cancelled, reading ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        trio.from_thread.check_cancelled()
        return self._file.read(size)


@contextmanager
def _scratch(folder: Path) -> Iterator[BinaryIO]:
    """A file that nobody else sees, and of which nothing stays."""
    path = folder / "documents.part"
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
        path.unlink()
        yield file


def _clear(folder: Path) -> None:
    """What a dump that was interrupted has left."""
    for file in folder.glob("*.part") if folder.is_dir() else ():
        file.unlink(missing_ok=True)
