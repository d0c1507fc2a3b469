"""Indexes as clients handle them: create, delete, list, settings.

The registry row comes first, the nodes after: an index that was acknowledged is in the store, whatever happens then. A
physical index gets a new name with every incarnation, so a deletion that a node did late cannot take a new index along.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import msgspec
import trio

from miroir.cluster import Cluster, NodeRefusal, Operation, Writer
from miroir.errors import ApiError, ErrorBody, miroir_error, node_error
from miroir.indexes.defaults import SETTINGS
from miroir.indexes.registry import Index, Registry, index_not_found, wish_of
from miroir.indexes.settings import (
    apply_change,
    check_reserved,
    clean_error_of,
    clean_message,
    expected_on_node,
    node_settings,
)
from miroir.nodes import NodeCall
from miroir.store import IndexRow, MappingChanged, NewTask, Store, TaskRow
from miroir.tasks import COPIES_NOTE, TaskTracker, now_text
from miroir.telemetry import get_logger

_log = get_logger(__name__)

_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")
_PREVIOUS_NOTE: Final = "_previous"
_HIDDEN_PREFIX: Final = "_miroir"


class IndexService:
    """Changes indexes, here and on every node."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        writer: Writer,
        tracker: TaskTracker,
        registry: Registry,
        *,
        default_shards: int,
        exact_ties: bool,
        anti_entropy: bool,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._writer = writer
        self._tracker = tracker
        self._registry = registry
        self._default_shards = default_shards
        self._exact_ties = exact_ties
        self._anti_entropy = anti_entropy
        self._changing: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._garbage_left = trio.Event()
        tracker.on_settled(self._settled)

    # -- create ------------------------------------------------------------------------------------------------------

    async def create(self, uid: str, primary_key: str | None) -> TaskRow:
        """`POST /indexes`. A name that is taken is a failed task, as on a node."""
        check_uid(uid)
        async with self._changing[uid]:
            if self._registry.find(uid) is not None:
                return await self._fail(
                    "indexCreation",
                    uid,
                    {"primaryKey": primary_key},
                    node_error(400, "index_already_exists", f"Index `{uid}` already exists.").body(),
                )
            return await self._create(uid, primary_key, {}, origin="client")

    async def ensure(self, uid: str, primary_key: str | None) -> Index:
        """The index of that name, created if there is none: what a first write does."""
        index = self._registry.find(uid)
        if index is not None:
            return index
        check_uid(uid)
        async with self._changing[uid]:
            index = self._registry.find(uid)
            if index is None:
                await self._create(uid, primary_key, {}, origin="write")
        return self._registry.get(uid)

    async def _create(self, uid: str, primary_key: str | None, wish: Mapping[str, Any], *, origin: str) -> TaskRow:
        now = now_text()
        shards = self._default_shards
        row = IndexRow(
            uid=uid,
            physical_uid=await self._store.next_physical_uid(uid),
            primary_key=primary_key,
            shards=shards,
            settings=msgspec.json.encode(wish),
            settings_version=1,
            frozen=False,
            created_at=now,
            updated_at=now,
        )
        copies = self._cluster.placement(shards).copies()
        row, inserted = await self._store.insert_index(row, copies)
        index = self._registry.put(row)
        if not inserted:  # another process was faster
            return await self._fail(
                "indexCreation",
                uid,
                {"primaryKey": primary_key},
                node_error(400, "index_already_exists", f"Index `{uid}` already exists.").body(),
            )
        self._cluster.apply_in_sync(row.physical_uid, copies)
        calls = self.creation_calls(index)
        operation = Operation(
            index_uid=uid,
            physical_uid=row.physical_uid,
            index_shards=shards,
            shards=tuple(range(shards)),
            calls=lambda _intent, _shards: calls,
            task=NewTask(uid, "indexCreation", {"primaryKey": primary_key}, now, origin=origin),
        )
        try:
            return (await self._writer.write(operation)).task
        except (NodeRefusal, ApiError) as failure:
            await self._roll_back(index)
            if isinstance(failure, NodeRefusal):
                raise refusal_of(index, failure.status, failure.body) from None
            raise

    def creation_calls(self, index: Index) -> list[NodeCall]:
        """What a node must be sent to hold this index, in order; harmless where it is there already."""
        body = {"uid": index.physical_uid, "primaryKey": index.row.primary_key}
        return [
            NodeCall("index", "POST", "/indexes", msgspec.json.encode(body)),
            self._settings_call(index.row, None),
        ]

    def _settings_call(self, row: IndexRow, before: IndexRow | None) -> NodeCall:
        """The change of settings that takes a node from the row `before` (None: whatever it has) to `row`."""
        ties, stamped = self._exact_ties, self._anti_entropy
        present = None
        if before is not None:
            present = expected_on_node(
                wish_of(before), primary_key=before.primary_key, exact_ties=ties, anti_entropy=stamped
            )
        settings = node_settings(
            wish_of(row), primary_key=row.primary_key, exact_ties=ties, anti_entropy=stamped, node=present
        )
        target = f"/indexes/{quote(row.physical_uid)}/settings"
        return NodeCall("settings", "PATCH", target, msgspec.json.encode(settings))

    async def _roll_back(self, index: Index) -> None:
        """The creation failed: forget the row, leave the rest to the garbage collector."""
        with trio.CancelScope(shield=True):
            task = NewTask(
                index.uid,
                "indexDeletion",
                {"deletedDocuments": 0},
                now_text(),
                status="succeeded",
                finished_at=now_text(),
                origin="rollback",
            )
            try:
                await self._store.delete_index(index.uid, index.physical_uid, task)
            except MappingChanged:
                return
            self._forget(index)

    # -- delete ------------------------------------------------------------------------------------------------------

    async def delete(self, uid: str) -> TaskRow:
        """`DELETE /indexes/{uid}`: the name is free at once; the task ends when the nodes have dropped theirs."""
        async with self._changing[uid]:
            index = self._registry.find(uid)
            details: dict[str, Any] = {"deletedDocuments": 0}
            if index is None:
                return await self._fail("indexDeletion", uid, details, index_not_found(uid).body())
            copies = len(self._cluster.placement(index.row.shards).owners[0])
            new_task = NewTask(
                uid, "indexDeletion", {**details, COPIES_NOTE: copies}, now_text(), physical_uid=index.physical_uid
            )
            task = await self._store.delete_index(uid, index.physical_uid, new_task)
            self._forget(index)
            return task

    def _forget(self, index: Index) -> None:
        self._registry.remove(index.uid)
        self._cluster.forget_index(index.physical_uid)
        self._garbage_left.set()

    async def garbage_left(self) -> None:
        """Wait until some physical index was left behind."""
        await self._garbage_left.wait()
        self._garbage_left = trio.Event()

    # -- settings ----------------------------------------------------------------------------------------------------

    async def change_settings(self, uid: str, change: Mapping[str, Any]) -> TaskRow:
        """`PATCH /indexes/{uid}/settings`: on all nodes, kept in the registry. Creates the index.

        The row is changed before the nodes are asked, so a crash between leaves a wish that verification carries out; a
        refusal changes it back.
        """
        check_reserved(change, anti_entropy=self._anti_entropy)
        await self.ensure(uid, None)
        return await self._change(uid, change)

    async def reset_settings(self, uid: str) -> TaskRow:
        """`DELETE /indexes/{uid}/settings`: every setting back to its default. Creates no index."""
        nothing = dict.fromkeys(SETTINGS)
        if self._registry.find(uid) is None:
            return await self._fail("settingsUpdate", uid, nothing, index_not_found(uid).body())
        return await self._change(uid, nothing)

    async def _change(self, uid: str, change: Mapping[str, Any]) -> TaskRow:
        async with self._changing[uid]:
            before = self._registry.get(uid).row
            wish = apply_change(wish_of(before), change)
            after = await self._save(before, settings=msgspec.json.encode(wish))
            details = {**change, _PREVIOUS_NOTE: before.settings.decode()}
            task = NewTask(uid, "settingsUpdate", details, now_text())
            try:
                return (await self._writer.write(self._settings_operation(after, before, task))).task
            except (NodeRefusal, ApiError) as failure:
                refused = self._registry.get(uid)
                await self._save(after, settings=before.settings)
                if isinstance(failure, NodeRefusal):
                    raise refusal_of(refused, failure.status, failure.body) from None
                raise

    async def set_primary_key(self, uid: str, primary_key: str) -> Index:
        """The first write that says or shows it decides; if another was faster, its key stands."""
        async with self._changing[uid]:
            index = self._registry.get(uid)
            if index.row.primary_key is not None:
                return index
            before = index.row
            row = await self._save(before, primary_key=primary_key)
            task = NewTask(uid, "settingsUpdate", {}, now_text(), origin="primary_key")
            try:
                await self._writer.write(self._settings_operation(row, before, task))
            except (NodeRefusal, ApiError) as failure:
                await self._save(row, primary_key=None)
                if isinstance(failure, NodeRefusal):
                    raise refusal_of(index, failure.status, failure.body) from None
                raise
            return self._registry.get(uid)

    def _settings_operation(self, row: IndexRow, before: IndexRow, task: NewTask) -> Operation:
        call = self._settings_call(row, before)
        return Operation(
            index_uid=row.uid,
            physical_uid=row.physical_uid,
            index_shards=row.shards,
            shards=tuple(range(row.shards)),
            calls=lambda _intent, _shards: (call,),
            task=task,
        )

    async def _save(self, row: IndexRow, **changes: Any) -> IndexRow:
        changed = replace(row, **changes, settings_version=row.settings_version + 1, updated_at=now_text())
        try:
            saved = await self._store.update_index(changed)
        except MappingChanged:
            self._registry.load(await self._store.list_indexes())
            raise miroir_error("miroir_overloaded", "The index was changed by another process. Try again.") from None
        self._registry.put(saved)
        return saved

    # -- afterwards --------------------------------------------------------------------------------------------------

    async def _settled(self, task: TaskRow) -> None:
        """No owner could create it, or none could apply its settings: take back what the registry says."""
        index = self._registry.behind(task.physical_uid or "")
        if index is None:
            return
        if task.status != "failed":
            if task.finished_at is not None and task.finished_at > index.row.updated_at:
                self._registry.put(replace(index.row, updated_at=task.finished_at))
            return
        if task.type == "indexCreation":
            await self._roll_back(index)
        elif task.type == "settingsUpdate" and _PREVIOUS_NOTE in task.details:
            async with self._changing[index.uid]:
                current = self._registry.get(index.uid).row
                row = await self._save(current, settings=task.details[_PREVIOUS_NOTE].encode())
                repair = NewTask(index.uid, "settingsUpdate", {}, now_text(), origin="rollback")
                try:
                    await self._writer.write(self._settings_operation(row, current, repair))
                except (NodeRefusal, ApiError) as failure:
                    _log.error("settings not rolled back", index=index.uid, reason=str(failure))

    async def _fail(self, type: str, uid: str, details: Mapping[str, Any], error: ErrorBody) -> TaskRow:
        now = now_text()
        return await self._tracker.register(
            NewTask(uid, type, details, now, status="failed", error=error, started_at=now, finished_at=now)
        )


class _NodeError(msgspec.Struct):
    message: str
    code: str
    type: str
    link: str


def refusal_of(index: Index, status: int, body: bytes) -> ApiError:
    """A node's error about a physical index, as an error about the index that clients know."""
    cleaned = clean_error_of(body, index.view)
    try:
        error = msgspec.json.decode(cleaned, type=_NodeError)
    except msgspec.DecodeError:
        return node_error(status, "internal", cleaned.decode(errors="replace") or "A node refused.", type="internal")
    return ApiError(status, error.message, code=error.code, type=error.type, link=error.link)


def client_text(registry: Registry, task: TaskRow, text: str) -> str:
    """A text a node wrote about a task, as a text about the index that clients know."""
    physical_uid = task.physical_uid or ""
    index = registry.behind(physical_uid)
    if index is None:
        return clean_message(text, uid=task.index_uid or "", physical_uid=physical_uid, hidden=())
    view = index.view
    return clean_message(
        text, uid=index.uid, physical_uid=physical_uid, hidden=view.unlisted, added_rules=view.added_rules
    )


def check_uid(uid: str) -> None:
    """Refuse what a node would refuse as an index uid, and our own hidden names."""
    if _UID.fullmatch(uid) and not uid.startswith(_HIDDEN_PREFIX):
        return
    reason = (
        "is reserved for Miroir itself"
        if uid.startswith(_HIDDEN_PREFIX)
        else "is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric "
        "characters, hyphens (-) and underscores (_), and can not be more than 512 bytes"
    )
    raise node_error(400, "invalid_index_uid", f"`{uid}` {reason}.")
